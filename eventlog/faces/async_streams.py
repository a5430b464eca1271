"""The twin of `eventlog.faces.streams`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog import late_verbs
from eventlog.argument_checks import check_count
from eventlog.engine import arguments
from eventlog.faces.async_base import AsyncBase
from eventlog.session.messages import Message
from eventlog.session.streams.coalescing import (
    BUFFER_BYTES,
    CHUNK_BYTES,
    LEASE_SECONDS,
    WINDOW_SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from eventlog.engine.streams.reading import MessageUpdate, StreamView
    from eventlog.message_streams import AsyncMessageStream
    from eventlog.session.messages import Role, ToolPart
    from eventlog.session.streams.commands import BegunMessage
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncStreamVerbs"]


class AsyncStreamVerbs(AsyncBase):
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
    ) -> AsyncMessageStream:
        """Return a context manager in which one message is written while it arrives.

        See `Session.stream`.
        """
        from eventlog.message_streams import AsyncMessageStream, stream_terms

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
        return AsyncMessageStream(self._engine, self._core, terms)

    async def begin_message(
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

        See `Session.begin_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(
            late_verbs.begin_message,
            self._engine.blocking,
            self._core,
            role,
            message_id,
            fields,
            lease_seconds,
            idempotency_key,
            self._fence is not None,
            holder,
        )
        begun: BegunMessage = await self._do(command, by)
        return begun

    async def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease.

        See `Session.append_chunk`.
        """
        command = await self._engine.run(
            late_verbs.append_chunk,
            self._engine.blocking,
            self._core,
            message_id,
            fence,
            sequence,
            content,
        )
        await self._do(command, None)

    async def end_message(
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

        See `Session.end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.end_message, self._engine.blocking, self._core, message_id, fence, message
        )
        ended: Message = await self._do(command, by)
        return ended

    async def interrupt_message(
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

        See `Session.interrupt_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.interrupt_message, self._engine.blocking, message_id, fence
        )
        message: Message | None = await self._do(command, by)
        return message

    async def streams(self) -> tuple[StreamView, ...]:
        """Return the messages that are being written, in the order in which they began."""
        return await self._engine.run(late_verbs.streams, self._core)

    async def follow_message(self, message_id: str, after: int = 0) -> AsyncIterator[MessageUpdate]:
        """Yield the chunks of a message as they are stored, and its end; then stop.

        See `Session.follow_message`.
        """
        check_count("after", after, "chunks")
        from eventlog.engine.streams.reading import following_message

        entries = following_message(self._core, message_id, after)
        async for update in self._engine.iterate(entries):
            yield update
