"""Arguments and views of turns, and turns in asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import eventlog
from eventlog import (
    InvalidArgument,
    Log,
    Session,
    TurnOpen,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from tests.turns.attempts import (
    calling,
    check,
    marks_of,
    states,
    tail,
    user,
)


@pytest.mark.parametrize(
    "options",
    [
        {"turn_id": ""},
        {"turn_id": "x" * 513},
        {"turn_id": 7},
        {"lease_seconds": 0},
        {"wait_seconds": -1},
        {"stale_seconds": "long"},
        {"on_error": "maybe"},
    ],
)
def test_arguments_of_turns_are_checked(session: Session, options: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"turn_id": "t", **options}
    with pytest.raises(InvalidArgument):
        session.turn(**arguments)


@pytest.mark.parametrize("turn_id", ["a/b", "a%2Fb", "../x", "ü👩‍🔬"])
def test_any_text_is_the_id_of_a_turn(log: Log, session: Session, turn_id: str) -> None:
    with session.turn(turn_id) as turn:
        turn.end(1)
    with session.turn(turn_id) as turn:
        assert turn.result == 1
    assert states(session) == {turn_id: "completed"}
    check(log, session)


def test_a_moment_has_the_turns_of_its_time(session: Session) -> None:
    with session.turn("t1"):
        session.append(user("q"))
        version = session.version
    assert [turn.state for turn in session.at(version=version).turns()] == ["open"]
    assert [turn.state for turn in session.at(version=session.version).turns()] == ["completed"]
    fork = session.fork("f")
    assert states(fork) == {"t1": "completed"}


def test_a_session_that_is_opened_again_knows_its_open_turn(clock: FakeClock) -> None:
    store = MemoryStore()
    with Log(store, clock=clock) as log:
        log.session("s", create=True).turn("t1").__enter__().append(user("q"))
    from eventlog.engine.turn_context import _bound

    _bound.set(())
    with Log(store, clock=clock) as log:
        session = log.session("s")
        assert states(session) == {"t1": "open"}
        clock.advance(61)
        with session.turn("t1") as turn:
            assert (turn.attempt, tail(session)) == (2, [])


def run(main: Any) -> None:
    asyncio.run(main)


def test_a_turn_in_asyncio_is_bound_to_its_task_and_those_it_starts() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            entered, go_on = asyncio.Event(), asyncio.Event()

            async def agent() -> None:
                async with session.turn("t1", resume=True) as turn:
                    entered.set()
                    await asyncio.gather(session.append(user("x")), turn.append(user("y")))
                    await go_on.wait()

                    async def ask(value: int) -> int:
                        await asyncio.sleep(0)
                        return value + 1

                    assert await turn.step("ask", ask, 1, messages=[user("z")]) == 2
                    assert await turn.step("plain", lambda: 7) == 7
                    await turn.end("done")

            task = asyncio.create_task(agent())
            await entered.wait()
            await session.append(user("other"))
            with pytest.raises(TurnOpen):
                async with session.turn("t2"):
                    pass
            go_on.set()
            await task
            async with session.turn("t1") as turn:
                assert (turn.done, turn.result) == (True, "done")
            marks = marks_of(await session.timeline(types=["message_appended"]))
            assert marks == {"x": "t1", "y": "t1", "z": "t1", "other": None}
            assert await log.verify("s") == []

    run(main())


def test_a_cancelled_turn_is_recorded_as_cancelled() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            entered = asyncio.Event()

            async def agent() -> None:
                async with session.turn("t1") as turn:
                    await turn.append(calling("c", "x"))
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(agent())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (turn,) = await session.turns()
            assert turn.state == "cancelled"
            assert (await session.tail())[0].parts[0].model_dump()["interrupted"]

    run(main())


def test_a_second_turn_in_asyncio_waits() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)

            async def agent(name: str) -> None:
                async with session.turn(name, wait_seconds=60):
                    await session.append(user(name))
                    await asyncio.sleep(0)

            await asyncio.gather(*(agent(f"t{number}") for number in range(3)))
            assert sorted(turn.state for turn in await session.turns()) == ["completed"] * 3
            versions = [message.id for message in await session.tail()]
            assert sorted(versions) == ["t0", "t1", "t2"]

    run(main())
