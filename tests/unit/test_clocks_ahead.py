"""Times recorded by a clock that was ahead hold nothing up for longer than right ones (F2)."""

from __future__ import annotations

import contextvars
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    AutoCommitPolicy,
    Finalizer,
    Log,
    Message,
    RetryPolicy,
    Session,
    Summary,
    SummaryRequest,
    TurnOpen,
    Worker,
)
from eventlog.clock import format_time, parse_time
from eventlog.session.index import read_task
from eventlog.session.tasks.commands import ClaimTask, RenewLease
from eventlog.session.tasks.events import OwnerData
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from tests.shares import examples, on_two_stores

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


def fail_ahead(log: Log, clock: FakeClock, seconds: float = YEARS) -> None:
    """Have an attempt fail while the clock is ahead, by default years, then set it right."""
    clock.jump(seconds)
    Worker(log, Finalizer(failing), retry=RetryPolicy(base_seconds=8), draw=lambda: 1.0).run_once()
    clock.jump(-seconds)
    assert log.task(task_id(log)).state == "retry"


def claim_ahead(log: Log, clock: FakeClock, seconds: float = YEARS, lease: int = LEASE) -> int:
    """Have a worker elsewhere claim the task while the clock is ahead, then set it right."""
    clock.jump(seconds)
    claim = ClaimTask(task_id(log), "owner", ELSEWHERE, lease, 3)
    fence: int = execute(log, "s", claim).fence
    clock.jump(-seconds)
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


AHEAD = st.sampled_from([0, 5, 50, 59, 61, 250, 299, 301, 900, 3_600, 90_000, YEARS])
LOOKS = st.lists(st.sampled_from([1, 10, 59, 60, 61, 150, 299, 300, 301, 3_000]), max_size=12)


@examples(60, 6_000)
@given(st.sampled_from(["failed", "claimed"]), AHEAD, st.sampled_from([1, 1, 3, 10]), LOOKS)
def test_workers_take_a_task_when_the_model_of_distant_times_says(
    how: str, ahead: int, leases: int, looks: list[int]
) -> None:
    """A time is waited for as recorded, but one further off than it can be no longer than that from
    when it was first seen. Each look is another worker's: what was seen is in the store."""
    clock = FakeClock()
    with eventlog.open("memory:", clock=clock) as log:
        committed(log)
        if how == "failed":
            fail_ahead(log, clock, ahead)
        else:
            claim_ahead(log, clock, ahead, leases * LEASE)
        limit = 60_000_000 if how == "failed" else leases * LEASE
        due_at = _due_at(log)
        first_seen: int | None = None
        for seconds in [0, *looks]:
            clock.advance(seconds)
            now = clock()
            is_distant = due_at - now > limit
            if is_distant and first_seen is None:
                first_seen = now
            has_lapsed = is_distant and first_seen is not None and now - first_seen >= limit

            assert Worker(log).run_once() == (now >= due_at or has_lapsed)
            if now >= due_at or has_lapsed:
                assert log.task(task_id(log)).state == "completed"
                assert log.verify("s") == []
                break


def _due_at(log: Log) -> int:
    (entry,) = [value for _, value in log.store.scan("task/", "task0")]
    return read_task(entry).due_at


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


# ---- turns and streams --------------------------------------------------------------------------


def begin_ahead(log: Log, clock: FakeClock, *, seconds: float = YEARS, lease: float = 60.0) -> None:
    """Begin a turn with a stream while the clock is ahead, then set it right; the owner is not seen
    again, and cannot be proven dead."""
    log.session("s", create=True).append(Message.user("before"))
    clock.jump(seconds)
    begun = contextvars.copy_context()

    def begin() -> None:
        turn = log.session("s").turn("t", lease_seconds=lease).__enter__()
        turn.append(Message.user("question"))
        turn.begin_message("assistant", message_id="m")

    begun.run(begin)
    clock.jump(-seconds)
    clock.advance(2 * 300)  # The jump is long ago.


@on_two_stores
def test_a_turn_is_begun_again_one_lease_after_its_distant_end_was_seen(
    log: Log, rival: Log, clock: FakeClock
) -> None:
    begin_ahead(log, clock)
    session = rival.session("s")
    with pytest.raises(TurnOpen), session.turn("t"):
        pass
    clock.advance(59)
    with pytest.raises(TurnOpen), session.turn("t"):
        pass
    clock.advance(1)
    with session.turn("t") as turn:
        assert turn.attempt == 2
    assert [message.text for message in session.tail()] == ["before"]


@on_two_stores
def test_a_longer_lease_of_a_turn_is_believed_for_its_own_length(
    log: Log, rival: Log, clock: FakeClock
) -> None:
    begin_ahead(log, clock, lease=3_600)
    session = rival.session("s")
    for seconds in (0, 3_599):
        clock.advance(seconds)
        with pytest.raises(TurnOpen), session.turn("t"):
            pass
    clock.advance(1)
    with session.turn("t") as turn:
        assert turn.attempt == 2


@pytest.mark.parametrize("by", ["another turn", "a commit", "a worker"])
def test_a_turn_with_a_distant_end_is_abandoned_as_any_other(
    by: str, log: Log, rival: Log, clock: FakeClock
) -> None:
    """F2b, T5: one lease and ``stale_seconds`` after it was first seen."""
    begin_ahead(log, clock)

    def look() -> None:
        match by:
            case "another turn":
                with suppress(TurnOpen), rival.session("s").turn("u"):
                    pass
            case "a commit":
                rival.session("s").commit()
            case _:
                Worker(rival).run_once()

    look()
    clock.advance(659)
    look()
    assert rival.session("s").turns()[0].state == "open"
    clock.advance(1)
    look()
    assert rival.session("s").turns()[0].state == "abandoned"
    assert rival.session("s").streams() == ()


@on_two_stores
@pytest.mark.parametrize("by", ["a command", "a worker"])
def test_a_stream_with_a_distant_end_is_interrupted_one_lease_after_it_was_seen(
    by: str, log: Log, rival: Log, clock: FakeClock
) -> None:
    log.session("s", create=True).append(Message.user("before"))
    clock.jump(YEARS)
    begun = log.session("s").begin_message("assistant", message_id="m")
    log.session("s").append_chunk("m", begun.fence, 1, "half an ")
    clock.jump(-YEARS)
    clock.advance(2 * 300)

    def look() -> None:
        if by == "a command":
            rival.session("s").append(Message.user("next"))
        else:
            Worker(rival).run_once()

    look()
    clock.advance(59)
    look()
    assert len(rival.session("s").streams()) == 1
    clock.advance(1)
    look()
    assert rival.session("s").streams() == ()
    assert "half an " in [message.text for message in rival.session("s").tail()]


@on_two_stores
def test_an_owner_of_a_turn_that_is_alive_keeps_it_in_spite_of_its_distant_end(
    log: Log, rival: Log, clock: FakeClock
) -> None:
    log.session("s", create=True)
    clock.jump(YEARS)
    with log.session("s").turn("t") as turn:
        clock.jump(-YEARS)
        clock.advance(2 * 300)
        with pytest.raises(TurnOpen), contextvars.Context().run(rival.session("s").turn, "u"):
            pass
        clock.advance(30)
        turn._run.renew()  # As the thread of the log does.
        clock.advance(59)
        with pytest.raises(TurnOpen):
            contextvars.Context().run(rival.session("s").turn("t").__enter__)
        turn.append(Message.user("still mine"))
    assert rival.session("s").turns()[0].state == "completed"


class ClockedStore(MemoryStore):
    """A store with a clock that is right for all its users."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> int:
        return self._clock()


def test_a_commit_believes_the_clock_of_the_store_about_a_turn_not_the_one_of_its_machine() -> None:
    right, ahead = FakeClock(), FakeClock()
    store = ClockedStore(right)
    ahead.jump(YEARS)
    with Log(store, clock=right) as log, Log(store, clock=ahead) as other:
        session = log.session("s", create=True)
        session.append(Message.user("before"))
        with session.turn("t"):
            session.append(Message.user("question"))
            assert other.session("s").refresh().message_count == 2
            assert other.session("s").commit().archived == 1
            session.append(Message.user("more"))
        assert log.session("s").turns()[0].state == "completed"
