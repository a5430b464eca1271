"""The time that leases are counted in: clocks that jump or differ end no live lease (F2)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from eventlog import (
    Finalizer,
    Log,
    Message,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.clock import JumpWatch, system_clock
from eventlog.engine.owner import this_process
from eventlog.session.command import Draft
from eventlog.session.commit import Commit
from eventlog.session.tasks.commands import ClaimTask, RenewLease
from eventlog.session.tasks.events import OwnerData
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import execute
from eventlog.testing.jumping import JumpingTime

LEASE = 300_000_000
ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


def committed(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    session.commit()
    return session


def claim(log: Log, owner: OwnerData = ELSEWHERE) -> tuple[str, int]:
    """Claim the open task of the session as a worker that renews when the test does."""
    (task,) = log.tasks("s")
    fence: int = execute(log, "s", ClaimTask(task.task_id, "owner", owner, LEASE, 3)).fence
    return task.task_id, fence


# ---- jumps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3_600, 301])
def test_a_jump_of_the_wall_clock_ends_no_lease(log: Log, clock: FakeClock, seconds: float) -> None:
    """For one lease long, in which every live owner renews."""
    committed(log)
    task_id, fence = claim(log)

    clock.jump(seconds)
    assert Worker(log).run_once() == 0
    clock.advance(100)
    execute(log, "s", RenewLease(task_id, fence, LEASE))
    clock.advance(250)
    assert Worker(log).run_once() == 0

    assert log.task(task_id).attempts == 1


def test_a_lost_owner_is_found_one_lease_after_the_jump(log: Log, clock: FakeClock) -> None:
    committed(log)
    claim(log)
    clock.jump(3_600)
    assert Worker(log).run_once() == 0

    clock.advance(299)
    assert Worker(log).run_once() == 0
    clock.advance(1)
    assert Worker(log).run_once() == 1


def test_a_suspended_machine_ends_no_lease_when_it_goes_on(log: Log, clock: FakeClock) -> None:
    """Its wall clock went on without its monotonic one, and all its owners slept too."""
    committed(log)
    claim(log, this_process())
    clock.jump(8 * 3_600)

    assert Worker(log).run_once() == 0


def test_an_owner_that_is_proven_dead_is_not_waited_for_after_a_jump(
    log: Log, clock: FakeClock
) -> None:
    committed(log)
    gone = this_process()
    gone["started"] = "1"
    claim(log, gone)
    clock.jump(3_600)

    assert Worker(log).run_once() == 1


def test_time_that_passes_on_both_clocks_is_no_jump(log: Log, clock: FakeClock) -> None:
    committed(log)
    claim(log)
    clock.advance(300)

    assert Worker(log).run_once() == 1


def test_a_pending_task_is_found_though_the_clock_was_set_back(log: Log, clock: FakeClock) -> None:
    session = committed(log)
    clock.jump(-3_600)

    assert Worker(log).run_once() == 1
    session.append(Message.user("more"))
    session.commit()
    assert Worker(log).run_once() == 1


def test_a_clock_that_cannot_be_compared_is_never_seen_to_jump() -> None:
    times = itertools.count(0, 10_000_000)
    watch = JumpWatch(lambda: next(times))

    assert [watch.since_jump() for _ in range(3)] == [None] * 3


def test_a_jump_watch_tells_for_how_long_the_latest_jump_is_known(clock: FakeClock) -> None:
    watch = JumpWatch(clock)
    seen: list[int | None] = [watch.since_jump()]
    for jumped, passed in [(0.999, 0), (-1, 0), (0, 7), (60, 0)]:
        clock.jump(jumped)
        clock.advance(passed)
        seen.append(watch.since_jump())

    assert seen == [None, None, 0, 7_000_000, 0]


def test_the_clock_of_the_system_can_be_watched() -> None:
    assert JumpWatch(system_clock).since_jump() is None
    assert system_clock.monotonic() <= system_clock.monotonic()


# ---- clocks of several hosts ------------------------------------------------------------------


class TimekeepingStore(MemoryStore):
    """A store that hosts with clocks of their own share, and that has one for all of them."""

    time: FakeClock

    def now(self) -> int:
        return self.time()


@pytest.fixture
def hosts() -> tuple[FakeClock, Log, Log]:
    """The store's clock, and the logs of a host that is right and of one that is an hour ahead."""
    store = TimekeepingStore()
    store.time = FakeClock()
    ahead = FakeClock()
    ahead.advance(3_600)
    ids = NumberedIds()
    return store.time, Log(store, clock=store.time, ids=ids), Log(store, clock=ahead, ids=ids)


def test_a_host_whose_clock_is_ahead_steals_no_live_lease(
    hosts: tuple[FakeClock, Log, Log],
) -> None:
    time, right, ahead = hosts
    committed(right)
    task_id, _ = claim(right)

    assert Worker(ahead).run_once() == 0
    time.advance(299)
    assert Worker(ahead).run_once() == 0
    time.advance(1)
    assert Worker(ahead).run_once() == 1
    assert right.task(task_id).attempts == 2


def test_a_lease_ends_by_the_stores_clock_whoever_took_it(
    hosts: tuple[FakeClock, Log, Log],
) -> None:
    """Taken by the host that is ahead, it does not last an hour longer."""
    _, _, ahead = hosts
    session = committed(ahead)
    until: list[str] = []

    async def summarize(request: SummaryRequest) -> Summary:
        until.extend(task.due_at for task in ahead.tasks("s"))
        raise RuntimeError("lost")

    Worker(ahead, Finalizer(summarize), draw=lambda: 0.0).run_once()

    assert set(until) == {"2026-01-01T00:05:00.000000Z"}
    assert session.archives()[0].attempts == 3


def test_a_renewal_counts_in_the_stores_time(
    hosts: tuple[FakeClock, Log, Log], loop_time: JumpingTime
) -> None:
    _, right, ahead = hosts
    committed(right)
    until: list[int] = []

    async def wait(request: SummaryRequest) -> Summary:
        await asyncio.sleep(150)
        (renewal,) = [entry for entry in right.read("s") if entry.type == "lease_renewed"]
        until.append(renewal.event.lease_until)  # type: ignore[attr-defined]
        raise RuntimeError("enough")

    Worker(ahead, Finalizer(wait), lease_seconds=300, draw=lambda: 1.0).run_once()

    assert until == [FakeClock().now + 300_000_000]


# ---- preparing --------------------------------------------------------------------------------


class PrepareOnly(Commit):
    """A commit whose folder was never written, because its process died."""

    def decide(self, state: Any, now: int, ids: Any) -> Any:
        drafts = super().decide(state, now, ids)
        return [draft for draft in drafts if isinstance(draft, Draft)][:1]


def test_a_running_worker_publishes_what_nobody_else_does(log: Log, clock: FakeClock) -> None:
    """A `preparing` task is published 30 s later by whoever finds it, and finalised at once."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    execute(log, "s", PrepareOnly())
    clock.advance(29)
    assert Worker(log).run_once() == 0
    clock.advance(1)

    assert Worker(log).run_once() == 1

    types = [entry.type for entry in log.read("s")]
    assert types[2:5] == ["commit_prepared", "commit_published", "task_claimed"]
