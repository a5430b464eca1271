"""The commands that move tasks: a worker's, each fenced, and an operator's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, TypeVar, cast

from eventlog.errors import (
    ArchiveNotFound,
    CorruptError,
    IllegalTransition,
    InvalidArgument,
    LeaseLost,
    SessionClosed,
    TaskNotFound,
)
from eventlog.identifiers import format_id
from eventlog.session.command import Command, Draft, Facts, Outcome, require_open
from eventlog.session.commit import archive_id
from eventlog.session.runs.machine import INBOUND
from eventlog.session.tasks.events import (
    ArchiveAbandoned,
    ArchiveFailed,
    ArchiveFinalized,
    AttemptFailed,
    CommitPublished,
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
from eventlog.session.tasks.state import Task, add_usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = [
    "AbandonTask",
    "Claim",
    "ClaimTask",
    "CompleteStep",
    "CompleteTask",
    "FailAttempt",
    "FinalizeArchive",
    "PublishCommit",
    "QueueTask",
    "ReleaseTask",
    "RenewLease",
    "RetryTask",
]

Result = TypeVar("Result")

RetryStatus = Literal["accepted", "already_completed", "running"]

WORKER_LOST = "worker lost"
"""The error of an attempt that ends because its owner is gone."""

TRUSTED_LEASE: Final = 300_000_000
"""Microseconds. If a lease ends later than this from now, a retry by an operator takes the task for
stuck: a clock that was ahead must have recorded that end."""

TRUSTED_DELAY: Final = 60_000_000
"""The same limit for a task that waits for its next attempt: the default cap of the back-off."""


class Claim(NamedTuple):
    """The result of a claim: the right to write with this fence, if ``fence`` is set.

    Without a fence the task was not free. With ``failed`` its attempts were found to be used up, so
    that it has now failed for good.
    """

    fence: int | None = None
    attempt: int = 0
    failed: bool = False


def _failed_for_good(task: Task, error: str) -> TaskEvent:
    if task.ordered:
        return ArchiveFailed(task_id=task.task_id, error=error)
    return TaskFailed(task_id=task.task_id, error=error)


def _owned(state: SessionState, task_id: str, fence: int) -> Task:
    """Return the task if ``fence`` is its current owner's, else raise `LeaseLost` (P5)."""
    task = state.tasks.get(task_id)
    if task is None:
        raise LeaseLost(task_id, fence, "the task is finished")
    if task.state != "running":
        raise LeaseLost(task_id, fence, f"the task is {task.state!r}")
    if task.fence != fence:
        raise LeaseLost(task_id, fence, f"worker {task.worker!r} has fence {task.fence}")
    return task


@dataclass(frozen=True, slots=True)
class QueueTask(Command[str]):
    """Queue a task of a user's own kind (L16)."""

    kind: str
    payload: dict[str, Any]

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        task_id = format_id(ids())
        return [Draft(TaskQueued(task_id=task_id, kind=self.kind, payload=self.payload))]

    def result(self, recorded: Sequence[Recorded]) -> str:
        return cast("TaskQueued", recorded[0].event).task_id


@dataclass(frozen=True, slots=True)
class PublishCommit(Command[None]):
    """Make a commit's task claimable once its raw archive is in the folder."""

    task_id: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        task = state.tasks.get(self.task_id)
        if task is None or task.state != "preparing":
            return Outcome(None)
        return [Draft(CommitPublished(task_id=self.task_id))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class ClaimTask(Command[Claim]):
    """Take a task that is due and free, or whose owner is gone (F1, F2)."""

    task_id: str
    worker: str
    owner: OwnerData
    lease: int
    """Microseconds."""
    attempts: int
    """The most attempts that are allowed, crashes included (F3)."""
    owner_gone: int | None = None
    """The fence of an owner that is known to be dead, even if its lease has not ended."""
    distrusted: int | None = None
    """A due time that the claimer no longer trusts: while the task still has it, it counts as
    reached."""
    lease_now: int | None = None
    """The current time of the clock that leases are measured by, if that is not the log's."""
    expires_leases: bool = True
    """Whether the time can be trusted when it says that a lease has ended (F2)."""

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Claim]:
        task = state.tasks.get(self.task_id)
        if task is None or not self._is_free(task, now):
            return Outcome(Claim())
        if task.ordered and task is not state.lane_head():
            return Outcome(Claim())
        events: list[TaskEvent] = []
        if task.state == "preparing":
            events.append(CommitPublished(task_id=task.task_id))
        if task.state == "running":
            events.append(LeaseExpired(task_id=task.task_id, fence=task.fence, error=WORKER_LOST))
            if task.attempts >= self.attempts:
                events.append(_failed_for_good(task, WORKER_LOST))
                return [Draft(event) for event in events]
        events.append(
            TaskClaimed(
                task_id=task.task_id,
                worker=self.worker,
                owner=self.owner,
                attempt=task.attempts + 1,
                lease_until=(self.lease_now or now) + self.lease,
            )
        )
        return [Draft(event) for event in events]

    def _is_free(self, task: Task, now: int) -> bool:
        if task.state == "pending":
            return True
        if task.state == "running":
            if task.fence == self.owner_gone:
                return True
            is_over = task.due_at <= (self.lease_now or now) or task.due_at == self.distrusted
            return self.expires_leases and is_over
        return task.is_open and (task.due_at <= now or task.due_at == self.distrusted)

    def result(self, recorded: Sequence[Recorded]) -> Claim:
        last = recorded[-1]
        if isinstance(last.event, TaskClaimed):
            return Claim(fence=last.version, attempt=last.event.attempt)
        return Claim(failed=True)


@dataclass(frozen=True, slots=True)
class _OwnersCommand(Command[None]):
    """A command of the worker that holds the lease."""

    task_id: str
    fence: int

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RenewLease(_OwnersCommand):
    """Extend the lease."""

    lease: int
    lease_now: int | None = None

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        task = _owned(state, self.task_id, self.fence)
        until = (self.lease_now or now) + self.lease
        if task.due_at <= until + self.lease:  # Otherwise the clock that recorded it was ahead.
            until = max(until, task.due_at)
        return [Draft(LeaseRenewed(task_id=self.task_id, fence=self.fence, lease_until=until))]


@dataclass(frozen=True, slots=True)
class ReleaseTask(_OwnersCommand):
    """Give the task back unfinished, because the worker was asked to stop."""

    reason: str

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        _owned(state, self.task_id, self.fence)
        return [Draft(TaskReleased(task_id=self.task_id, fence=self.fence, reason=self.reason))]


@dataclass(frozen=True, slots=True)
class CompleteStep(Command[int]):
    """Record one step as done and paid for (F5); return the version of its record."""

    task_id: str
    fence: int
    step: str
    output: Any
    usage: TokenUsage
    blob: str | None = None

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[int]:
        task = _owned(state, self.task_id, self.fence)
        if self.step in task.steps:
            return Outcome(task.steps[self.step])
        return [Draft(self.event())]

    def event(self) -> StepCompleted:
        """Return the event to record for a step that is not recorded yet."""
        return StepCompleted(
            task_id=self.task_id,
            fence=self.fence,
            step=self.step,
            output=self.output,
            usage=self.usage,
            blob=self.blob,
        )

    def result(self, recorded: Sequence[Recorded]) -> int:
        return recorded[0].version


@dataclass(frozen=True, slots=True)
class FinalizeArchive(_OwnersCommand):
    """Complete an archive, and queue its follow-up tasks (F5, F8)."""

    overview: str
    abstract: str
    covers: tuple[int, ...]
    usage: TokenUsage
    """The cost of the recorded steps, which their own records have counted already."""
    follow_ups: tuple[str, ...]
    own_step: CompleteStep | None = None
    """The step that made the overview; it is recorded in the same append if it is not yet."""
    finalizer: str | None = None
    """What made the overview, by name."""

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        task = _owned(state, self.task_id, self.fence)
        if task.archive is None:
            raise InvalidArgument(
                f"task {self.task_id} is of kind {task.kind!r}, which finalises no archive"
            )
        made = None if self.own_step is None else self.own_step.event()
        cost = TokenUsage() if made is None else made.usage
        event = ArchiveFinalized(
            task_id=self.task_id,
            fence=self.fence,
            archive=task.archive,
            overview=self.overview,
            abstract=self.abstract,
            covers=list(self.covers),
            usage=add_usage(self.usage, cost),
            session_usage=add_usage(state.usage, cost),
            follow_ups=[FollowUp(task_id=format_id(ids()), kind=kind) for kind in self.follow_ups],
            finalizer=self.finalizer,
        )
        return [Draft(event)] if made is None else [Draft(made), Draft(event)]


@dataclass(frozen=True, slots=True)
class CompleteTask(_OwnersCommand):
    """Complete a follow-up, or a task of a user's own kind."""

    outcome: Any
    usage: TokenUsage
    own_step: CompleteStep | None = None
    """The step that the task consists of; it is recorded in the same append if it is not yet."""

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        _owned(state, self.task_id, self.fence)
        event = TaskCompleted(
            task_id=self.task_id, fence=self.fence, result=self.outcome, usage=self.usage
        )
        step = self.own_step
        return [Draft(event)] if step is None else [Draft(step.event()), Draft(event)]


@dataclass(frozen=True, slots=True)
class FailAttempt(_OwnersCommand):
    """Record a failed attempt; another one follows after ``delay``, or none (F3, F4)."""

    error: str
    fatal: bool
    attempts: int
    delay: int
    """Microseconds, drawn by the worker."""

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        task = _owned(state, self.task_id, self.fence)
        if self.fatal or task.attempts >= self.attempts:
            return [Draft(_failed_for_good(task, self.error))]
        event = AttemptFailed(
            task_id=self.task_id,
            fence=self.fence,
            error=self.error,
            next_run_at=now + self.delay,
        )
        return [Draft(event)]


@dataclass(frozen=True, slots=True)
class _OperatorsCommand(Command[Result]):
    """A command that names its task either by id or by the archive that it finalises."""

    task_id: str | None = None
    archive: int | None = None
    reason: str | None = None
    finished: Task | None = None
    """The task from the index if it is finished: the session's state holds no finished ones."""

    gathers: ClassVar[bool] = True

    def gather(self, facts: Facts, state: SessionState) -> Command[Result]:
        if self._unfinished(state) is not None:
            return self
        if self.archive is not None:
            return replace(self, finished=facts.task_of_archive(self.archive))
        return replace(self, finished=facts.task(self.task_id or ""))

    def reads_stored(self, state: SessionState) -> bool:
        """Return True: a task that another command of this round ends is not in the index yet."""
        return self._unfinished(state) is None

    def _unfinished(self, state: SessionState) -> Task | None:
        if self.archive is not None:
            return state.finalising(self.archive)
        return state.tasks.get(self.task_id or "")

    def _find(self, state: SessionState) -> Task | Literal["completed", "abandoned"]:
        if state.status in ("adopting", "deleted"):
            raise SessionClosed(state.session_id, state.status)
        if self.archive is not None and not state.has_archive(self.archive):
            raise ArchiveNotFound(state.session_id, archive_id(self.archive), state.commit_count)
        task = self._unfinished(state)
        if task is not None:
            return task
        if self.finished is None and self.archive is not None:
            raise CorruptError(
                f"the index has no task of {archive_id(self.archive)}; "
                "run `eventlog doctor --rebuild-index`"
            )
        if self.finished is None:
            raise TaskNotFound(self.task_id or "")
        return "abandoned" if self.finished.state == "abandoned" else "completed"

    def _subject(self) -> str:
        return f"task {self.task_id}" if self.archive is None else archive_id(self.archive)


def _is_stuck(task: Task, now: int) -> bool:
    """Return whether a task waits for a time that only a clock running ahead can have recorded."""
    ahead = task.due_at - now
    if task.state == "running":
        return ahead > max(TRUSTED_LEASE, task.due_at - task.claimed_at)
    return task.state == "retry" and ahead > max(TRUSTED_DELAY, task.due_at - task.updated_at)


@dataclass(frozen=True, slots=True)
class RetryTask(_OperatorsCommand[RetryStatus]):
    """Give new attempts to a task that failed for good, or is stuck with a wrong clock's time."""

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[RetryStatus]:
        task = self._find(state)
        if task == "completed":
            return Outcome("already_completed")
        if task == "abandoned":
            raise IllegalTransition(self._subject(), "abandoned", "retry_requested")
        if task.kind == INBOUND:
            require_open(state)
        retried = Draft(RetryRequested(task_id=task.task_id, reason=self.reason))
        if not task.is_open:
            return [retried]
        if task.kind == INBOUND or not _is_stuck(task, now):
            return Outcome("running")
        events: list[TaskEvent] = []
        if task.state == "running":
            events.append(LeaseExpired(task_id=task.task_id, fence=task.fence, error=WORKER_LOST))
        events.append(_failed_for_good(task, task.error or WORKER_LOST))
        return [*map(Draft, events), retried]

    def result(self, recorded: Sequence[Recorded]) -> RetryStatus:
        return "accepted"


@dataclass(frozen=True, slots=True)
class AbandonTask(_OperatorsCommand[None]):
    """Give up an unfinished task; tasks that wait for it go on."""

    def gather(self, facts: Facts, state: SessionState) -> Command[None]:
        task = self._unfinished(state)
        if task is None or task.kind != INBOUND:
            return _OperatorsCommand[None].gather(self, facts, state)
        from eventlog.session.runs.commands import SettleRun  # Few sessions have runs.

        settle = SettleRun(task.task_id, "abandoned", self.reason or "abandoned")
        return cast("Command[None]", settle.gather(facts, state))

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        task = self._find(state)
        if task == "abandoned":
            return Outcome(None)
        if task == "completed":
            raise IllegalTransition(self._subject(), "completed", "archive_abandoned")
        event = ArchiveAbandoned if task.ordered else TaskAbandoned
        return [Draft(event(task_id=task.task_id, reason=self.reason))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
