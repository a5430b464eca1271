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


async def in_spite_of_cancellation(work: Awaitable[Any]) -> None:
    """Wait for work that a cancelled task still owes; its own error is left to whoever awaits it.

    The work runs in a task, which is not cancelled with the caller's. Some libraries cancel a task
    again at each of its awaits; so waiting goes on in spite of that, for `FAREWELL_SECONDS`. The
    cancellation itself is on its way as the exception that ends the block.
    """
    task = asyncio.ensure_future(work)
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
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await in_spite_of_cancellation(task)
        raise
