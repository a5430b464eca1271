"""Agents that cancel what they find: counted, bounded, and nobody else is harmed (R1, R3)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from typing import Any, cast

import pytest

from eventlog import (
    Log,
    Message,
    Provider,
    RetryableError,
    Run,
    Session,
    Supervisor,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.jumping import JumpingTime
from tests.runs.driving import check, run_of
from tests.runs.supervising import queued, states, work


def _cancel_all() -> None:
    """Cancel every task of the loop, as a clean-up of one's own tasks may do by mistake."""
    for task in asyncio.all_tasks():
        task.cancel()


async def _from_within(run: Run) -> None:
    _cancel_all()
    await asyncio.sleep(1)


async def _from_a_child(run: Run) -> None:
    async def child() -> None:
        _cancel_all()

    await asyncio.gather(asyncio.create_task(child()), asyncio.sleep(5))


async def _from_a_callback(run: Run) -> None:
    asyncio.get_running_loop().call_later(1, _cancel_all)
    await asyncio.sleep(5)


async def _from_a_thread(run: Run) -> None:
    await asyncio.to_thread(asyncio.get_running_loop().call_soon_threadsafe, _cancel_all)
    await asyncio.sleep(5)


async def _the_whole_program(run: Run) -> None:
    raise KeyboardInterrupt


async def _only_itself(run: Run) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def _all_but_itself(run: Run) -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(5)
    raise RetryableError("it broke")


@pytest.mark.parametrize(
    "cancel",
    [
        *(_from_within, _from_a_child, _from_a_callback, _from_a_thread, _only_itself),
        *(_all_but_itself, _the_whole_program),
    ],
)
def test_an_agent_that_cancels_its_supervisor_is_counted_however_often_that_is_started(
    log: Log, session: Session, clock: FakeClock, cancel: Any
) -> None:
    """R1: also where the supervisor itself ends, since its awaiter was cancelled."""
    queued(session, "m1", "m2")
    begun: list[str] = []

    async def agent(run: Run) -> None:
        begun.append(run.prompt.id)
        if run.prompt.id == "m1":
            await cancel(run)

    for _ in range(12):
        with suppress(asyncio.CancelledError, KeyboardInterrupt):
            work(log, agent, clock)

    assert begun == ["m1"] * 4 + ["m2"]
    assert states(log) == ["failed", "completed"]
    check(log)


@pytest.mark.parametrize("is_nested", [False, True])
def test_an_agent_that_cancels_all_tasks_leaves_the_supervisor_and_other_agents_alone(
    log: Log, session: Session, clock: FakeClock, is_nested: bool
) -> None:
    """R3: the agent of another session, and the question whether a provider is available, too."""
    other = log.session("t", create=True)
    (first,) = queued(session, "m1")
    queued(other, "n1", "n2")
    kept: list[asyncio.Task[Any]] = []

    async def agent(run: Run) -> str:
        if run.run_id == first:
            for task in asyncio.all_tasks() - {*kept, asyncio.current_task()}:
                task.cancel()
        await asyncio.sleep(1)
        return "done"

    async def is_available() -> bool:
        await asyncio.sleep(0.5)
        return True

    async def supervise() -> None:
        supervisor = Supervisor(log, agent, [Provider("claude", is_available=is_available)])
        kept.append(asyncio.create_task(supervisor.run()))
        await asyncio.sleep(20)
        supervisor.stop()
        await kept[-1]

    async def main() -> None:
        kept.append(cast("Any", asyncio.current_task()))
        if not is_nested:
            await supervise()
            return
        # An agent of another log, which supervises in turn.
        with Log(MemoryStore(), clock=clock) as outer:
            outer.session("o", create=True).enqueue(Message.user("x"))

            async def outer_agent(run: Run) -> None:
                kept.append(cast("Any", asyncio.current_task()))
                await supervise()

            assert await Supervisor(outer, outer_agent).run_once() == 1

    JumpingTime(clock).run(main())

    assert states(log) == ["completed"]
    assert states(log, "t") == ["completed", "completed"]
    assert {run.attempt for run in log.runs()} == {1}
    check(log)
    check(log, "t")


def test_a_classifier_that_cancels_the_running_task_changes_nothing(
    log: Log, session: Session, clock: FakeClock
) -> None:
    (run_id,) = queued(session, "m1")
    begun: list[int] = []

    async def agent(run: Run) -> None:
        begun.append(run.attempt)
        raise RetryableError("it broke")

    def classifier(error: BaseException) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "transient"

    work(log, agent, clock, classifier=classifier)
    assert begun == [1, 2, 3, 4]
    assert (
        run_of(log, run_id).error == "RetryableError: it broke (after 3 restarts without progress)"
    )


def test_a_stop_from_outside_still_releases(log: Log, session: Session, clock: FakeClock) -> None:
    """R7: an application that cancels all its tasks stops its supervisor, whose runs do not count."""
    (run_id,) = queued(session, "m1")

    async def agent(run: Run) -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        asyncio.get_running_loop().call_later(2, _cancel_all)
        await Supervisor(log, agent).run()

    for _ in range(6):
        with pytest.raises(asyncio.CancelledError):
            JumpingTime(clock).run(main())
    assert (run_of(log, run_id).state, run_of(log, run_id).restarts) == ("idle", 0)
    check(log)


def test_what_an_agent_does_after_the_end_of_its_turn_may_finish(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """It is no part of the run: the next one begins meanwhile, and only a stop cancels it."""
    queued(session, "m1", "m2", "m3")
    done: list[str] = []

    async def agent(run: Run) -> None:
        id_ = run.prompt.id
        if id_ == "m2":
            await run.turn.fail("no")
        else:
            await run.turn.end({"id": id_})
        done.append(f"{id_} ended")
        Context().run(session.stop_run)  # As from elsewhere: there is none to stop.
        try:
            await asyncio.sleep(3600 if id_ == "m3" else 20)
            done.append(f"{id_} went on")
        except asyncio.CancelledError:
            done.append(f"{id_} cancelled")
            raise

    work(log, agent, clock, for_seconds=60)

    assert states(log) == ["completed", "failed", "completed"]
    assert sorted(each for each in done if "ended" not in each) == [
        "m1 went on", "m2 went on", "m3 cancelled",
    ]  # fmt: skip
    assert done.index("m3 ended") < done.index("m1 went on")
    check(log)
