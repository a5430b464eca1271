"""Work that clients do beside their caller: in a thread for the plain one, in a task for its twin."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from eventlog import ConflictError

__all__ = [
    "AsyncRepeating",
    "Repeating",
    "async_outcome",
    "async_shielded",
    "outcome",
    "shielded",
]

Value = TypeVar("Value")


class Repeating:
    """Calls a function again and again, with a pause before each call, until it is ended.

    A conflict ends it, too: what it renews is somebody else's. Other errors are logged, and it is
    tried again.
    """

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self._seconds = seconds
        self._call = call
        self._ended = threading.Event()

    def begin(self) -> None:
        """Begin; a thread of its own makes the calls."""
        threading.Thread(target=self._run, name="eventlog-client", daemon=True).start()

    def end(self) -> None:
        """Make no more calls; one that is under way is completed."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._call()
            except Exception as error:  # noqa: BLE001 - it goes on, or ends
                if _ends(error):
                    return


class AsyncRepeating:
    """As `Repeating`, in a task of the event loop: code that blocks the loop holds it up."""

    def __init__(self, seconds: float, call: Callable[[], Awaitable[object]]) -> None:
        self._seconds = seconds
        self._call = call
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    def end(self) -> None:
        """Make no more calls; one that is under way is completed."""
        self._ended.set()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._ended.wait()
                return
            except TimeoutError:
                pass
            try:
                await self._call()
            except Exception as error:  # noqa: BLE001 - it goes on, or ends
                if _ends(error):
                    return


def _ends(error: Exception) -> bool:
    logging.getLogger("eventlog").warning("background_request_failed error=%s", error)
    return isinstance(error, ConflictError)


# ---- what only one of the twins has to do -----------------------------------------------------


def outcome(made: Value) -> Value:
    """Return what a function made."""
    return made


async def async_outcome(made: Any) -> Any:
    """Return what a function made, awaited if it has to be."""
    return await made if inspect.isawaitable(made) else made


def shielded(function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Call a function."""
    function(*args, **kwargs)


async def async_shielded(
    function: Callable[..., Coroutine[Any, Any, object]], *args: Any, **kwargs: Any
) -> None:
    """Call a function and let it come to its end although the task is cancelled."""
    await asyncio.shield(asyncio.create_task(function(*args, **kwargs)))
