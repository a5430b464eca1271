"""What a cancelled task still owes: it is done all the same, and waited for, within a limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["FAREWELL_SECONDS", "in_spite_of_cancellation", "whole"]

Result = TypeVar("Result")

FAREWELL_SECONDS: Final = 10.0
"""How long a cancelled task waits for what it still has to record."""


class _Farewell(asyncio.Task[Result]):
    """A task with work that somebody owes: a cancellation waits for it, within the limit.

    Programs end by cancelling every task of their loop, and so does `asyncio.run`: also this one, whose
    work would then be lost.
    """

    _ending: asyncio.TimerHandle | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        if self._ending is None and not self.done():
            loop = self.get_loop()
            ending = self._ending = loop.call_later(FAREWELL_SECONDS, super().cancel, msg)
            self.add_done_callback(lambda _: ending.cancel())
        return False


def _owed(work: Awaitable[Result]) -> asyncio.Future[Result]:
    """Return work as a task that goes on in spite of cancellations; a task stays what it is."""
    if asyncio.iscoroutine(work):
        return _Farewell(work, loop=asyncio.get_running_loop())
    return asyncio.ensure_future(work)


async def in_spite_of_cancellation(work: Awaitable[Any]) -> None:
    """Wait for work that a cancelled task still owes; its own error is left to whoever awaits it.

    The work runs in a task, which is not cancelled with the caller's. Some libraries cancel a task
    again at each of its awaits; so waiting goes on in spite of that, for `FAREWELL_SECONDS`. The
    cancellation itself is on its way as the exception that ends the block.
    """
    task = _owed(work)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FAREWELL_SECONDS
    while not task.done() and loop.time() < deadline:
        try:
            await asyncio.wait({task}, timeout=deadline - loop.time())
        except asyncio.CancelledError:
            continue
    if task.done() and not task.cancelled():
        task.exception()  # It counts as seen.


async def whole(work: Awaitable[Result]) -> Result:
    """Do work to its end; a cancellation that comes meanwhile is raised afterwards."""
    task = _owed(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await in_spite_of_cancellation(task)
        raise
