"""Work that threads do for an event loop, and how those threads wait for time.

asyncio does not distinguish a future that a thread is about to settle from one that will not be
settled soon. In real time that makes no difference. A loop with virtual time, such as those of
`eventlog.testing.JumpingTime`, must know: it may let time pass only while no work is under way.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

__all__ = [
    "CREATE_WORK",
    "REAL_TIME",
    "THREAD_TIME",
    "IdleCall",
    "ThreadTime",
    "future_of_work",
    "thread_time_of",
]

CREATE_WORK: Final = "create_future_of_work"
"""The method of a loop that makes futures of work; the loops of asyncio have none."""


def future_of_work(loop: AbstractEventLoop) -> Future[Any]:
    """Return a future of the loop that a thread, already at work, will settle."""
    create: Callable[[], Future[Any]] = getattr(loop, CREATE_WORK, loop.create_future)
    return create()


class IdleCall:
    """A call for an executor that only waits for others, so that time may pass meanwhile."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __call__(self) -> Any:
        return self._call()


class ThreadTime(Protocol):
    """The time that a thread waits in beside a loop: monotonic, in seconds."""

    def monotonic(self) -> float:
        """Return the time in seconds, since any moment."""
        ...

    def begin(self) -> None:
        """Note that a thread which waits in this time is being started."""
        ...

    def end(self) -> None:
        """Note that such a thread ends."""
        ...

    def wait(self, changed: threading.Condition, seconds: float) -> bool:
        """Wait in such a thread for `notify`; return False when the time is over first."""
        ...

    def notify(self, changed: threading.Condition) -> None:
        """Wake the thread that waits for a condition; the caller holds its lock."""
        ...


class _RealTime:
    """The time of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def wait(self, changed: threading.Condition, seconds: float) -> bool:
        return changed.wait(seconds)

    def notify(self, changed: threading.Condition) -> None:
        changed.notify()


THREAD_TIME: Final = "thread_time"
"""The attribute of a loop with the time of threads beside it; the loops of asyncio have none."""

REAL_TIME: Final[ThreadTime] = _RealTime()
"""The time of this machine."""


def thread_time_of(loop: AbstractEventLoop) -> ThreadTime:
    """Return the time that threads beside a loop wait in: the machine's, unless the loop has one."""
    found: ThreadTime = getattr(loop, THREAD_TIME, REAL_TIME)
    return found
