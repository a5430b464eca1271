"""Messages that are written while they arrive."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventlog import late_verbs
from eventlog.argument_checks import check_count
from eventlog.engine import arguments
from eventlog.faces.base import Base
from eventlog.session.messages import Message
from eventlog.session.streams.coalescing import (
    BUFFER_BYTES,
    CHUNK_BYTES,
    LEASE_SECONDS,
    WINDOW_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventlog.engine.streams.reading import MessageUpdate, StreamView
    from eventlog.message_streams import MessageStream
    from eventlog.session.messages import Role, ToolPart
    from eventlog.session.streams.commands import BegunMessage
    from eventlog.trace_context import TraceContext

__all__ = ["StreamVerbs"]


class StreamVerbs(Base):
    """Messages that are written while they arrive."""

    def stream(
        self,
        name: str | None = None,
        *,
        role: Role = "assistant",
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        window_seconds: float = WINDOW_SECONDS,
        chunk_bytes: int = CHUNK_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        background: bool = True,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> MessageStream:
        """Return a context manager in which one message is written while it arrives.

        What is written is stored in chunks: at most ``window_seconds`` after it came, when it has
        ``chunk_bytes``, at a tool call and at the end. Until then the message is last in `tail`,
        marked ``streaming``, and in no context, count, commit or folder. Leaving the block ends it,
        and it is recorded as any other message. Leaving it by an exception, a cancellation or
        ``SystemExit``, or closing the log, records what arrived as one message marked
        ``interrupted``, with a result for each open call; so does the next command on the session,
        or a worker, once the producer's process has died or nothing was heard of it for
        ``lease_seconds``.

        A thread of the log stores the chunks, so a slow disk does not slow the producer. Only when
        ``buffer_bytes`` wait, writing waits, too; nothing is dropped. Without ``background`` the
        producer stores the chunks itself as it writes. ``fields`` are further fields of the message.

        In a turn, the turn's lease takes the place of the message's own, and commands of a producer that
        lost the turn raise `LeaseLost`. There a ``name`` makes the message a step, whose name is used
        once in an attempt: with ``resume``, one that an earlier attempt finished is appended again,
        and ``done`` is true; look at it before you write. Outside of a turn a name has no effect.

        If the block is never left, the end of the turn, of the session or of the log interrupts the
        message, with all that was written; that finishes no step. Only the death of the process, or
        an end that another process brings, loses what came after the last chunk.
        """
        self._engine.shelter.read(import_module, "eventlog.message_streams")
        from eventlog.message_streams import MessageStream, stream_terms

        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        terms = stream_terms(
            name,
            role,
            message_id,
            fields,
            lease_seconds,
            window_seconds,
            chunk_bytes,
            buffer_bytes,
            background,
            by,
            self._fence,
            self._steps,
        )
        return MessageStream(self._engine, self._core, terms)

    def begin_message(
        self,
        role: Role = "assistant",
        *,
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        holder: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> BegunMessage:
        """Begin to write a message in chunks; return its id, and the fence of its producer.

        `stream` does this and what follows. The id is taken from here on: it is that of the message,
        also if it is interrupted. ``holder`` says who writes it if it is not this process: then only
        the lease says that the producer is lost. Raises `DuplicateEvent` for an id that is in use.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            late_verbs.begin_message,
            self._engine,
            self._core,
            role,
            message_id,
            fields,
            lease_seconds,
            idempotency_key,
            self._fence is not None,
            holder,
        )
        begun: BegunMessage = self._do(command, by)
        return begun

    def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease.

        ``sequence`` counts the chunks from 1. Appending a chunk again changes nothing, so it can be
        repeated when its answer was lost. Raises `LeaseLost` if the message was ended by others,
        `DuplicateEvent` if the number was used for another chunk, and `InvalidArgument` if chunks
        before it are missing. Chunks carry no actor: who began the message wrote it.
        """
        command = self._engine.shelter.read(
            late_verbs.append_chunk,
            self._engine,
            self._core,
            message_id,
            fence,
            sequence,
            content,
        )
        self._do(command, None)

    def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """End a message that was begun, and return it as it was recorded.

        Without ``message`` it is what its chunks said; a given one takes their place. Results that
        came meanwhile are written into its calls. Ending it again changes nothing and returns it.
        Raises `LeaseLost` if the message was ended by others.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.end_message, self._engine, self._core, message_id, fence, message
        )
        ended: Message = self._do(command, by)
        return ended

    def interrupt_message(
        self,
        message_id: str,
        fence: int,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message | None:
        """End a message that will not be finished; return what arrived, marked ``interrupted``.

        Its open calls get a result with the status ``error``, which a real one that comes later
        replaces. None if nothing had arrived: then there is no message. Raises as `end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.interrupt_message, self._engine, message_id, fence
        )
        message: Message | None = self._do(command, by)
        return message

    def streams(self) -> tuple[StreamView, ...]:
        """Return the messages that are being written, in the order in which they began."""
        return self._engine.shelter.read(late_verbs.streams, self._core)

    def follow_message(self, message_id: str, after: int = 0) -> Iterator[MessageUpdate]:
        """Yield the chunks of a message as they are stored, and its end; then stop.

        Whoever comes late gets what is there first, and goes on. ``after`` is the ``sequence`` of the
        last chunk that the caller has: nothing comes twice, and nothing is missing. The last update
        has ``ended`` and the whole ``message``. Raises `InvalidArgument` for an unknown message.
        """
        check_count("after", after, "chunks")
        self._engine.shelter.read(import_module, "eventlog.engine.streams.reading")
        from eventlog.engine.streams.reading import following_message

        entries = following_message(self._core, message_id, after)
        return (update for update in entries if update is not None)
