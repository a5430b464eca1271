"""The folded state of a task: one value per task, replaced by each of its events, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from eventlog.machine import ABSENT
from eventlog.session.runs.machine import INBOUND
from eventlog.session.tasks.events import (
    ArchiveAbandoned,
    ArchiveFailed,
    ArchiveFinalized,
    AttemptFailed,
    FollowUp,
    LeaseExpired,
    LeaseRenewed,
    OwnerData,
    RetryRequested,
    StepCompleted,
    TaskAbandoned,
    TaskClaimed,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskQueued,
    TaskReleased,
    TokenUsage,
)
from eventlog.session.tasks.machine import FINALISE, OPEN_STATES, TASK_MACHINE

if TYPE_CHECKING:
    from eventlog.records import Record
    from eventlog.session.events import CommitPrepared
    from eventlog.session.runs.events import RunCrashed

__all__ = [
    "PUBLISH_AFTER",
    "Task",
    "add_usage",
    "advance",
    "finalising_task",
    "follow_up_task",
    "queued_message",
    "queued_task",
]

PUBLISH_AFTER: Final = 30_000_000
"""Microseconds after which any process that finds a ``preparing`` task publishes it."""


@dataclass(slots=True)  # Not frozen: building one per event would take five times as long.
class Task:
    """One durable piece of work; all times in microseconds since the Unix epoch."""

    task_id: str
    kind: str
    session_id: str
    state: str = ABSENT
    archive: int | None = None
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    created_at: int = 0
    updated_at: int = 0
    due_at: int = 0
    """When the task can next be moved: published, claimed, or taken from a lost owner."""
    attempts: int = 0
    generation: int = 1
    fence: int = 0
    worker: str | None = None
    owner: OwnerData | None = None
    error: str | None = None
    claimed_at: int = 0
    """When the latest attempt began."""
    finished_at: int = 0
    """When the task reached a state that it does not leave by itself."""
    steps: dict[str, int] = field(default_factory=dict[str, int])
    """The completed steps in order, with the versions of their records."""
    usage: TokenUsage = field(default_factory=TokenUsage)
    result: Any = None

    @property
    def is_open(self) -> bool:
        """Whether the task proceeds by itself."""
        return self.state in OPEN_STATES

    @property
    def ordered(self) -> bool:
        """Whether the task waits for the earlier ones of its kind in its session (F1)."""
        return self.kind == FINALISE


_values: Final = attrgetter(*(each.name for each in fields(Task)))


def add_usage(left: TokenUsage, right: TokenUsage) -> TokenUsage:
    """Add token counts; a missing total is the sum of prompt and completion."""
    if not right:
        return left
    summed: dict[str, int] = dict(left)  # type: ignore[arg-type]  # all values are int
    addend: dict[str, int] = dict(right)  # type: ignore[arg-type]
    if "total_tokens" not in addend:
        addend["total_tokens"] = addend.get("prompt_tokens", 0) + addend.get("completion_tokens", 0)
    for name, count in addend.items():
        summed[name] = summed.get(name, 0) + count
    return summed  # type: ignore[return-value]


def finalising_task(record: Record, event: CommitPrepared) -> Task | None:
    """Return the task that a commit queues."""
    return _begun(
        record, Task(task_id=event.task_id, kind=FINALISE, session_id="", archive=event.archive)
    )


def queued_task(record: Record, event: TaskQueued) -> Task | None:
    """Return the task of a user's own kind that was queued."""
    return _begun(
        record,
        Task(task_id=event.task_id, kind=event.kind, session_id="", payload=event.payload),
    )


def queued_message(record: Record, task_id: str) -> Task | None:
    """Return the task of an inbound message that was queued."""
    return _begun(record, Task(task_id=task_id, kind=INBOUND, session_id=""))


def follow_up_task(record: Record, archive: int, follow_up: FollowUp) -> Task | None:
    """Return a follow-up task that the completion of an archive queues."""
    task = Task(
        task_id=follow_up["task_id"], kind=follow_up["kind"], session_id="", archive=archive
    )
    return _begun(record._replace(type=TaskQueued.event_type), task)


def _begun(record: Record, task: Task) -> Task | None:
    task.session_id = record.stream
    return advance(task, record, TaskEvent(task_id=task.task_id))


def advance(task: Task, record: Record, event: TaskEvent) -> Task | None:
    """Return the task after an event about it; None if the machine does not allow it (P7)."""
    state = TASK_MACHINE.table.get((task.state, record.type))
    if state is None:
        return None
    moved = Task(*_values(task))
    moved.state = state
    moved.updated_at = record.time
    if record.type in _CHANGES:
        for name, value in _CHANGES[record.type](task, record, event).items():
            setattr(moved, name, value)
    return moved


def _queued(task: Task, record: Record, event: TaskEvent) -> dict[str, Any]:
    return {"created_at": record.time, "due_at": record.time}


def _prepared(task: Task, record: Record, event: TaskEvent) -> dict[str, Any]:
    return {"created_at": record.time, "due_at": record.time + PUBLISH_AFTER}


def _published(task: Task, record: Record, event: TaskEvent) -> dict[str, Any]:
    return {"due_at": record.time}


def _claimed(task: Task, record: Record, event: TaskClaimed) -> dict[str, Any]:
    return {
        "worker": event.worker,
        "owner": event.owner,
        "attempts": event.attempt,
        "fence": record.version,
        "claimed_at": record.time,
        "due_at": event.lease_until,
    }


def _renewed(task: Task, record: Record, event: LeaseRenewed) -> dict[str, Any]:
    return {"due_at": event.lease_until, "updated_at": task.updated_at}


def _step(task: Task, record: Record, event: StepCompleted) -> dict[str, Any]:
    return {
        "steps": {**task.steps, event.step: record.version},
        "usage": add_usage(task.usage, event.usage),
    }


def _lost(task: Task, record: Record, event: LeaseExpired) -> dict[str, Any]:
    return {"error": event.error, "due_at": record.time, **_NO_OWNER}


def _released(task: Task, record: Record, event: TaskReleased) -> dict[str, Any]:
    return {"attempts": max(0, task.attempts - 1), "due_at": record.time, **_NO_OWNER}


def _attempt_failed(
    task: Task, record: Record, event: AttemptFailed | RunCrashed
) -> dict[str, Any]:
    return {"error": event.error, "due_at": event.next_run_at, **_NO_OWNER}


def _failed(task: Task, record: Record, event: ArchiveFailed | TaskFailed) -> dict[str, Any]:
    return {"error": event.error, **_ended(record)}


def _finalized(task: Task, record: Record, event: ArchiveFinalized) -> dict[str, Any]:
    result = {
        "abstract": event.abstract,
        "covers": event.covers,
        "follow_ups": event.follow_ups,
        "token_usage": event.usage,
        "session_token_usage": event.session_usage,
    }
    return {"error": None, "result": result, **_ended(record)}


def _completed(task: Task, record: Record, event: TaskCompleted) -> dict[str, Any]:
    return {
        "error": None,
        "usage": add_usage(task.usage, event.usage),
        "result": event.result,
        **_ended(record),
    }


def _retried(task: Task, record: Record, event: RetryRequested) -> dict[str, Any]:
    return {
        "attempts": 0,
        "generation": task.generation + 1,
        "due_at": record.time,
        "finished_at": 0,
    }


def _abandoned(
    task: Task, record: Record, event: ArchiveAbandoned | TaskAbandoned
) -> dict[str, Any]:
    return {"error": event.reason or task.error, **_ended(record)}


def _run_started(task: Task, record: Record, event: Any) -> dict[str, Any]:
    return {
        "worker": event.supervisor,
        "attempts": event.attempt,
        "fence": record.version,
        "claimed_at": record.time,
        "due_at": record.time,
    }


def _run_over(task: Task, record: Record, event: Any) -> dict[str, Any]:
    error = getattr(event, "error", None) or getattr(event, "reason", None)
    return {"error": error, **_ended(record)}


def _run_released(task: Task, record: Record, event: Any) -> dict[str, Any]:
    return {"due_at": record.time, **_NO_OWNER}


def _ended(record: Record) -> dict[str, Any]:
    return {"due_at": 0, "finished_at": record.time, **_NO_OWNER}


_NO_OWNER: Final[dict[str, Any]] = {"worker": None, "owner": None}

_CHANGES: Final[dict[str, Callable[[Task, Any, Any], dict[str, Any]]]] = {
    "commit_prepared": _prepared,
    "commit_published": _published,
    "task_queued": _queued,
    "task_claimed": _claimed,
    "lease_renewed": _renewed,
    "step_completed": _step,
    "lease_expired": _lost,
    "task_released": _released,
    "attempt_failed": _attempt_failed,
    "archive_finalized": _finalized,
    "task_completed": _completed,
    "archive_failed": _failed,
    "task_failed": _failed,
    "retry_requested": _retried,
    "archive_abandoned": _abandoned,
    "task_abandoned": _abandoned,
    "message_enqueued": _queued,
    "run_started": _run_started,
    "run_crashed": _attempt_failed,
    "run_released": _run_released,
    "run_completed": _run_over,
    "run_failed": _run_over,
    "run_cancelled": _run_over,
    "run_abandoned": _run_over,
}
