"""Runs that crash, and runs whose owner is lost or silent (R1, R4, R6)."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from eventlog import (
    Log,
    Message,
    NonRetryableError,
    RetryableError,
    Run,
    Session,
    Supervisor,
)
from eventlog.engine.owner import this_process
from eventlog.session.runs.commands import StartRun
from eventlog.session.turns.commands import BeginTurn
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from eventlog.testing.jumping import JumpingTime
from tests.runs.driving import check, run_of, settle, start
from tests.runs.supervising import ELSEWHERE, answer, begun_elsewhere, events, queued, states, work

# ---- crashes ------------------------------------------------------------------------------------


def test_a_crash_is_followed_by_restarts_after_1_2_and_4_seconds(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    begun: list[int] = []

    async def agent(run: Run) -> None:
        begun.append(clock())
        raise RetryableError("503")

    work(log, agent, clock)

    seconds = [(later - at) / 1e6 for at, later in pairwise(begun)]
    assert [round(each) for each in seconds] == [1, 2, 4]
    assert run_of(log, run_id).error == "RetryableError: 503 (after 3 restarts without progress)"
    assert states(log) == ["failed"]
    check(log)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Prompt is too long"),
        RuntimeError("prompt is too long: 300000 tokens > 200000 maximum"),
        NonRetryableError("no"),
        ExceptionGroup("2 errors", [OSError("reset"), RuntimeError("Prompt is too long")]),
        ExceptionGroup("1", [ExceptionGroup("1", [RuntimeError("prompt is too long")])]),
        "Prompt is too long",
    ],
    ids=str,
)
def test_a_fatal_error_ends_the_run_at_once(
    log: Log, session: Session, clock: FakeClock, error: Exception | str
) -> None:
    queued(session, "m1", "m2")
    calls: list[str] = []

    async def agent(run: Run) -> str | None:
        calls.append(run.prompt.id)
        if run.prompt.id == "m2":
            return None
        if isinstance(error, str):
            return error
        raise error

    work(log, agent, clock)

    assert calls == ["m1", "m2"]
    assert states(log) == ["failed", "completed"]


def test_a_transient_error_in_a_group_is_worth_a_restart(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")

    async def agent(run: Run) -> None:
        async def child() -> None:
            raise ConnectionResetError("reset")

        if run.attempt == 1:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())

    work(log, agent, clock)
    assert states(log) == ["completed"]


def test_a_result_that_json_cannot_hold_fails_the_run(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> object:
        return object()

    work(log, agent, clock)
    assert states(log) == ["failed"]
    assert "JSON" in (run_of(log, run_id).error or "")


# ---- lost owners, stale runs --------------------------------------------------------------------


def test_a_run_whose_lease_lapsed_has_crashed_and_goes_on(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    begun_elsewhere(log, run_id)

    work(log, answer, clock, for_seconds=90)

    view = run_of(log, run_id)
    assert (view.state, view.attempt, view.restarts) == ("completed", 2, 1)
    (crashed,) = events(log, "run_crashed")
    assert (crashed.owner_lost, crashed.error) == (True, "its supervisor was lost")
    assert [message.text for message in session.tail()] == ["m1", "about m1"]
    check(log)


def test_a_supervisor_with_longer_leases_keeps_its_runs(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    begin = BeginTurn(run_id, ELSEWHERE, 200_000_000, 600.0, resumes=True)
    execute(log, "s", StartRun(run_id, "elsewhere", "claude", begin))

    work(log, answer, clock, for_seconds=150, lease_seconds=10)
    assert states(log) == ["running"]
    work(log, answer, clock, for_seconds=70, lease_seconds=10)
    assert states(log) == ["completed"]


@pytest.mark.parametrize(
    ("how", "options", "after"),
    [
        ("queued", {}, 0),
        ("released", {}, 0),
        ("crashed", {}, 4),
        ("crashed", {"least_delay": 100_000_000}, 100),
    ],
)
def test_a_clock_that_was_ahead_delays_no_run(
    clock: FakeClock, how: Any, options: dict[str, Any], after: int
) -> None:
    """F2: what a machine recorded whose clock was a day ahead is due as soon as it would be."""
    store, ahead = MemoryStore(), FakeClock()
    ahead.advance(86_400)
    with Log(store, clock=ahead) as log, Log(store, clock=clock) as right:
        (run_id,) = queued(log.session("s", create=True), "m1")
        if how != "queued":
            start(log, run_id)
            settle(log, run_id, how, **options)
        before = clock()
        begun: list[float] = []

        async def agent(run: Run) -> None:
            begun.append((clock() - before) / 1_000_000)

        work(right, agent, clock, for_seconds=after + 12)
        assert len(begun) == 1
        assert after <= begun[0] <= after + 6
        check(right)


def test_an_owner_that_is_proven_dead_is_not_waited_for(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    dead = {**this_process(), "started": "long ago"}
    begin = BeginTurn(run_id, dead, 3_600_000_000, 600.0, resumes=True)  # type: ignore[arg-type]  # a dict, no TypedDict
    execute(log, "s", StartRun(run_id, "dead", "claude", begin))

    work(log, answer, clock, for_seconds=10)
    assert states(log) == ["completed"]


def test_a_run_that_kills_its_process_is_counted(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    for _ in range(4):
        begun_elsewhere(log, run_id)
        assert run_of(log, run_id).state == "running"
        work(log, answer, clock, for_seconds=0.5, concurrency=1)
        clock.advance(61)
        settle(log, run_id, "lost", "its supervisor was lost")
        clock.advance(4)
    assert states(log) == ["failed"]
    check(log)


def test_a_silent_run_is_failed_before_the_queue_goes_on(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """R6."""
    first, _ = queued(session, "m1", "m2")
    quiet = log.session("quiet", create=True)
    queued(quiet, "q1")
    release = asyncio.Event()

    async def agent(run: Run) -> str:
        if run.prompt.id == "m1":
            await release.wait()
        if run.prompt.id == "q1":
            for number in range(100):
                await asyncio.sleep(300)
                await run.step(f"step {number}", lambda: 1)
        return "done"

    work(log, agent, clock, for_seconds=700, stale_seconds=600, lease_seconds=180)

    assert states(log) == ["failed", "completed"]
    assert run_of(log, first).error == "it had no event but heartbeats for 600 s"
    assert states(log, "quiet") == ["idle"]  # It worked all the time, and was released.
    check(log)


def test_others_are_no_sign_of_a_silent_run(log: Log, session: Session, clock: FakeClock) -> None:
    """R6: a user who waits for an answer, and asks again, must not keep a run that hangs."""
    (first,) = queued(session, "m1")

    async def agent(run: Run) -> str:
        if run.prompt.id == "m1":
            await asyncio.sleep(3600)
        return "done"

    async def main() -> None:
        supervisor = Supervisor(log, agent, draw=lambda: 1.0, stale_seconds=60)
        running = asyncio.create_task(supervisor.run())
        for number in range(9):
            await asyncio.sleep(10)
            session.append(Message.user("is anybody there?"))
            session.enqueue(Message.user(f"again {number}"))
        await asyncio.sleep(5)
        supervisor.stop()
        await running

    JumpingTime(clock).run(main())
    assert run_of(log, first).error == "it had no event but heartbeats for 60 s"
    assert set(states(log)) == {"failed", "completed"}
    check(log)


def test_a_run_that_others_settled_ends(log: Log, session: Session, clock: FakeClock) -> None:
    (run_id,) = queued(session, "m1")
    ended: list[str] = []

    async def agent(run: Run) -> str:
        try:
            log.abandon(run_id, reason="not wanted")
            await asyncio.sleep(3600)
        finally:
            ended.append("agent")
        return "done"

    work(log, agent, clock)
    assert (ended, states(log)) == (["agent"], ["abandoned"])
