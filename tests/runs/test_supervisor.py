"""Supervisors: attempts, restarts, providers, stale and lost runs, stop and shutdown (R1 to R7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    EventLogError,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    NonRetryableError,
    PlainRun,
    Provider,
    ProviderGone,
    RestartPolicy,
    RetryableError,
    Run,
    Session,
    Supervisor,
    TooLarge,
)
from eventlog.engine.owner import this_process
from eventlog.session.runs.commands import StartRun
from eventlog.session.tasks.events import OwnerData
from eventlog.session.turns.commands import BeginTurn
from eventlog.sqlite_driver import sqlite3
from eventlog.store import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of, execute
from eventlog.testing.jumping import JumpingTime
from tests.runs.driving import check, run_of, settle, start, types

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


def work(
    log: Log, agent: Any, clock: FakeClock, *, for_seconds: float = 12, **options: Any
) -> None:
    """Run a supervisor in virtual time until nothing has been due for a while."""

    async def main() -> None:
        supervisor = Supervisor(log, agent, draw=lambda: 1.0, **options)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(for_seconds)
        supervisor.stop()
        await running

    JumpingTime(clock).run(main())


def queued(session: Session, *ids: str) -> list[str]:
    return [session.enqueue(Message.user(id_, id=id_)) for id_ in ids]


def states(log: Log, session: str = "s") -> list[str]:
    return [run.state for run in log.runs(session)]


def events(log: Log, type_: str, session: str = "s") -> list[Any]:
    return [entry.event for entry in log.read(session) if entry.type == type_]


async def answer(run: Run) -> dict[str, str]:
    message = await run.session.append(Message.assistant(f"about {run.prompt.text}"))
    return {"answer": message.id}


# ---- what an agent does -----------------------------------------------------------------------


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


# ---- crashes ----------------------------------------------------------------------------------


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


# ---- the nine pitfalls of cancellation --------------------------------------------------------


def test_1_a_cancelled_run_leaves_the_next_alone(
    log: Log, session: Session, clock: FakeClock
) -> None:
    first, _ = queued(session, "m1", "m2")
    kept: list[asyncio.Task[None]] = []  # As an agent keeps a controller that is never renewed.

    async def agent(run: Run) -> str:
        if run.run_id == first:
            kept.append(asyncio.create_task(asyncio.sleep(3600)))
            session.stop_run(reason="enough")
            await kept[0]
        assert kept[0].cancelled()
        return "done"

    work(log, agent, clock)
    assert states(log) == ["cancelled", "completed"]
    check(log)


def test_2_awaits_of_a_cancelled_agent_finish_and_the_record_is_written(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    cleaned: list[str] = []

    async def agent(run: Run) -> None:
        try:
            async with run.stream("answer") as out:
                await out.write("so far")
                session.stop_run()
                await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            cleaned.append("up")

    work(log, agent, clock)

    assert cleaned == ["up"]
    assert states(log) == ["cancelled"]
    last = session.tail()[-1]
    assert (last.text, last.model_extra) == ("so far", {"interrupted": True})
    assert [turn.state for turn in session.turns()] == ["cancelled"]
    check(log)


async def tokens() -> AsyncGenerator[int]:
    """Yield inside a task group, as the stream of a model's library may."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))
        for token in range(10):
            yield token


def test_3_a_generator_left_half_read_is_a_crash_of_its_run_alone(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1", "m2")

    async def agent(run: Run) -> str:
        if run.prompt.id == "m1" and run.attempt == 1:
            reading = tokens()
            async for _ in reading:
                break
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # As an anyio task group does that was entered in this task.
            await asyncio.sleep(10)
        return "done"

    work(log, agent, clock)

    assert states(log) == ["completed", "completed"]
    (crashed,) = events(log, "run_crashed")
    assert "cancelled itself" in crashed.error


def test_4_an_agent_that_swallows_its_cancellation_is_cancelled_all_the_same(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1", "m2")

    async def agent(run: Run) -> str:
        if run.prompt.id == "m1":
            try:
                session.stop_run()
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001, S110 - what it is about
                pass
        return "done"

    work(log, agent, clock)
    assert states(log) == ["cancelled", "completed"]


def test_4_an_agent_that_never_ends_is_left_behind(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1", "m2")
    refused: list[BaseException] = []

    async def agent(run: Run) -> str:
        if run.prompt.id == "m1":
            session.stop_run()
            for _ in range(40):
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    continue
            try:
                await run.session.append(Message.assistant("late"))
            except LeaseLost as error:
                refused.append(error)
        return "done"

    work(log, agent, clock, for_seconds=120)
    assert states(log) == ["cancelled", "completed"]
    assert len(refused) == 1
    assert [message.text for message in session.tail()] == ["m1", "m2"]


def test_5_errors_of_children_are_classified_by_what_is_in_them(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    calls: list[int] = []

    async def agent(run: Run) -> None:
        async def child() -> None:
            raise RuntimeError("prompt is too long")

        calls.append(run.attempt)
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    work(log, agent, clock)
    assert (calls, states(log)) == ([1], ["failed"])


def test_6_a_scope_may_be_entered_and_left_by_the_agent_in_its_one_task(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1", "m2")
    tasks: list[object] = []

    async def agent(run: Run) -> str:
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(5):
            async with run.stream("answer") as out:
                await out.write("x")
            tasks.append(asyncio.current_task())
        return "done"

    work(log, agent, clock)
    assert tasks[0] is tasks[1]
    assert tasks[2] is tasks[3]
    assert tasks[0] is not tasks[2]
    assert states(log) == ["completed", "completed"]


def test_7_a_plain_function_that_was_left_behind_writes_nothing(log: Log, session: Session) -> None:
    """In real time: its thread goes on."""
    import threading

    (run_id,) = queued(session, "m1")
    begun, go_on, refused = threading.Event(), threading.Event(), threading.Event()

    def agent(run: PlainRun) -> str:
        begun.set()
        go_on.wait(60)
        try:
            run.session.append(Message.assistant("late"))
        except LeaseLost:
            refused.set()
        return "late"

    async def main() -> None:
        supervisor = Supervisor(log, agent)
        running = asyncio.create_task(supervisor.run())
        await asyncio.to_thread(begun.wait, 60)
        supervisor.stop(grace_seconds=0.05)
        await running

    asyncio.run(main())
    assert run_of(log, run_id).state == "idle"
    go_on.set()
    assert refused.wait(60)
    assert [message.text for message in session.tail()] == ["m1"]
    check(log)


def test_7_a_plain_function_that_did_not_know_may_finish(log: Log, session: Session) -> None:
    import threading

    queued(session, "m1")
    begun = threading.Event()
    stopping = threading.Event()

    def agent(run: PlainRun) -> str:
        begun.set()
        stopping.wait(60)
        return "done"

    async def main() -> None:
        supervisor = Supervisor(log, agent)
        running = asyncio.create_task(supervisor.run())
        await asyncio.to_thread(begun.wait, 60)
        supervisor.stop(grace_seconds=60)
        stopping.set()
        await running

    asyncio.run(main())
    assert states(log) == ["completed"]


def test_8_a_stop_cancels_records_and_releases(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """R7: and the next start goes on."""
    (run_id,) = queued(session, "m1")
    finished: list[str] = []

    async def agent(run: Run) -> str:
        async def paid() -> str:
            finished.append("step")
            return "x"

        await run.step("paid", paid)
        async with run.stream("answer") as out:
            if run.attempt == 1:
                await out.write("half of ")
                await asyncio.sleep(3600)
            await out.write("the whole answer")
        return "done"

    work(log, agent, clock)
    view = run_of(log, run_id)
    assert (view.state, view.restarts, view.supervisor) == ("idle", 0, None)
    assert session.tail()[-1].text == "half of "
    core = core_of(log, "s")
    assert core.state.streams == {}
    check(log)

    work(log, agent, clock)
    assert states(log) == ["completed"]
    assert [message.text for message in session.tail()] == ["m1", "the whole answer"]
    assert finished == ["step"]
    check(log)


def test_9_a_supervisor_waits_in_the_time_of_its_loop(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """Minutes of waiting pass in no time."""
    queued(session, "m1")

    async def agent(run: Run) -> str:
        await asyncio.sleep(500)
        return "done"

    work(log, agent, clock, for_seconds=600)
    assert states(log) == ["completed"]
    assert len(events(log, "turn_renewed")) > 20


# ---- lost owners, stale runs ------------------------------------------------------------------


def begun_elsewhere(log: Log, run_id: str, session: str = "s") -> None:
    begin = BeginTurn(run_id, ELSEWHERE, 60_000_000, 600.0, resumes=True)
    execute(log, session, StartRun(run_id, "elsewhere", "claude", begin))


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
    begin = BeginTurn(run_id, dead, 3_600_000_000, 600.0, resumes=True)  # type: ignore[arg-type]
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


# ---- providers --------------------------------------------------------------------------------


def using(log: Log) -> list[str | None]:
    return [event.provider for event in events(log, "run_started")]


def test_the_recorded_provider_comes_first(log: Log, session: Session, clock: FakeClock) -> None:
    queued(session, "m1")
    work(log, answer, clock, providers=[Provider("gemini"), Provider("claude")])
    assert using(log) == ["claude"]


def test_another_provider_takes_over_where_the_recorded_one_is_not_available(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")

    async def no() -> bool:
        return False

    providers = [Provider("claude", is_available=no), Provider("gemini", is_available=lambda: True)]
    work(log, answer, clock, providers=providers)
    assert using(log) == ["gemini"]
    assert states(log) == ["completed"]


def test_a_provider_that_goes_mid_run_is_replaced_within_the_same_turn(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    paid: list[str] = []

    async def agent(run: Run) -> str:
        assert run.provider is not None

        def pay() -> str:
            paid.append("once")
            return "found"

        await run.step("search", pay)
        if run.provider.name == "claude":
            raise ExceptionGroup("1", [ProviderGone("the key was revoked")])
        assert run.provider.client == 7
        return "done"

    work(log, agent, clock, providers=[Provider("claude"), Provider("gemini", 7)])

    assert (using(log), paid) == (["claude", "gemini"], ["once"])
    view = run_of(log, run_id)
    assert (view.state, view.fallbacks, view.provider) == ("completed", 1, "gemini")
    check(log)


def unavailable() -> bool:
    raise OSError("no such host")


@pytest.mark.parametrize("has_fallback", [True, False])
def test_51_orphans_of_a_provider_that_is_gone_are_drained_or_abandoned(
    log: Log, session: Session, clock: FakeClock, has_fallback: bool
) -> None:
    """R5: none is stuck."""
    runs = queued(session, *(f"m{number}" for number in range(51)))
    begun_elsewhere(log, runs[0])
    clock.advance(3600)
    providers = [Provider("claude", is_available=unavailable)]
    providers += [Provider("gemini")] if has_fallback else []

    work(log, answer, clock, providers=providers)

    assert states(log) == ["completed" if has_fallback else "abandoned"] * 51
    assert [*log.tasks("s", state="pending")] == []
    assert log.health().queue_depth == 0
    if not has_fallback:
        expected = "no provider can process it: claude is not available (OSError: no such host)"
        assert {run.error for run in log.runs("s")} == {expected}
    check(log)


def test_a_provider_without_sessions_gets_an_id_before_the_first_call(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    ids: list[str] = []

    async def agent(run: Run) -> None:
        ids.append(await run.session.memory_session("gemini"))

    work(log, agent, clock, providers=[Provider("gemini", keeps_sessions=False)])
    place = types(log).index("memory_session_assigned")
    assert types(log)[place + 1] == "run_started"
    assert ids[0].startswith("gemini-s-")
    check(log)


async def _hangs() -> bool:
    await asyncio.sleep(86_400)
    return True


async def _is_cancelled() -> bool:
    raise asyncio.CancelledError


@pytest.mark.parametrize("is_available", [_hangs, _is_cancelled])
def test_a_provider_that_does_not_answer_is_not_available(
    log: Log, session: Session, clock: FakeClock, is_available: Any
) -> None:
    """R3, R4: whatever the question to a provider does, the supervisor goes on."""
    queued(session, "m1", "m2")
    providers = [Provider("claude", is_available=is_available), Provider("gemini")]
    work(log, answer, clock, providers=providers, for_seconds=30)
    assert states(log) == ["completed", "completed"]
    assert {run.provider for run in log.runs()} == {"gemini"}


def test_a_supervisor_stops_while_a_provider_is_asked(
    log: Log, session: Session, clock: FakeClock
) -> None:
    queued(session, "m1")
    work(log, answer, clock, providers=[Provider("claude", is_available=_hangs)], for_seconds=1)
    assert clock() < FakeClock()() + 2_000_000
    assert states(log) == ["idle"]


# ---- what else can go wrong -------------------------------------------------------------------


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
