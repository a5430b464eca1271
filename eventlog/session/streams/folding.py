"""How the events of messages that are being written change a session's state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from eventlog.session.stepping import report, step
from eventlog.session.streams.content import calls_in
from eventlog.session.streams.state import KeptResult, Stream
from eventlog.session.turns.state import fence_in
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.state import SessionState
    from eventlog.session.streams.events import (
        ChunkAppended,
        MessageBegun,
        MessageEnded,
        MessageInterrupted,
        ResultKept,
    )

__all__ = ["HANDLERS", "QUIET", "result_digest"]

QUIET: Final = frozenset({"message_begun", "chunk_appended", "result_kept"})
"""Events that leave ``updated_at`` alone: nothing is said before the message ends."""


def _begun(state: SessionState, record: Record, event: MessageBegun) -> None:
    message_id = event.message["id"]
    if message_id in state.streams:
        report(state, record, f"message {message_id!r:.80} is 'streaming'")
    elif step(state, record):
        state.streams[message_id] = Stream(
            message_id=message_id,
            role=event.message["role"],
            fence=record.version,
            owner=event.owner,
            lease=event.lease,
            lease_until=event.lease_until,
            began_at=record.time,
            last_version=record.version,
            turn=fence_in(record) if event.lease_until is None else None,
        )


def _found(
    state: SessionState, record: Record, message_id: str, fence: int | None = None
) -> Stream | None:
    """Return the stream of an event, or note a finding: it is unknown, has ended, or has another
    producer."""
    stream = state.streams.get(message_id)
    if stream is None or (fence is not None and stream.fence != fence):
        report(state, record, f"message {message_id!r:.80} is not 'streaming' with fence {fence}")
        return None
    return stream if step(state, record) else None


def _chunk(state: SessionState, record: Record, event: ChunkAppended) -> None:
    stream = _found(state, record, event.message_id, event.fence)
    if stream is None:
        return
    if event.sequence != stream.sequence + 1:
        report(state, record, f"message {event.message_id!r:.80} has {stream.sequence} chunks")
        return
    state.streams[event.message_id] = replace(
        stream,
        sequence=event.sequence,
        last_version=record.version,
        lease_until=event.lease_until,
        calls=(*stream.calls, *calls_in(event.parts)),
    )


def _result(state: SessionState, record: Record, event: ResultKept) -> None:
    stream = _found(state, record, event.message_id)
    if stream is not None:
        digest = result_digest(event.status, event.output, event.large)
        kept = KeptResult(event.tool_id, event.occurrence, digest, record.version)
        state.streams[event.message_id] = replace(
            stream,
            results=(*stream.results, kept),
            result_characters=stream.result_characters + len(event.output),
        )


def result_digest(status: str, output: str, large: dict[str, Any] | None = None) -> str:
    """Return what tells a result from others, whether or not its output is kept elsewhere."""
    kept = (large or {}).get("tool_output_sha256")
    digest = kept if isinstance(kept, str) else digest_of(output.encode("utf-8", "surrogatepass"))
    return f"{status} {digest}"


def _over(state: SessionState, record: Record, event: MessageEnded | MessageInterrupted) -> None:
    if _found(state, record, event.message_id, event.fence) is not None:
        del state.streams[event.message_id]


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "message_begun": _begun,
    "chunk_appended": _chunk,
    "result_kept": _result,
    "message_ended": _over,
    "message_interrupted": _over,
}
