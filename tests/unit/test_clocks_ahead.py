"""Times recorded by a clock that was ahead hold nothing up for longer than right ones (F2)."""

from __future__ import annotations

import pytest

from eventlog import (
    AutoCommitPolicy,
    Finalizer,
    Log,
    Message,
    RetryPolicy,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.clock import format_time, parse_time
from eventlog.session.tasks.commands import ClaimTask, RenewLease
from eventlog.session.tasks.events import OwnerData
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute

LEASE = 300_000_000
YEARS = 10 * 365 * 86_400
ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


def committed(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    session.commit()
    return session


def task_id(log: Log) -> str:
    (task,) = log.tasks("s")
    return task.task_id


def failing(request: SummaryRequest) -> Summary:
    raise ConnectionError("busy")


def fail_ahead(log: Log, clock: FakeClock) -> None:
    """Have an attempt fail while the clock is years ahead, then set it right."""
    clock.jump(YEARS)
    Worker(log, Finalizer(failing), retry=RetryPolicy(base_seconds=8), draw=lambda: 1.0).run_once()
    clock.jump(-YEARS)
    assert log.task(task_id(log)).state == "retry"


def claim_ahead(log: Log, clock: FakeClock) -> int:
    """Have a worker elsewhere claim the task while the clock is years ahead, then set it right."""
    clock.jump(YEARS)
    claim = ClaimTask(task_id(log), "owner", ELSEWHERE, LEASE, 3)
    fence: int = execute(log, "s", claim).fence
    clock.jump(-YEARS)
    clock.advance(2 * 300)  # The jump is long ago.
    return fence


def test_a_retry_is_waited_for_one_cap_of_the_back_off(log: Log, clock: FakeClock) -> None:
    committed(log)
    fail_ahead(log, clock)

    assert Worker(log).run_once() == 0
    clock.advance(59)
    assert Worker(log).run_once() == 0
    clock.advance(1)
    assert Worker(log).run_once() == 1


def test_the_next_failure_is_waited_for_as_long_as_was_drawn(log: Log, clock: FakeClock) -> None:
    """The session's time stays in the future; the delay counts from the clock that is right."""
    committed(log)
    fail_ahead(log, clock)
    worker = Worker(log, Finalizer(failing), retry=RetryPolicy(base_seconds=8), draw=lambda: 1.0)
    worker.run_once()
    clock.advance(60)
    worker.run_once()
    assert log.task(task_id(log)).attempts == 2

    clock.advance(15)
    assert Worker(log).run_once() == 0
    clock.advance(1)
    assert Worker(log).run_once() == 1


def test_a_lease_is_waited_for_one_lease(log: Log, clock: FakeClock) -> None:
    committed(log)
    claim_ahead(log, clock)

    assert Worker(log).run_once() == 0
    clock.advance(299)
    assert Worker(log).run_once() == 0
    clock.advance(1)
    assert Worker(log).run_once() == 1


def test_an_owner_that_is_alive_keeps_what_it_claimed(log: Log, clock: FakeClock) -> None:
    """Its first renewal brings the end of the lease back into the present."""
    committed(log)
    fence = claim_ahead(log, clock)
    Worker(log).run_once()
    clock.advance(100)
    execute(log, "s", RenewLease(task_id(log), fence, LEASE))

    clock.advance(299)
    assert Worker(log).run_once() == 0
    clock.advance(1)
    assert Worker(log).run_once() == 1


def test_a_longer_lease_of_another_worker_is_believed(log: Log, clock: FakeClock) -> None:
    committed(log)
    execute(log, "s", ClaimTask(task_id(log), "owner", ELSEWHERE, 10 * LEASE, 3))

    for _ in range(9):
        assert Worker(log).run_once() == 0
        clock.advance(300)
    assert Worker(log).run_once() == 0
    clock.advance(300)
    assert Worker(log).run_once() == 1


@pytest.mark.parametrize("how", ["failed", "claimed"])
def test_a_retry_that_is_asked_for_frees_the_task_at_once(
    log: Log, clock: FakeClock, how: str
) -> None:
    """An operator need not wait for what the worker waits for."""
    session = committed(log)
    if how == "failed":
        fail_ahead(log, clock)
    else:
        claim_ahead(log, clock)

    assert session.retry("archive_001") == "accepted"
    assert Worker(log).run_once() == 1
    assert log.verify("s") == []


def test_what_waits_for_good_reason_is_running(log: Log, clock: FakeClock) -> None:
    session = committed(log)
    Worker(log, Finalizer(failing), draw=lambda: 1.0).run_once()
    assert session.retry("archive_001") == "running"
    clock.advance(2)
    execute(log, "s", ClaimTask(task_id(log), "owner", ELSEWHERE, LEASE, 3))
    assert session.retry("archive_001") == "running"


def test_an_idle_session_is_committed_one_idle_time_after_it_was_seen(
    log: Log, clock: FakeClock
) -> None:
    session = log.session("s", create=True, auto_commit=AutoCommitPolicy(idle_seconds=80))
    clock.jump(YEARS)
    session.append(Message.user("hello"))
    clock.jump(-YEARS)

    assert log.commit_idle() == ()
    clock.advance(79)
    assert log.commit_idle() == ()
    clock.advance(1)
    assert [result.archived for result in log.commit_idle()] == [1]


def test_what_is_said_meanwhile_begins_the_idle_time_anew(log: Log, clock: FakeClock) -> None:
    session = log.session("s", create=True, auto_commit=AutoCommitPolicy(idle_seconds=80))
    clock.jump(YEARS)
    session.append(Message.user("hello"))
    clock.jump(-YEARS)
    log.commit_idle()
    clock.advance(70)
    session.append(Message.user("more"))

    assert log.commit_idle() == ()
    clock.advance(79)
    assert log.commit_idle() == ()
    clock.advance(1)
    assert [result.archived for result in log.commit_idle()] == [2]


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (253_402_300_800_000_000, "+10000-01-01T00:00:00.000000Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
        (-62_135_596_800_000_001, "+00000-12-31T23:59:59.999999Z"),
        (-62_167_219_200_000_001, "-00001-12-31T23:59:59.999999Z"),
        ((1 << 63) - 1, "+294247-01-10T04:00:54.775807Z"),
    ],
)
def test_a_time_of_any_year_can_be_shown(microseconds: int, text: str) -> None:
    assert format_time(microseconds) == text


def test_a_time_that_can_be_read_is_shown_as_it_was() -> None:
    assert format_time(parse_time("1970-01-01T00:00:00Z") - 1) == "1969-12-31T23:59:59.999999Z"


def test_a_session_of_a_distant_year_is_shown(log: Log, clock: FakeClock) -> None:
    clock.jump(9_000 * 365.2425 * 86_400)
    session = committed(log)

    assert session.meta.updated_at.startswith("+11026-")
    assert [entry.time[:7] for entry in log.read("s", limit=1)] == ["+11026-"]
    assert [view.created_at[:7] for view in log.tasks()] == ["+11026-"]
