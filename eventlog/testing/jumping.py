"""Virtual time for asyncio: a test of an hour's lease takes milliseconds and does not depend on luck.

Timers of an event loop, `asyncio.sleep`, `asyncio.timeout` and a worker's timing (renewals, time
limits, pauses) run in virtual time. It does not move while anything is running, and jumps to the next
timer when everything waits::

    time = JumpingTime()
    with time.installed():
        Worker(log, finalizer, attempt_timeout=3_600).run_once()
    assert time.now == 3_600
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from contextlib import contextmanager, suppress
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

    It does not move while a loop has something to run, while an executor runs something for it, and
    while a command of a log, the renewal of a lease or a plain function of a worker is running.
    Otherwise it jumps to the next timer. It does not wait for connections or subprocesses of the loop;
    a test in virtual time must not use them.

    A ``clock`` moves along, so that leases, which use the log's clock, expire as timers do.
    """

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.now = 0.0
        self._clock = clock
        self._loop: JumpingLoop | None = None

    def new_loop(self) -> JumpingLoop:
        """Return a new event loop in this time: a ``loop_factory`` for `asyncio.Runner`."""
        self._loop = JumpingLoop(self)
        return self._loop

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine as `asyncio.run` does, in this time."""
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main)

    @contextmanager
    def installed(self) -> Generator[JumpingTime]:
        """Make every loop created in the block, also by `asyncio.run`, run in this time."""
        with patch("asyncio.events.new_event_loop", self.new_loop):
            yield self

    def advance(self, seconds: float) -> None:
        """Let time pass although something is running; may be called from any thread.

        So a plain function of a worker, which runs in a thread, can take its time.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            self.let_pass(seconds)
        else:
            loop.call_soon_threadsafe(loop.let_pass, seconds)

    def let_pass(self, seconds: float) -> None:
        """Let time pass while no loop runs, or as part of a jump."""
        before = int(self.now * 1_000_000)
        self.now += seconds
        if self._clock is not None:
            self._clock.advance((int(self.now * 1_000_000) - before) / 1_000_000)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when everything waits."""

    def __init__(self, time: JumpingTime) -> None:
        self._virtual = time
        self._working = 0
        self.thread_time = _Threads(self, time)
        """The time of threads that wait beside this loop."""
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.now

    def create_future_of_work(self) -> asyncio.Future[Any]:
        """Return a future that a thread will settle; time does not move until then."""
        return self._awaited(self.create_future())

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Call a function in a thread; time does not move meanwhile, unless the function only waits."""
        future = super().run_in_executor(executor, func, *args)
        return future if isinstance(func, IdleCall) else self._awaited(future)

    def close(self) -> None:
        """Close the loop, and wake the threads that wait beside it."""
        super().close()
        self.thread_time.wake(everybody=True)

    def let_pass(self, seconds: float) -> None:
        """Let time pass, and wake the threads whose time is over."""
        self._virtual.let_pass(seconds)
        self.thread_time.wake()

    def _awaited(self, future: asyncio.Future[Result]) -> asyncio.Future[Result]:
        self._working += 1
        future.add_done_callback(self._settled)
        return future

    def _settled(self, _: object) -> None:
        self._working -= 1

    def _jump(self, seconds: float) -> bool:
        """Jump to a timer that is ``seconds`` away, or to an earlier time that a thread waits for.

        Returns False if something is running.
        """
        return not self._working and self.thread_time.jump(seconds)


class _Threads:
    """Threads that wait in virtual time beside a loop, see `eventlog.offloop.ThreadTime`."""

    def __init__(self, loop: JumpingLoop, time: JumpingTime) -> None:
        self._loop = loop
        self._time = time
        self._lock = threading.Lock()
        self._awake = 0
        self._asleep: dict[threading.Condition, float] = {}
        """What each sleeping thread waits for, and until when."""

    def monotonic(self) -> float:
        return self._time.now

    def begin(self) -> None:
        with self._lock:
            self._awake += 1

    def end(self) -> None:
        with self._lock:
            self._awake -= 1
        self._wake_loop()

    def wait(self, changed: threading.Condition, seconds: float) -> bool:
        """Wait in virtual time; once the loop is closed, in real time."""
        until = self._time.now + seconds
        with self._lock:
            closed = self._loop.is_closed()
            if not closed:
                self._awake -= 1
                self._asleep[changed] = until
        if closed:
            return changed.wait(seconds)
        self._wake_loop()
        while changed in self._asleep:
            changed.wait()
        return self._time.now < until

    def notify(self, changed: threading.Condition) -> None:
        """Wake a thread; it is awake from here on, not from when it gets to run."""
        with self._lock:
            if self._asleep.pop(changed, None) is not None:
                self._awake += 1
        changed.notify_all()

    def jump(self, seconds: float) -> bool:
        """Let time pass until a timer of the loop or of a thread; wake that thread."""
        with self._lock:
            if self._awake:
                return False
            changed = min(self._asleep, key=self._asleep.__getitem__, default=None)
            left = math.inf if changed is None else self._asleep[changed] - self._time.now
        if changed is None or seconds < left:
            self._time.let_pass(seconds)
            return True
        self._time.let_pass(max(left, 0.0))
        self.wake()
        return True

    def wake(self, *, everybody: bool = False) -> None:
        """Wake the threads whose time is over."""
        with self._lock:
            due = [one for one, end in self._asleep.items() if everybody or end <= self._time.now]
        for changed in due:
            with changed:
                self.notify(changed)

    def _wake_loop(self) -> None:
        with suppress(RuntimeError):  # It was closed.
            self._loop.call_soon_threadsafe(lambda: None)


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that lets the time until the next timer pass at once, instead of sleeping."""

    def __init__(self, jump: Callable[[float], bool]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # Nobody waits for a time.
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0 or self._jump(timeout):
            return ready
        return super().select(None)  # Whoever is at work wakes the loop.
