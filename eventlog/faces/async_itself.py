"""The twin of `eventlog.faces.itself`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.engine import arguments, queries
from eventlog.faces.async_base import AsyncBase
from eventlog.recorded import Recorded
from eventlog.records import ANY, Expected
from eventlog.session.commands import CreateSession
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from eventlog.event_values import Value
    from eventlog.events import Event
    from eventlog.session.events import FailedArchives
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncOwnVerbs"]


class AsyncOwnVerbs(AsyncBase):
    """The session itself: its creation, its end, its settings, and an application's own events."""

    async def ensure_created(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Record the creation of a new session at once, not with its first write; return whether
        this call created it.

        See `Session.ensure_created`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        created: bool = await self._do(CreateSession(self._core.creation), by)
        return created

    async def record(
        self,
        *events: Event | Message | dict[str, Any],
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Recorded, ...]:
        """Record events of an application's own types, in one atomic append.

        See `Session.record`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        recorded: tuple[Recorded, ...] = await self._do(
            arguments.events(
                self._core, self._engine.estimate_tokens, events, idempotency_key, self._fence
            ),
            by,
            arguments.expected_version(expected),
        )
        return recorded

    async def value(self, value: Value | str) -> bytes:
        """Return the bytes that an event of the session names by a `Value`, or by its SHA-256.

        See `Session.value`.
        """
        return await self._engine.run(queries.read_value, self._core, value)

    async def assign_project(
        self,
        project: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Set the project of a session that has none; return whether it was set."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = await self._do(arguments.project(project), by)
        return done

    async def set_failed_archives(
        self,
        policy: FailedArchives,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Have commits wait for archives that failed for good (``block``), or go on (``skip``).

        See `Session.set_failed_archives`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = await self._do(arguments.failed_archives(policy), by)
        return done

    async def memory_session(
        self,
        provider: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Return the session's id at a provider that has no sessions of its own.

        See `Session.memory_session`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        memory_session_id: str = await self._do(arguments.memory_session(provider), by)
        return memory_session_id

    async def close(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session: it takes no more messages. Its open tasks are still completed."""
        await self._do(
            arguments.closing(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    async def delete(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session for good, and abandon its open tasks.

        See `Session.delete`.
        """
        await self._do(
            arguments.deletion(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )
