"""The events that move a task, and the facts that a worker records on the way."""

from __future__ import annotations

from typing import (
    Any,
    NotRequired,  # pydantic cannot read typing's before 3.12
)

from typing_extensions import TypedDict

from eventlog.events import Event

__all__ = [
    "ArchiveAbandoned",
    "ArchiveFailed",
    "ArchiveFinalized",
    "AttemptFailed",
    "CommitPublished",
    "FollowUp",
    "LeaseExpired",
    "LeaseRenewed",
    "OwnerData",
    "RetryRequested",
    "StepCompleted",
    "TaskAbandoned",
    "TaskClaimed",
    "TaskCompleted",
    "TaskEvent",
    "TaskFailed",
    "TaskQueued",
    "TaskReleased",
    "TokenUsage",
]


class TokenUsage(TypedDict, total=False):
    """What model calls cost, in tokens; a missing count is zero."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    embedding_tokens: int


class OwnerData(TypedDict):
    """The process that holds a lease: enough to prove on the same host that it is gone.

    With a ``presence``, the store may prove it for processes in other containers.
    """

    host: str
    boot: str
    pid: int
    started: str
    presence: NotRequired[str]


class FollowUp(TypedDict):
    """A task that the completion of another queues."""

    task_id: str
    kind: str


class TaskEvent(Event):
    """An event about one task."""

    task_id: str


class CommitPublished(TaskEvent, type="commit_published"):
    """The raw archive is visible to its readers: the task may be claimed."""


class TaskQueued(TaskEvent, type="task_queued"):
    """A task of a user's own kind awaits a worker."""

    kind: str
    payload: dict[str, Any]


class TaskClaimed(TaskEvent, type="task_claimed"):
    """A worker took the task; the version of this record is the fence for everything it writes."""

    worker: str
    owner: OwnerData
    attempt: int
    lease_until: int


class LeaseRenewed(TaskEvent, type="lease_renewed"):
    """The owner is alive and needs more time."""

    fence: int
    lease_until: int


class LeaseExpired(TaskEvent, type="lease_expired"):
    """The owner was found gone; the attempt counts."""

    fence: int
    error: str


class TaskReleased(TaskEvent, type="task_released"):
    """The owner was asked to stop and gave the task back; the attempt does not count."""

    fence: int
    reason: str


class StepCompleted(TaskEvent, type="step_completed"):
    """One step is done and paid for: a later attempt reads its output instead of repeating it.

    A large output is stored as JSON text in the session's value with the digest ``blob`` (L11);
    ``output`` is empty then.
    """

    fence: int
    step: str
    output: Any
    usage: TokenUsage
    blob: str | None = None


class ArchiveFinalized(TaskEvent, type="archive_finalized"):
    """The archive is done: its overview is what contexts show from here on (P4).

    ``covers`` names the archives that the overview covers in addition to those that the previous
    overview covered. ``usage`` is the cost of this archive, ``session_usage`` the cost of all tasks
    of the session so far; both are for readers, since the steps were counted already. ``finalizer``
    names what made the overview; records of earlier versions, and adopted archives, have no name.
    """

    fence: int
    archive: int
    overview: str
    abstract: str
    covers: list[int]
    usage: TokenUsage
    session_usage: TokenUsage
    follow_ups: list[FollowUp]
    finalizer: str | None = None


class AttemptFailed(TaskEvent, type="attempt_failed"):
    """An attempt failed and another one may succeed; ``next_run_at`` is the time of that one."""

    fence: int
    error: str
    next_run_at: int


class ArchiveFailed(TaskEvent, type="archive_failed"):
    """The archive's finalisation failed for good, unless somebody asks for a retry."""

    error: str


class RetryRequested(TaskEvent, type="retry_requested"):
    """Somebody asked for another generation of attempts."""

    reason: str | None = None


class ArchiveAbandoned(TaskEvent, type="archive_abandoned"):
    """Somebody gave up the archive's finalisation; the archives after it may go on."""

    reason: str | None = None


class TaskCompleted(TaskEvent, type="task_completed"):
    """A follow-up, or a task of a user's own kind, is done."""

    fence: int
    result: Any
    usage: TokenUsage


class TaskFailed(TaskEvent, type="task_failed"):
    """A follow-up, or a task of a user's own kind, failed for good; it blocks nothing."""

    error: str


class TaskAbandoned(TaskEvent, type="task_abandoned"):
    """Somebody gave up a follow-up, or a task of a user's own kind."""

    reason: str | None = None
