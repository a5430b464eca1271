"""Reading messages that are still being written: in the tail, in a list, and chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from eventlog.clock import format_time
from eventlog.engine.following import WAIT_SECONDS, WAITS
from eventlog.errors import InvalidArgument, LogClosed
from eventlog.recorded import Recorded
from eventlog.session.messages import Message
from eventlog.session.reading import message_of
from eventlog.session.streams.content import text_of
from eventlog.session.streams.events import ChunkAppended, MessageEnded, MessageInterrupted
from eventlog.session.streams.interrupting import message_so_far
from eventlog.storable import check_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.core import Core
    from eventlog.records import Record
    from eventlog.session.state import SessionState
    from eventlog.session.streams.events import MessageBegun

__all__ = [
    "MessageUpdate",
    "StreamView",
    "following_message",
    "read_streaming",
    "read_streams",
]

_TYPES: Final = tuple(
    event.event_type for event in (ChunkAppended, MessageEnded, MessageInterrupted)
)


class StreamView(NamedTuple):
    """A message that is being written; times are ISO 8601 text in UTC."""

    message_id: str
    role: str
    fence: int
    sequence: int
    """The number of its last chunk; 0 before the first."""
    began_at: str
    lease_until: str | None
    """When its producer counts as gone, unless another chunk comes before; None if it is alive as
    long as what it is part of."""


class MessageUpdate(NamedTuple):
    """What is new of a message: a chunk, or its end.

    ``parts`` are the new pieces, ``text`` what they say as plain text. With the end, which comes last,
    ``ended`` is set and ``message`` is the whole message, as it was recorded; it is None if the message
    was interrupted before anything of it arrived.
    """

    sequence: int
    """The number of the chunk: `following_message` goes on after it."""
    parts: tuple[dict[str, Any], ...] = ()
    ended: Literal["ended", "interrupted"] | None = None
    message: Message | None = None

    @property
    def text(self) -> str:
        """The text of the parts of type ``text``."""
        return text_of(self.parts)


def read_streaming(core: Core, state: SessionState) -> list[Message]:
    """Return what arrived of the messages that are being written, in the order of their beginnings."""
    messages: list[Message] = []
    for stream in state.streams.values():
        begun = core.reader.record(stream.fence)
        if begun is not None:
            data = message_so_far(
                cast("MessageBegun", begun.event),
                core.reader.chunks(stream.message_id, stream.fence, stream.last_version),
                streaming=True,
            )
            messages.append(message_of(data, stream.last_version))
    return messages


def read_streams(core: Core) -> tuple[StreamView, ...]:
    """Return the messages that are being written, in the order of their beginnings."""
    core.refresh()
    return tuple(
        StreamView(
            stream.message_id,
            stream.role,
            stream.fence,
            stream.sequence,
            format_time(stream.began_at),
            None if stream.lease_until is None else format_time(stream.lease_until),
        )
        for stream in core.state_to_read().streams.values()
    )


def following_message(core: Core, message_id: str, after: int) -> Iterator[MessageUpdate | None]:
    """Yield the chunks of a message after a number, wait for new ones, and end with its end.

    Yields None before each wait. It reads the log alone, so nothing that it yields is lost in a crash,
    and what it does not yield yet is at most one window behind.
    """
    fence = _fence_of(core, check_text("message_id", message_id))
    if fence is None:
        yield MessageUpdate(0, (), "ended", _recorded_message(core, message_id))
        return
    store, version = core.store, fence
    try:
        newest = store.tip()
        while True:
            for record in store.read(core.session, after=version, types=_TYPES):
                version = record.version
                update = _update(core, record, message_id, fence)
                if update is None:
                    continue
                if update.ended or (update.parts and update.sequence > after):
                    yield update  # A chunk without parts only says that the producer is alive.
                if update.ended:
                    return
            for _ in range(WAITS):
                yield None
                if store.wait(newest, WAIT_SECONDS):
                    break
            newest = store.tip()
    except LogClosed:
        return


def _update(core: Core, record: Record, message_id: str, fence: int) -> MessageUpdate | None:
    event = cast("ChunkAppended | MessageEnded | MessageInterrupted", Recorded(record).event)
    if (event.message_id, event.fence) != (message_id, fence):
        return None
    if isinstance(event, ChunkAppended):
        return MessageUpdate(event.sequence, tuple(event.parts))
    ended: Literal["ended", "interrupted"] = (
        "ended" if isinstance(event, MessageEnded) else "interrupted"
    )
    return MessageUpdate(event.chunks, (), ended, _recorded_message(core, message_id))


def _recorded_message(core: Core, message_id: str) -> Message | None:
    recorded = core.reader.message(message_id)
    if recorded is None:
        return None
    version = recorded.version
    (stored,) = core.reader.messages([(version, version)])
    return stored.message


def _fence_of(core: Core, message_id: str) -> int | None:
    """Return where a message began to be written; None for one that was appended whole."""
    stream = core.refresh().streams.get(message_id)
    if stream is not None:
        return stream.fence
    recorded = core.reader.message(message_id)
    if recorded is not None:
        before = core.reader.record(recorded.version - 1)
        end = None if before is None or before.type not in _TYPES[1:] else before.event
        known = end is not None and cast("MessageEnded", end).message_id == message_id
        return cast("MessageEnded", end).fence if known else None
    for begun in core.reader.newest_of(("message_begun",)):
        if cast("MessageBegun", begun.event).message["id"] == message_id:
            return begun.version
    raise InvalidArgument(
        f"session {core.session!r} has no message {message_id!r}, and none is being written under "
        "that id; session.streams() has those that are"
    )
