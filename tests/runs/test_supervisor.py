"""Supervisors: what an agent does, and what can go wrong around it (R1 to R7)."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    EventLogError,
    InvalidArgument,
    Log,
    Message,
    PlainRun,
    Provider,
    RestartPolicy,
    RetryableError,
    Run,
    Session,
    Supervisor,
    TooLarge,
)
from eventlog.sqlite_driver import sqlite3
from eventlog.store import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.jumping import JumpingTime
from tests.runs.driving import check, run_of
from tests.runs.supervising import answer, begun_elsewhere, events, queued, states, work

# ---- what an agent does -------------------------------------------------------------------------


def test_each_message_is_answered_once_in_order(
    log: Log, session: Session, clock: FakeClock
) -> None:
    runs = queued(session, "m1", "m2", "m3")

    work(log, answer, clock)

    assert states(log) == ["completed"] * 3
    texts = [message.text for message in session.tail()]
    assert texts == ["m1", "about m1", "m2", "about m2", "m3", "about m3"]
    assert [turn.turn_id for turn in session.turns()] == sorted(runs)
    assert [view.steps for view in session.turns()] == [()] * 3
    check(log)


@pytest.mark.parametrize("form", ["async on a log", "async on an async log", "plain"])
def test_run_once_does_what_is_due_and_returns_how_many(
    log: Log, session: Session, form: str
) -> None:
    queued(session, "m1", "m2")

    def plain(run: PlainRun) -> str:
        assert isinstance(run.session, Session)
        with run.stream("answer") as out:
            out.write("hi")
        assert not run.stop_requested
        return run.session.append(Message.assistant("x")).id

    async def main() -> int:
        target = AsyncLog(log) if form == "async on an async log" else log
        agent: Any = plain if form == "plain" else answer
        return await Supervisor(target, agent).run_once()

    assert asyncio.run(main()) == 2
    assert states(log) == ["completed", "completed"]
    check(log)


def test_a_step_is_paid_once_over_all_attempts(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    calls: list[str] = []

    async def agent(run: Run) -> str:
        async def search() -> str:
            calls.append("search")
            return "found"

        found: str = await run.step("search", search)
        async with run.stream("answer") as out:
            if not out.done:
                calls.append("stream")
                await out.write("answer to m1")
        if run.attempt < 3:
            raise RetryableError("it broke")
        return found

    work(log, agent, clock)

    assert calls == ["search", "stream"]
    assert states(log) == ["completed"]
    assert [message.text for message in session.tail()] == ["m1", "answer to m1"]
    check(log)


def test_the_result_is_that_of_the_turn(log: Log, session: Session, clock: FakeClock) -> None:
    first, second = queued(session, "m1", "m2")

    async def agent(run: Run) -> Any:
        if run.run_id == second:
            await run.turn.end({"by": "hand"})
            raise RuntimeError("after the end")
        return {"n": 1}

    work(log, agent, clock)

    assert states(log) == ["completed", "completed"]
    with session.turn(first) as turn:
        assert turn.done
        assert turn.result == {"n": 1}
    with session.turn(second) as turn:
        assert turn.result == {"by": "hand"}


# ---- what else can go wrong ---------------------------------------------------------------------


def test_an_application_turn_is_waited_for(log: Log, session: Session, clock: FakeClock) -> None:
    queued(session, "m1")

    async def main() -> None:
        supervisor = Supervisor(log, answer)
        with session.turn("mine", lease_seconds=3600):
            running = asyncio.create_task(supervisor.run())
            await asyncio.sleep(10)
            assert states(log) == ["idle"]
        await asyncio.sleep(10)
        assert states(log) == ["completed"]
        supervisor.stop()
        await running

    JumpingTime(clock).run(main())


def test_a_run_of_which_a_commit_took_a_part_has_failed(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    begun_elsewhere(log, run_id)
    clock.advance(3600)
    assert session.commit().status == "accepted"  # It ends the turn, which is stale.

    work(log, answer, clock, for_seconds=30)
    assert states(log) == ["failed"]
    assert "TurnClosed" in (run_of(log, run_id).error or "")
    check(log)


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_an_agent_that_ends_its_turn_without_a_result_ends_its_run_so(
    log: Log, session: Session, clock: FakeClock, how: str
) -> None:
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> str:
        await run.turn.fail("not today", cancelled=how == "cancelled")
        return "dropped"

    work(log, agent, clock, for_seconds=90)
    view = run_of(log, run_id)
    assert (view.state, view.attempt, view.error) == (how, 1, "not today")
    check(log)


def test_a_run_whose_turn_the_agent_ended_is_completed_and_counted(
    log: Log, session: Session
) -> None:
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> None:
        await run.turn.end("done")
        await run.session.append(Message.assistant("too late"))  # It is refused.

    assert asyncio.run(Supervisor(log, agent).run_once()) == 1
    assert run_of(log, run_id).state == "completed"
    assert [message.text for message in session.tail()] == ["m1"]
    check(log)


def _nested(depth: int) -> ExceptionGroup[Exception]:
    error: ExceptionGroup[Exception] = ExceptionGroup("all of it", [ValueError("wrong")])
    for _ in range(depth):
        error = ExceptionGroup("all of it", [error])
    return error


class _Unreadable(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("not to be read")


def _odd_classifier(_: object) -> Any:
    raise RuntimeError("the classifier is broken")


@pytest.mark.parametrize(
    ("ends", "state", "options"),
    [
        (_nested(5_000), "failed", {}),
        (_Unreadable("API Error: 500"), "failed", {}),
        ({"a": 1}, "completed", {"result_classifier": _odd_classifier}),
        (ValueError("wrong"), "failed", {"classifier": _odd_classifier}),
    ],
    ids=["a deep group", "an odd result", "a result classifier", "a classifier"],
)
def test_however_an_attempt_ends_its_end_is_recorded_at_once(
    log: Log, session: Session, clock: FakeClock, ends: Any, state: str, options: dict[str, Any]
) -> None:
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> Any:
        if isinstance(ends, Exception):
            raise ends
        return ends

    work(log, agent, clock, **options)
    view = run_of(log, run_id)
    assert view.state == state
    assert not any(event.owner_lost for event in events(log, "run_crashed"))
    check(log)


class _Small(MemoryStore):
    """A store that does not take the ends of turns."""

    def _append(self, append: Append) -> Appended | EventLogError:
        if any(record.type == "turn_completed" for record in append.records):
            return TooLarge(append.stream, "the append", 2, 1)
        return super()._append(append)


def test_a_result_that_the_store_does_not_take_fails_the_run(clock: FakeClock) -> None:
    with Log(_Small(), clock=clock) as log:
        (run_id,) = queued(log.session("s", create=True), "m1")
        work(log, answer, clock)
        view = run_of(log, run_id)
        assert (view.state, view.attempt) == ("failed", 1)
        assert "TooLarge" in (view.error or "")
        check(log)


def test_an_error_returned_as_text_is_recorded_without_its_secret(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """G5."""
    (run_id,) = queued(session, "m1")
    secret = "sk-ant-api03-" + "aB3" * 31

    async def agent(run: Run) -> str:
        return f"Invalid API key: {secret}"

    work(log, agent, clock)
    assert "Invalid API key" in (run_of(log, run_id).error or "")
    assert not any(secret.encode() in entry.record.data for entry in log.read("s"))


def test_an_asynchronous_agent_behind_a_plain_function_is_refused(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    work(log, lambda run: answer(cast("Run", run)), clock)
    view = run_of(log, run_id)
    assert view.state == "failed"
    assert "give the asynchronous function itself" in (view.error or "")
    assert [message.text for message in session.tail()] == ["m1"]


@pytest.mark.parametrize("stale_seconds", [0.5, 21_600.0])
def test_a_damaged_session_holds_up_nobody(
    tmp_path: Path, clock: FakeClock, stale_seconds: float
) -> None:
    """P10: whether the lease of its run has lapsed, or the run is silent for too long."""
    with eventlog.open(f"sqlite:///{tmp_path}/log.db", clock=clock) as log:
        for name in ("bad", "good"):
            queued(log.session(name, create=True), "m1")
        begun_elsewhere(log, next(log.runs("bad")).run_id, "bad")
    clock.advance(1)
    with closing(sqlite3.connect(tmp_path / "log.db")) as database, database:
        damage = "UPDATE records SET data = '{garbage' WHERE type = 'run_started'"
        assert database.execute(damage).rowcount == 1

    with eventlog.open(f"sqlite:///{tmp_path}/log.db", clock=clock) as log:
        work(log, answer, clock, for_seconds=65, stale_seconds=stale_seconds)
        assert states(log, "good") == ["completed"]
        assert states(log, "bad") == ["running"]


def test_a_closed_session_holds_up_nobody(log: Log, session: Session, clock: FakeClock) -> None:
    queued(session, "m1")
    session.close()
    queued(log.session("t", create=True), "m1")
    work(log, answer, clock)
    assert (states(log), states(log, "t")) == (["abandoned"], ["completed"])


def test_options_are_checked(log: Log) -> None:
    wrong: list[dict[str, Any]] = [
        {"stale_seconds": 0},
        {"concurrency": 0},
        {"lease_seconds": float("nan")},
        {"providers": ["claude"]},
        {"providers": [Provider("a"), Provider("a")]},
        {"providers": "claude"},
        {"providers": 5},
        {"restarts": 5},
        {"name": 5},
        {"classifier": "fatal"},
        {"result_classifier": 5},
        {"draw": 0.5},
    ]
    for options in wrong:
        with pytest.raises(InvalidArgument):
            Supervisor(log, answer, **options)
    with pytest.raises(InvalidArgument):
        Provider("")
    with pytest.raises(InvalidArgument):
        Provider("a", is_available=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        Supervisor(log, "agent")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        Supervisor("memory:", answer)  # type: ignore[arg-type]
    for seconds in (-1, float("nan"), "10", 10**400, None):
        with pytest.raises(InvalidArgument):
            Supervisor(log, answer).stop(seconds)  # type: ignore[arg-type]
    supervisor = Supervisor(log, answer, name="mine", restarts=RestartPolicy(0))
    assert supervisor.name == "mine"
    supervisor.stop()
    asyncio.run(supervisor.run())
    assert asyncio.run(supervisor.run_once()) == 0


def test_it_runs_on_real_sqlite(tmp_path: Any) -> None:
    async def main() -> list[str]:
        async with eventlog.open_async(f"sqlite:///{tmp_path / 'log.db'}") as log:
            for name in ("a", "b"):
                session = await log.session(name, create=True)
                await session.enqueue(Message.user("x"))
                await session.enqueue(Message.user("y"))
            assert await Supervisor(log, answer).run_once() == 4
            return [run.state async for run in log.runs()]

    assert asyncio.run(main()) == ["completed"] * 4
