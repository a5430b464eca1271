"""Time for asyncio that jumps: a test of an hour's lease takes milliseconds, and no luck.

Timers of an event loop, `asyncio.sleep`, `asyncio.timeout` and whatever a worker does on time
(renewals, time limits, pauses) run in virtual time. It stands still while anything is under way,
and jumps to the next timer when everybody waits::

    time = JumpingTime()
    with time.installed():
        Worker(log, finalizer, attempt_timeout=3_600).run_once()
    assert time.now == 3_600
"""

from __future__ import annotations

import asyncio
import selectors
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple
from unittest.mock import patch

from eventlog.offloop import IdleCall

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from concurrent.futures import Executor

    from eventlog.testing.clock import FakeClock

__all__ = ["JumpingLoop", "JumpingTime"]

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class JumpingTime:
    """Virtual time, in seconds since the test began, for event loops that run one after another.

    It stands still while a loop has something to run, while an executor runs something for it, and
    while a command of a log or a plain function of a worker is under way. Otherwise it jumps to the
    next timer. What comes over connections of the loop or from its subprocesses is not awaited: they
    are no part of such a test.

    A ``clock`` is moved along, so that leases, which are counted in the time of the log, run out as
    timers do.
    """

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.now = 0.0
        self._clock = clock
        self._loop: JumpingLoop | None = None

    def new_loop(self) -> JumpingLoop:
        """Return a new event loop in this time: a ``loop_factory`` for `asyncio.Runner`."""
        self._loop = JumpingLoop(self)
        return self._loop

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine as `asyncio.run` does, in this time."""
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main)

    @contextmanager
    def installed(self) -> Generator[JumpingTime]:
        """Have every loop that is made within the block, also by `asyncio.run`, run in this time."""
        with patch("asyncio.events.new_event_loop", self.new_loop):
            yield self

    def advance(self, seconds: float) -> None:
        """Let time pass although something is under way; may be called from any thread.

        So a plain function of a worker, which runs in a thread, can take its time.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            self.let_pass(seconds)
        else:
            loop.call_soon_threadsafe(self.let_pass, seconds)

    def let_pass(self, seconds: float) -> None:
        """Let time pass, in the thread of the loop."""
        before = int(self.now * 1_000_000)
        self.now += seconds
        if self._clock is not None:
            self._clock.advance((int(self.now * 1_000_000) - before) / 1_000_000)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when everybody waits."""

    def __init__(self, time: JumpingTime) -> None:
        self._virtual = time
        self._working = 0
        super().__init__(_JumpingSelector(self._is_idle, time.let_pass))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.now

    def create_future_of_work(self) -> asyncio.Future[Any]:
        """Return a future that a thread will settle; time stands still until then."""
        return self._awaited(self.create_future())

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Call a function in a thread; time stands still meanwhile, unless it only waits."""
        future = super().run_in_executor(executor, func, *args)
        return future if isinstance(func, IdleCall) else self._awaited(future)

    def _awaited(self, future: asyncio.Future[Result]) -> asyncio.Future[Result]:
        self._working += 1
        future.add_done_callback(self._settled)
        return future

    def _settled(self, _: object) -> None:
        self._working -= 1

    def _is_idle(self) -> bool:
        return self._working == 0


class _JumpingSelector(selectors.DefaultSelector):
    """Where a selector would sleep until the next timer, it lets that time pass at once."""

    def __init__(self, is_idle: Callable[[], bool], let_pass: Callable[[float], None]) -> None:
        super().__init__()
        self._is_idle = is_idle
        self._let_pass = let_pass

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready:
            return ready
        if not self._is_idle():
            return super().select(None)  # Whoever settles the future wakes the loop.
        self._let_pass(timeout)
        return []
