"""What is done later: commits, tasks and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog import late_verbs
from eventlog.engine import arguments
from eventlog.faces.base import Base
from eventlog.session.commit import CommitResult
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.trace_context import TraceContext

__all__ = ["WorkVerbs"]


class WorkVerbs(Base):
    """What is done later: commits, tasks and runs."""

    def enqueue(
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

        The id is also that of the run's task and of its turn. The message is in the tail once its run
        begins; until then it is in the queue, and is not lost either. The messages of a session are
        run one after another, in this order; one that failed for good holds up no other.

        The message's id is its idempotency key, here and in `append`: queuing it again changes nothing
        and returns the same id. Raises `InvalidMessage`, `SessionClosed`, and `DuplicateEvent` if
        another message has this id or the session has the message already. Until the run has begun,
        its id is taken: `append` and whatever else records messages raise `DuplicateEvent` for it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.enqueue, self._engine, self._core, message, idempotency_key
        )
        run_id: str = self._do(command, by)
        return run_id

    def stop_run(
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

        One that is executed is cancelled by its supervisor: what has arrived of its messages is kept,
        marked ``interrupted``. One that only waits is cancelled at once. None if there is none to
        cancel. Messages behind it in the queue stay there.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.stop_run, self._engine, self._core, run_id, reason
        )
        stopped: str | None = self._do(command, by)
        return stopped

    def commit(
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

        The newest ``keep_recent`` messages stay live; with ``keep_turn_tokens`` instead, the newest
        whole rounds within that number of tokens do. A round is a user message and what follows it.
        A round with a tool call that awaits its result always stays live, and so does what came
        after the beginning of an open turn. A worker summarises the archive later.

        Returns ``skipped``, with the reason, if there is nothing to archive. Raises `CommitBlocked`
        if an earlier archive failed for good and the session's policy is to wait for it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        engine = self._engine
        kept = keep_recent, keep_turn_tokens
        command = engine.plain_commit(self._core, self._fence, *kept)
        if command is None:
            command = engine.shelter.read(engine.commit_command, self._core, *kept)
        observer = engine.observer
        if observer is None:
            result: CommitResult = self._do(command, by)
            return result
        with observer.commit(self.id) as note:
            result = self._do(command, by)
            note(result)
        return result

    def retry(
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

        Returns ``accepted``, ``already_completed``, or ``running`` for a task that has not failed.
        Raises `ArchiveNotFound`, `TaskNotFound`, and `IllegalTransition` for a task that was
        abandoned.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.retry, self.id, archive_id, reason)
        status: RetryStatus = self._do(command, by)
        return status

    def abandon(
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

        A running attempt can no longer change anything, and the archives after it are no longer
        blocked; its messages stay in contexts until a later overview covers them. Raises
        `ArchiveNotFound`, `TaskNotFound`, and `IllegalTransition` for a task that is completed.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.abandon, self.id, archive_id, reason)
        self._do(command, by)

    def queue_task(
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

        ``payload`` is JSON. A worker whose `Finalizer` has a callable for the kind runs it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.task, kind, payload)
        task_id: str = self._do(command, by)
        return task_id
