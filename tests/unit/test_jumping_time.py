"""The time of event loops in tests: it jumps when everything waits, and only then."""

from __future__ import annotations

import asyncio
import threading

import pytest

from eventlog import AsyncLog, AsyncWorker, Log, Message
from eventlog.testing import FakeClock, JumpingTime
from eventlog.worker.callables import call
from eventlog.worker.worker import WATCH_SECONDS


def test_timers_run_in_their_order_at_their_time(loop_time: JumpingTime) -> None:
    seen: list[tuple[str, float]] = []

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop_time.now))

    async def main() -> None:
        await asyncio.gather(after(7_200, "c"), after(0.5, "a"), after(3_600, "b"))

    asyncio.run(main())

    assert seen == [("a", 0.5), ("b", 3_600), ("c", 7_200)]


def test_whoever_waits_for_ever_runs_into_its_time_limit(loop_time: JumpingTime) -> None:
    async def main() -> None:
        async with asyncio.timeout(86_400):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert loop_time.now == 86_400


def test_time_stands_still_while_a_thread_works(loop_time: JumpingTime) -> None:
    """In an executor, or as a plain callable of a worker; the loop sleeps several times meanwhile."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()

        def work() -> float:
            for _ in range(3):
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            return loop_time.now

        async with asyncio.timeout(0.001):
            return [await asyncio.to_thread(work), await call(work)]

    assert asyncio.run(main()) == [0, 0]


def test_time_stands_still_while_a_log_works(log: Log, loop_time: JumpingTime) -> None:
    async def main() -> int:
        session = await AsyncLog(log).session("s", create=True)
        async with asyncio.timeout(0.001):
            for number in range(20):
                await session.append(Message.user("hello", id=f"m{number}"))
            return len(await session.history())

    assert asyncio.run(main()) == 20


def test_time_passes_while_a_log_is_waited_for(log: Log, loop_time: JumpingTime) -> None:
    """A worker without work waits in a thread of the log, which is no work."""

    async def main() -> None:
        worker = AsyncWorker(AsyncLog(log))
        async with asyncio.timeout(3 * WATCH_SECONDS):
            await worker.run()

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert loop_time.now == 3 * WATCH_SECONDS


def test_a_thread_that_hangs_can_take_its_time(loop_time: JumpingTime) -> None:
    may_end = threading.Event()

    def hang() -> None:
        loop_time.advance(60)
        assert may_end.wait(60)

    async def main() -> None:
        try:
            async with asyncio.timeout(60):
                await call(hang)
        finally:
            may_end.set()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_the_clock_of_a_log_goes_along() -> None:
    clock = FakeClock()
    time = JumpingTime(clock)
    begun = clock()

    time.run(asyncio.sleep(0.25))
    time.advance(1)

    assert time.now == 1.25
    assert clock() - begun == clock.monotonic() == 1_250_000


def test_loops_that_run_one_after_another_share_their_time(loop_time: JumpingTime) -> None:
    for _ in range(2):
        asyncio.run(asyncio.sleep(5))

    assert loop_time.now == 10
