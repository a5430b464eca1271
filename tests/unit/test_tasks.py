"""Tasks as pollers and operators see them (F9, F11), and the fences of their owners (P5, P6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import eventlog
from eventlog import (
    ArchiveNotFound,
    CorruptError,
    Finalizer,
    IllegalTransition,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    Session,
    SessionClosed,
    TaskNotFound,
    Worker,
)
from eventlog.session.command import Draft
from eventlog.session.commit import Commit
from eventlog.session.index import archive_key
from eventlog.session.tasks.commands import (
    Claim,
    ClaimTask,
    CompleteStep,
    CompleteTask,
    FailAttempt,
    FinalizeArchive,
    ReleaseTask,
    RenewLease,
)
from eventlog.session.tasks.events import OwnerData
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from tests.shares import on_two_stores

OWNER = OwnerData(host="elsewhere", boot="", pid=1, started="")
LEASE_SECONDS = 300
LEASE = LEASE_SECONDS * 1_000_000


@dataclass
class Task:
    """A task of an archive, and what workers and operators do to it."""

    log: Log
    session: Session
    task_id: str
    fence: int = 0

    def do(self, command: Any) -> Any:
        return execute(self.log, self.session.id, command)

    def claim(self, attempts: int = 3) -> Claim:
        command = ClaimTask(self.task_id, "worker-1", OWNER, LEASE, attempts)
        claim: Claim = self.do(command)
        self.fence = claim.fence or self.fence
        return claim

    def fail(self, *, fatal: bool = False, delay: int = 0) -> None:
        self.do(FailAttempt(self.task_id, self.fence, "boom", fatal, 3, delay))

    def finalize(self) -> None:
        self.do(FinalizeArchive(self.task_id, self.fence, "overview", "abstract", (1,), {}, ()))

    @property
    def state(self) -> str:
        return self.log.task(self.task_id).state


@pytest.fixture
def task(log: Log) -> Task:
    """The pending task of a session's first archive."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    return Task(log, session, session.commit().task_id or "")


def _running(task: Task) -> None:
    task.claim()


def _retry(task: Task) -> None:
    task.claim()
    task.fail()


def _completed(task: Task) -> None:
    task.claim()
    task.finalize()


def _failed(task: Task) -> None:
    task.claim()
    task.fail(fatal=True)


def _abandoned(task: Task) -> None:
    task.session.abandon("archive_001", reason="enough")


STATES: dict[str, Callable[[Task], None]] = {
    "pending": lambda task: None,
    "running": _running,
    "retry": _retry,
    "completed": _completed,
    "terminal_failed": _failed,
    "abandoned": _abandoned,
}
in_each_state = pytest.mark.parametrize("state", STATES)

# ---- looking ----------------------------------------------------------------------------------


@in_each_state
def test_a_task_is_seen_in_its_state_and_in_the_words_of_pollers(task: Task, state: str) -> None:
    """F11."""
    STATES[state](task)

    view = task.log.task(task.task_id)

    words = {"retry": "running", "terminal_failed": "failed", "abandoned": "failed"}
    assert (view.state, view.status) == (state, words.get(state, state))
    assert (view.session_id, view.kind, view.archive_id) == ("s", "finalise", "archive_001")
    assert view.archive_uri == "eventlog://s/history/archive_001"
    assert view.attempts == (0 if state in ("pending", "abandoned") else 1)
    assert view.worker == ("worker-1" if state == "running" else None)
    assert (view.due_at == "") is (state in ("completed", "terminal_failed", "abandoned"))
    errors = {"retry": "boom", "terminal_failed": "boom", "abandoned": "enough"}
    assert view.error == errors.get(state)
    assert [archive.state for archive in task.session.archives()] == [state]


def test_a_task_that_nobody_queued_is_not_found(log: Log) -> None:
    for look in (log.task, log.retry, log.abandon):
        with pytest.raises(TaskNotFound, match="`eventlog tasks` lists the known ones"):
            look("00000000-0000-7000-8000-000000000000")


def test_times_of_a_task_are_those_of_its_events(task: Task, clock: FakeClock) -> None:
    clock.advance(10)
    task.claim()
    clock.advance(10)
    task.do(RenewLease(task.task_id, task.fence, LEASE))

    view = task.log.task(task.task_id)

    assert view.created_at == "2026-01-01T00:00:00.000000Z"
    assert view.updated_at == "2026-01-01T00:00:10.000000Z"
    assert view.due_at == "2026-01-01T00:05:20.000000Z"
    assert task.session.meta.updated_at == view.updated_at


def test_tasks_are_listed_oldest_first_by_session_state_and_kind(log: Log) -> None:
    """F11: queue depth comes from the log."""
    ids: list[str | None] = []
    for name in ("a", "b"):
        session = log.session(name, create=True)
        session.append(Message.user("x"))
        ids.append(session.commit().task_id)
        ids.append(session.queue_task("acme.index", {"n": 1}))
    log.session("a").abandon("archive_001")

    def listed(**options: Any) -> list[str]:
        return [view.task_id for view in log.tasks(**options)]

    assert listed() == ids
    assert listed(session="b") == ids[2:]
    assert listed(kind="acme.index") == [ids[1], ids[3]]
    assert listed(state="abandoned") == listed(state="failed") == [ids[0]]
    assert listed(state="pending", session="a") == [ids[1]]
    assert listed(session="nobody") == []


def test_a_task_kind_of_ones_own_has_a_prefix(log: Log) -> None:
    """L16."""
    session = log.session("s", create=True)

    with pytest.raises(InvalidArgument, match=r"such as 'acme\.index'"):
        session.queue_task("index")
    assert not log.exists("s")
    view = log.task(session.queue_task("acme.index"))
    assert (view.kind, view.state, view.archive_id) == ("acme.index", "pending", None)


# ---- operators --------------------------------------------------------------------------------


@in_each_state
@pytest.mark.parametrize("by", ["archive", "task"])
def test_a_retry_is_answered_by_the_state(task: Task, state: str, by: str) -> None:
    """F9."""
    STATES[state](task)
    version = task.session.version

    def retry() -> str:
        if by == "archive":
            return task.session.retry("archive_001", actor="ops", reason="look again")
        return task.log.retry(task.task_id, actor="ops", reason="look again")

    if state == "abandoned":
        with pytest.raises(IllegalTransition, match="'abandoned'"):
            retry()
    else:
        answers = {"completed": "already_completed", "terminal_failed": "accepted"}
        assert retry() == answers.get(state, "running")
    recorded = 1 if state == "terminal_failed" else 0
    assert task.log.store.head("s").version == version + recorded


def test_a_retried_task_is_the_same_one_in_its_next_generation(task: Task) -> None:
    """F3, F9: attempts begin anew, the id stays."""
    _failed(task)

    task.session.retry("archive_001", actor="ops", reason="fixed")

    view = task.log.task(task.task_id)
    assert (view.state, view.attempts, view.generation) == ("pending", 0, 2)
    (recorded,) = task.log.read("s", after=task.session.version - 1)
    assert recorded.metadata.actor == "ops"
    assert getattr(recorded.event, "reason", "") == "fixed"
    assert task.claim().attempt == 1


@in_each_state
def test_an_unfinished_task_can_be_given_up(task: Task, state: str) -> None:
    STATES[state](task)

    if state == "completed":
        with pytest.raises(IllegalTransition, match="'completed'"):
            task.session.abandon("archive_001")
    else:
        task.session.abandon("archive_001", reason="enough")
        assert task.state == "abandoned"
        task.session.abandon("archive_001", reason="twice is once")
        assert task.log.task(task.task_id).error == "enough"


def test_what_waits_behind_an_abandoned_archive_goes_on(task: Task) -> None:
    task.session.append(Message.user("more"))
    second = task.session.commit().task_id or ""
    assert task.do(ClaimTask(second, "w", OWNER, LEASE, 3)) == Claim()

    task.log.abandon(task.task_id, reason="enough")

    assert task.do(ClaimTask(second, "w", OWNER, LEASE, 3)).attempt == 1


def test_a_deleted_session_has_no_task_to_retry(task: Task) -> None:
    task.session.delete()
    for act in (task.session.retry, task.session.abandon):
        with pytest.raises(SessionClosed):
            act("archive_001")


def test_an_archive_that_the_index_has_lost_is_told_with_what_helps(task: Task) -> None:
    """P10: whether it was completed or abandoned is not guessed."""
    task.session.abandon("archive_001")
    task.log.store.put_index([(archive_key(task.session.id, 1), None)])
    for act in (task.session.retry, task.session.abandon):
        with pytest.raises(CorruptError, match="no task of archive_001; run `eventlog doctor"):
            act("archive_001")


def test_an_archive_that_does_not_exist_cannot_be_retried(task: Task) -> None:
    with pytest.raises(ArchiveNotFound, match="it has archive_001 to archive_001"):
        task.session.retry("archive_002")


# ---- owners -----------------------------------------------------------------------------------


def test_a_claimed_task_is_nobody_elses_until_its_lease_ends(task: Task, clock: FakeClock) -> None:
    """P5."""
    task.claim()

    clock.advance(LEASE_SECONDS - 0.000001)
    assert task.claim() == Claim()
    clock.advance(0.000001)
    assert task.claim().attempt == 2


def test_the_fence_is_the_version_of_the_claim(task: Task) -> None:
    claim = task.claim()

    assert claim.fence == task.session.version == task.log.store.head("s").version


LATE_WRITES: dict[str, Callable[[str, int], Any]] = {
    "renew": lambda task_id, fence: RenewLease(task_id, fence, LEASE),
    "release": lambda task_id, fence: ReleaseTask(task_id, fence, "late"),
    "step": lambda task_id, fence: CompleteStep(task_id, fence, "summary", {}, {}),
    "finalize": lambda task_id, fence: FinalizeArchive(task_id, fence, "o", "a", (1,), {}, ()),
    "complete": lambda task_id, fence: CompleteTask(task_id, fence, {}, {}),
    "fail": lambda task_id, fence: FailAttempt(task_id, fence, "late", True, 3, 0),
}


@on_two_stores
@pytest.mark.parametrize("write", LATE_WRITES)
@pytest.mark.parametrize("fate", ["taken over", "released", "finished", "abandoned"])
def test_a_late_owner_cannot_change_anything(
    task: Task, clock: FakeClock, write: str, fate: str
) -> None:
    """P5: every write of a worker carries its fence."""
    task.claim()
    late = task.fence
    if fate == "taken over":
        clock.advance(LEASE_SECONDS)
        task.claim()
    elif fate == "released":
        task.do(ReleaseTask(task.task_id, late, "stopped"))
    elif fate == "finished":
        task.finalize()
    else:
        task.session.abandon("archive_001")
    before = task.log.store.head("s").version

    with pytest.raises(LeaseLost) as caught:
        task.do(LATE_WRITES[write](task.task_id, late))

    assert (caught.value.task_id, caught.value.fence) == (task.task_id, late)
    assert "another attempt owns the task" in str(caught.value)
    assert task.log.store.head("s").version == before


def test_a_renewed_lease_counts_from_the_renewal(task: Task, clock: FakeClock) -> None:
    task.claim()
    clock.advance(100)
    task.do(RenewLease(task.task_id, task.fence, LEASE))

    clock.advance(LEASE_SECONDS - 1)
    assert task.claim() == Claim()
    clock.advance(1)
    assert task.claim().attempt == 2


def test_a_clock_that_goes_back_shortens_no_lease(task: Task, clock: FakeClock) -> None:
    task.claim()
    clock.advance(-200)
    task.do(RenewLease(task.task_id, task.fence, LEASE))

    assert task.log.task(task.task_id).due_at == "2026-01-01T00:05:00.000000Z"


def test_crashes_count_as_attempts_until_none_is_left(task: Task, clock: FakeClock) -> None:
    """P6: a poison archive ends, it never loops for ever."""
    for attempt in (1, 2, 3):
        assert task.claim().attempt == attempt
        clock.advance(LEASE_SECONDS)

    assert task.claim() == Claim(failed=True)

    view = task.log.task(task.task_id)
    assert (view.state, view.attempts, view.error) == ("terminal_failed", 3, "worker lost")
    assert task.claim() == Claim()


def test_a_released_attempt_does_not_count(task: Task) -> None:
    for _ in range(5):
        assert task.claim().attempt == 1
        task.do(ReleaseTask(task.task_id, task.fence, "stopped"))
    assert task.log.task(task.task_id).attempts == 0


def test_a_failed_attempt_waits_for_its_delay(task: Task, clock: FakeClock) -> None:
    """F3: as stored in the event."""
    task.claim()
    task.fail(delay=5_000_000)

    assert task.log.task(task.task_id).due_at == "2026-01-01T00:00:05.000000Z"
    clock.advance(4.999999)
    assert task.claim() == Claim()
    clock.advance(0.000001)
    assert task.claim().attempt == 2


def test_a_step_is_recorded_once(task: Task) -> None:
    """F5: and its tokens are counted once."""
    task.claim()
    for _ in range(2):
        task.do(CompleteStep(task.task_id, task.fence, "summary", {"a": 1}, {"prompt_tokens": 7}))

    assert task.log.task(task.task_id).steps == ("summary",)
    assert task.session.meta.llm_token_usage["prompt_tokens"] == 7


def test_a_task_of_another_kind_is_no_archive(log: Log) -> None:
    session = log.session("s", create=True)
    task = Task(log, session, session.queue_task("acme.index"))
    task.claim()

    with pytest.raises(InvalidArgument, match="which finalises no archive"):
        task.finalize()
    task.do(CompleteTask(task.task_id, task.fence, {"pages": 3}, {"prompt_tokens": 2}))

    view = log.task(task.task_id)
    assert (view.state, view.result) == ("completed", {"pages": 3})
    assert session.meta.llm_token_usage["total_tokens"] == 2


# ---- preparing --------------------------------------------------------------------------------


class PrepareOnly(Commit):
    """A commit whose folder was never written, because its process died."""

    def decide(self, state: Any, now: int, ids: Any) -> Any:
        drafts = super().decide(state, now, ids)
        return [draft for draft in drafts if isinstance(draft, Draft)][:1]


def test_a_task_that_nobody_published_is_published_by_whoever_finds_it(
    log: Log, clock: FakeClock
) -> None:
    """After 30 s: the log holds the messages, so nothing waits for an owner who died."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    result = execute(log, "s", PrepareOnly())
    task = Task(log, session, result.task_id)
    assert (task.state, log.task(task.task_id).status) == ("preparing", "pending")

    clock.advance(29.999999)
    assert task.claim() == Claim()
    assert Worker(log).run_once() == 0
    clock.advance(0.000001)
    worker = Worker(log, Finalizer(lambda request: eventlog.Summary(overview="o", abstract="")))

    assert worker.run_once() == 1
    assert task.state == "completed"
