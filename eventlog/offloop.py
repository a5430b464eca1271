"""What an event loop waits for outside of itself: work that threads do for it, and their waiting.

asyncio does not distinguish a future that a thread is about to settle from one that nobody will
settle soon. For real time that makes no difference. A loop whose time is virtual, such as those of
`eventlog.testing.JumpingTime`, must know: it may let time pass only while nothing is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

__all__ = ["CREATE_WORK", "IdleCall", "future_of_work"]

CREATE_WORK: Final = "create_future_of_work"
"""The method of a loop that makes futures of work; the loops of asyncio have none."""


def future_of_work(loop: AbstractEventLoop) -> Future[Any]:
    """Return a future of a loop that a thread, which works at it already, will settle."""
    create: Callable[[], Future[Any]] = getattr(loop, CREATE_WORK, loop.create_future)
    return create()


class IdleCall:
    """A call for an executor that only waits for others, so that time may pass meanwhile."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __call__(self) -> Any:
        return self._call()
