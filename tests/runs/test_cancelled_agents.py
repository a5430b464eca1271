"""The nine pitfalls of cancellation, each with an agent that falls into it (R3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from eventlog import (
    LeaseLost,
    Log,
    Message,
    NonRetryableError,
    PlainRun,
    Run,
    Session,
    Supervisor,
)
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of
from eventlog.testing.jumping import JumpingTime
from tests.runs.driving import check, run_of
from tests.runs.supervising import events, queued, states, work


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


def test_4_an_agent_that_swallows_everything_keeps_no_program_from_its_end(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """R7: `asyncio.run` waits for every task of its loop, for that of the agent no more."""
    queued(session, "m1")
    swallowed: list[str] = []

    async def agent(run: Run) -> None:
        while len(swallowed) < 1_000:
            try:
                await asyncio.sleep(3600)
            except BaseException as error:  # noqa: BLE001 - what it is about
                swallowed.append(type(error).__name__)

    async def main() -> None:
        supervisor = Supervisor(log, agent)
        asyncio.get_running_loop().call_later(1, supervisor.stop)
        await supervisor.run()

    JumpingTime(clock).run(main())
    assert states(log) == ["idle"]
    assert swallowed == ["CancelledError"]
    check(log)


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


def test_5_what_is_recorded_of_a_group_has_the_errors_in_it_and_their_causes(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> None:
        async def child() -> None:
            raise NonRetryableError("no answer") from ConnectionResetError("reset")

        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    work(log, agent, clock)
    said = (
        "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception) "
        "[NonRetryableError: no answer (from ConnectionResetError: reset)]"
    )
    assert run_of(log, run_id).error == said
    assert [event.error for event in events(log, "turn_failed")] == [said]


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
