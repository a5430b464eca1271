"""The twin of `eventlog.faces.work`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog import late_verbs
from eventlog.engine import arguments
from eventlog.faces.async_base import AsyncBase
from eventlog.session.commit import CommitResult
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncWorkVerbs"]


class AsyncWorkVerbs(AsyncBase):
    """What is done later: commits, tasks and runs."""

    async def enqueue(
        self,
        message: Message | dict[str, Any],
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Queue a message for a run, which a `Supervisor` executes; return the run's id.

        See `Session.enqueue`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.enqueue, self._engine.blocking, self._core, message, idempotency_key
        )
        run_id: str = await self._do(command, by)
        return run_id

    async def stop_run(
        self,
        run_id: str | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str | None:
        """Cancel a run, by default the one that is executed or waits for its restart; return its id.

        See `Session.stop_run`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.stop_run, self._engine.blocking, self._core, run_id, reason
        )
        stopped: str | None = await self._do(command, by)
        return stopped

    async def commit(
        self,
        keep_recent: int = 0,
        *,
        keep_turn_tokens: int | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> CommitResult:
        """Move the live messages into a new archive, and return at once.

        See `Session.commit`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        engine, kept = self._engine.blocking, (keep_recent, keep_turn_tokens)
        command = engine.plain_commit(self._core, self._fence, *kept)
        if command is None:
            command = await self._engine.run(engine.commit_command, self._core, *kept)
        observer = engine.observer
        if observer is None:
            result: CommitResult = await self._do(command, by)
            return result
        with observer.commit(self.id) as note:
            result = await self._do(command, by)
            note(result)
        return result

    async def retry(
        self,
        archive_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> RetryStatus:
        """Give a failed archive, or another failed task by its id, new attempts.

        See `Session.retry`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        status: RetryStatus = await self._do(arguments.retry(self.id, archive_id, reason), by)
        return status

    async def abandon(
        self,
        archive_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Abandon an unfinished archive, or another unfinished task by its id.

        See `Session.abandon`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(arguments.abandon(self.id, archive_id, reason), by)

    async def queue_task(
        self,
        kind: str,
        payload: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Queue a task of an application's own kind, such as ``acme.index``; return its id.

        See `Session.queue_task`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        task_id: str = await self._do(arguments.task(kind, payload), by)
        return task_id
