"""The engine for asyncio: commands are queued and awaited, reads run in a few threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from eventlog.argument_checks import check_types
from eventlog.engine.checkpoints import position_after
from eventlog.engine.following import WAIT_SECONDS, following
from eventlog.engine.request import SessionRequest
from eventlog.errors import LogClosed
from eventlog.offloop import IdleCall
from eventlog.records import ANY, Expected, Metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from eventlog.engine.committer import Follower, Request
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.recorded import Recorded
    from eventlog.records import Position
    from eventlog.session.command import Command
    from eventlog.session.commit import CommitResult
    from eventlog.session.turns.state import TurnFence

__all__ = ["READERS", "AsyncEngine"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Entry = TypeVar("Entry")

READERS: Final = 4
"""Threads that read for one log: reading from a store blocks, and the event loop must not."""

PAGE: Final = 256
"""Entries that an asynchronous iterator fetches per visit to a thread."""


class AsyncEngine:
    """An `Engine` for one event loop; the engine stays usable beside it."""

    def __init__(self, engine: Engine) -> None:
        self.blocking = engine
        """The engine itself, for code that does its I/O in a thread."""
        self.store = engine.store
        self.clock = engine.clock
        self.jumps = engine.jumps
        self.estimate_tokens = engine.estimate_tokens
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="eventlog-reader")
        self._released = False

    def core(self, session: str) -> Core:
        """Return the one core of a session in this log. No I/O."""
        return self.blocking.core(session)

    # ---- commands -----------------------------------------------------------------------------

    async def execute(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
        *,
        fence: TurnFence | None = None,
    ) -> Any:
        """Decide, store and fold a command, write the folder, and return the result."""
        return await self.answered(SessionRequest(core, command, metadata, expected, fence))

    async def answered(self, request: Request) -> Any:
        """Do as `answer` says in the calling task: there is no other one that might be cancelled."""
        while True:
            if request.unkept:
                await self.run(request.keep_values)
            answer = await self._queue(request)
            if not request.unkept:
                return answer

    def answer(self, request: Request) -> asyncio.Future[Any]:
        """Store a request's large values, queue it, and return the future of its answer."""
        if request.keeps:
            return asyncio.ensure_future(self.answered(request))
        queued = self._queue(request)
        return queued if isinstance(queued, asyncio.Future) else asyncio.ensure_future(queued)

    def _queue(self, request: Request) -> asyncio.Future[Any] | Coroutine[Any, Any, Any]:
        """Queue a request now; return what its answer is awaited by."""
        future = request.awaited_by(asyncio.get_running_loop())
        self.blocking.submit(request)
        follower = request.subject.follower
        return future if follower is None else self._written(future, follower)

    async def _written(self, future: asyncio.Future[Any], follower: Follower) -> Any:
        """Return the answer once the records are written to the attached folder, too."""
        answer = await future
        await self.run(follower.follow)
        return answer

    async def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions that were idle for as long as their policy allows (C8)."""
        return await self.run(self.blocking.commit_idle)

    async def interrupt_lost_streams(self) -> None:
        """End the unfinished messages whose producer is gone."""
        await self.run(self.blocking.interrupt_lost_streams)

    async def abandon_stale_turns(self) -> int:
        """Abandon the open turns whose lease lapsed too long ago; return how many there were (T5)."""
        return await self.run(self.blocking.abandon_stale_turns)

    # ---- reading ------------------------------------------------------------------------------

    async def run(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a function that does I/O in a thread of this engine.

        Raises `LogClosed` once the engine is released, since it then has no threads.
        """
        return await self._in_thread(lambda: function(*args, **kwargs))

    def _in_thread(self, call: Callable[[], Result]) -> asyncio.Future[Result]:
        try:
            return asyncio.get_running_loop().run_in_executor(self._readers, call)
        except RuntimeError as error:
            if self._released:
                raise LogClosed from error
            raise

    async def position(self) -> Position:
        """Return the position of the newest record of the log."""
        return await self.run(self.store.tip)

    async def wait(self, after: Position, timeout: float) -> bool:  # noqa: ASYNC109 - as a store has it
        """Wait for a record after a position; return whether there is one.

        The loop measures the time, so that a test can let it pass. If the wait is cancelled, its
        thread ends by itself, at most `WAIT_SECONDS` later.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (left := deadline - loop.time()) > 0:
            call = IdleCall(partial(self.store.wait, after, min(left, WAIT_SECONDS)))
            answer = self._in_thread(call)
            try:
                await asyncio.wait({answer}, timeout=left)
                if answer.done() and answer.result():
                    return True
            finally:
                answer.cancel()
        return False

    async def iterate(self, entries: Iterator[Entry | None]) -> AsyncIterator[Entry]:
        """Yield from a blocking iterator, read page by page; None in it ends a page early."""

        def page() -> tuple[list[Entry], bool]:
            read: list[Entry] = []
            for entry in entries:
                if entry is None:
                    return read, True
                read.append(entry)
                if len(read) == PAGE:
                    return read, True
            return read, False

        goes_on = True
        while goes_on:
            read, goes_on = await self.run(page)
            for entry in read:
                yield entry
                self.store.refuse_if_shut()

    async def follow(
        self, after: Position | str | None, types: Sequence[str]
    ) -> AsyncIterator[Recorded]:
        """Yield events after a position or checkpoint, then wait for new ones; see `following`."""
        self.store.refuse_if_shut()
        check_types(types)
        with suppress(LogClosed):
            start = await self.run(position_after, self.store, after)
            async for recorded in self.iterate(following(self.store, start, types)):
                yield recorded

    # ---- end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Finish what is queued, release the store and the threads; idempotent (L15)."""
        if not self._released:
            await self.run(self.blocking.close)
            self.release()

    def release(self) -> None:
        """Release only the threads: the blocking engine stays open."""
        self._released = True
        self._readers.shutdown(wait=False)
