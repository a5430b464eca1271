"""The twin of `eventlog.faces.messages`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from eventlog.engine import arguments, queries
from eventlog.faces.async_base import AsyncBase
from eventlog.records import ANY, Expected
from eventlog.session.commands import ABANDONED
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.trace_context import TraceContext

__all__ = ["AsyncMessageVerbs"]


class AsyncMessageVerbs(AsyncBase):
    """Recording messages, results and usage, and taking messages back."""

    async def append(
        self,
        message: Message | dict[str, Any],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """Append one message and return it, with its id.

        See `Session.append`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        request = arguments.append_one(
            self._core,
            self._engine.estimate_tokens,
            message,
            idempotency_key,
            by,
            expected,
            self._fence,
        )
        appended: Message = await self._engine.answer(request)
        return appended

    async def extend(
        self,
        messages: Iterable[Message | dict[str, Any]],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Append messages in one atomic batch, all validated first; raises as `append` does."""
        command = arguments.append(
            self._core, self._engine.estimate_tokens, messages, idempotency_key, self._fence
        )
        if not command.messages:
            return ()
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        appended: tuple[Message, ...] = await self._do(
            command, by, arguments.expected_version(expected)
        )
        return appended

    async def record_tool_result(
        self,
        message_id: str,
        tool_id: str,
        output: str,
        status: Literal["running", "completed", "error"] = "completed",
        *,
        duration_ms: float | None = None,
        occurrence: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record the result of a tool call; every later read of the call's message includes it.

        See `Session.record_tool_result`.
        """
        command = arguments.tool_result(
            self._core,
            self._engine.estimate_tokens,
            message_id,
            tool_id,
            output,
            status,
            duration_ms,
            occurrence,
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(command, by, arguments.expected_version(expected))

    async def abandon_call(
        self,
        message_id: str,
        tool_id: str,
        *,
        occurrence: int | None = None,
        reason: str = ABANDONED,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Close a live call that will get no answer; return whether it was open.

        See `Session.abandon_call`.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = await self._do(command, by, arguments.expected_version(expected))
        return was_open

    async def withdraw(
        self,
        *,
        last: int | None = None,
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Take live messages out of the session for good, and return them.

        See `Session.withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(arguments.withdrawal, last, message_ids, after, expected)
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    async def replace(
        self,
        *,
        messages: Iterable[Message | dict[str, Any]],
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Put messages in the place of live ones, and return those that are withdrawn.

        See `Session.replace`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(
            arguments.replacement,
            self._core,
            self._engine.estimate_tokens,
            messages,
            message_ids,
            after,
            expected,
        )
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    async def clear(
        self,
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Withdraw all live messages, and return them; contexts show nothing from before.

        See `Session.clear`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(arguments.clearing, expected)
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    async def used(
        self,
        contexts: Sequence[str] = (),
        skill: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record that contexts (URIs) and a skill were used; they belong to the next commit."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(arguments.usage(contexts, skill), by)
