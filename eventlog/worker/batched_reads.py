"""Reading for several attempts in one call to a thread of the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

from eventlog.engine.async_engine import READERS

if TYPE_CHECKING:
    from eventlog.engine.async_engine import AsyncEngine

__all__ = ["BatchedReads"]

PATIENCE_SECONDS: Final = 0.05
"""How long one thread reads before another one helps, and finished reads wait for the others."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Reading(NamedTuple):
    read: Callable[[], Any]
    answer: asyncio.Future[Any]


class BatchedReads:
    """Collects the reads that attempts request in one iteration of the loop and runs them at once.

    Switching to a thread and back costs as much as reading a small archive there, and attempts that
    get their answers together write together, in one batch of the committer. If reading takes long,
    more threads help, so that a large archive delays no other (F1).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._wanted: deque[_Reading] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def read(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function that reads from the store, in a thread of the log."""
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._set_out)
        answer = loop.create_future()
        self._wanted.append(_Reading(partial(function, *args, **kwargs), answer))
        result: Result = await answer
        return result

    def _set_out(self) -> None:
        wanted, self._wanted = self._wanted, deque()
        visit = asyncio.create_task(self._visit(wanted))
        self._under_way.add(visit)
        visit.add_done_callback(self._under_way.discard)

    async def _visit(self, wanted: deque[_Reading]) -> None:
        done: deque[tuple[_Reading, Any]] = deque()
        threads: set[asyncio.Task[None]] = set()
        while wanted or threads:
            if wanted and len(threads) < READERS:
                threads.add(asyncio.create_task(self._engine.run(_read_all, wanted, done)))
            ended, threads = await asyncio.wait(threads, timeout=PATIENCE_SECONDS)
            for failure in filter(None, (thread.exception() for thread in ended)):
                # The log was closed, so it has no threads any more.
                done.extend((reading, failure) for reading in wanted)
                wanted.clear()
            while done:
                _settle(*done.popleft())


def _read_all(wanted: deque[_Reading], done: deque[tuple[_Reading, Any]]) -> None:
    """Run the wanted reads until none is left, beside other threads that do the same."""
    while True:
        try:
            reading = wanted.popleft()
        except IndexError:
            return
        outcome: Any
        try:
            outcome = reading.read()
        except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
            outcome = error
        done.append((reading, outcome))


def _settle(reading: _Reading, outcome: Any) -> None:
    if reading.answer.done():
        return
    if isinstance(outcome, BaseException):
        reading.answer.set_exception(outcome)
    else:
        reading.answer.set_result(outcome)
