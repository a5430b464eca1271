"""The asynchronous twin of `eventlog.log`: the same names, to be awaited. No logic lives here."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from eventlog.async_session_face import AsyncSession
from eventlog.clock import Clock, JumpWatch, system_clock
from eventlog.engine.core import Core
from eventlog.engine.request import SessionRequest
from eventlog.identifiers import IdSource, draw_id
from eventlog.log import Log
from eventlog.log import open as open_log
from eventlog.recorded import Recorded
from eventlog.records import ANY, START, Durability, Expected, Metadata, Position
from eventlog.session.events import FailedArchives
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.tokens import TokenEstimator, estimate_tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from types import TracebackType

    from eventlog.adoption.commands import Adoption
    from eventlog.engine.committer import Follower, Request
    from eventlog.projection import Projection
    from eventlog.session.command import Command
    from eventlog.session.commit import CommitResult
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.views import TaskView
    from eventlog.store import Finding, Store

__all__ = ["AsyncLog", "open_async"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
View = TypeVar("View")

READERS = 4
"""Threads that read for one log: reads of a store block, and the event loop must not."""

PAGE = 256
"""Entries that an asynchronous iterator fetches per visit to a thread."""


class AsyncLog:
    """An append-only log of sessions, for asyncio; see `eventlog.Log`.

    Made by `open_async`, or around a `Log`, which stays usable beside it.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="eventlog-reader")

    # ---- sessions -----------------------------------------------------------------------------

    async def session(
        self,
        id: str | None = None,
        *,
        create: bool = False,
        owner: str | None = None,
        project: str | None = None,
        workspace: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        failed_archives: FailedArchives = "block",
        tool_output: ToolOutputPolicy | None = None,
        auto_commit: AutoCommitPolicy | None = None,
        follow_folder: bool = True,
    ) -> AsyncSession:
        """Open a session; see `eventlog.Log.session`."""
        opened = await self.run(
            lambda: self._log.session(
                id,
                create=create,
                owner=owner,
                project=project,
                workspace=workspace,
                provider=provider,
                model=model,
                failed_archives=failed_archives,
                tool_output=tool_output,
                auto_commit=auto_commit,
                follow_folder=follow_folder,
            )
        )
        return AsyncSession(self, self._log.core(opened.id))

    async def adopt(
        self,
        path: str | PathLike[str],
        session_id: str | None = None,
        *,
        quarantine: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> Adoption:
        """Take over a session folder that another program wrote; see `eventlog.Log.adopt`."""
        return await self.run(
            lambda: self._log.adopt(
                path,
                session_id,
                quarantine=quarantine,
                actor=actor,
                correlation_id=correlation_id,
            )
        )

    def sessions(self, *, workspace: str | None = None) -> AsyncIterator[str]:
        """Yield the ids of all sessions, or of a workspace's, by id."""
        return self._iterate(self._log.sessions(workspace=workspace))

    async def latest_session(self, workspace: str) -> str | None:
        """Return the session of a workspace that has the newest event."""
        return await self.run(self._log.latest_session, workspace)

    async def exists(self, session: str) -> bool:
        """Tell whether a session has any record, a closed one included."""
        return await self.run(self._log.exists, session)

    # ---- tasks --------------------------------------------------------------------------------

    async def task(self, task_id: str) -> TaskView:
        """Return a task as pollers see it (F11); raises `TaskNotFound`."""
        return await self.run(self._log.task, task_id)

    def tasks(
        self,
        session: str | None = None,
        state: str | None = None,
        kind: str | None = None,
    ) -> AsyncIterator[TaskView]:
        """Yield tasks, oldest first; ``state`` is a machine's state or one of pollers' four."""
        return self._iterate(self._log.tasks(session, state, kind))

    async def retry(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> RetryStatus:
        """Give a task of any kind that failed for good another generation of attempts (F9)."""
        return await self.run(
            self._log.retry,
            task_id,
            reason=reason,
            idempotency_key=idempotency_key,
            actor=actor,
            correlation_id=correlation_id,
        )

    async def abandon(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Give an unfinished task of any kind up; what waits behind it goes on."""
        await self.run(
            self._log.abandon,
            task_id,
            reason=reason,
            idempotency_key=idempotency_key,
            actor=actor,
            correlation_id=correlation_id,
        )

    async def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions in which nothing was said for as long as their policy allows (C8)."""
        return await self.run(self._log.commit_idle)

    # ---- records ------------------------------------------------------------------------------

    def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily (L5)."""
        return self._iterate(
            self._log.read(session, after=after, until=until, limit=limit, reverse=reverse)
        )

    def read_all(
        self,
        *,
        after: Position = START,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Recorded]:
        """Yield the events of all sessions after a position, in the order of the log (L5)."""
        return self._iterate(self._log.read_all(after=after, types=types, limit=limit))

    async def follow(
        self, after: Position | None = None, types: Sequence[str] | None = None
    ) -> AsyncIterator[Recorded]:
        """Yield events after a position, then wait for new ones, until cancelled (L6)."""
        position = START if after is None else after
        wanted = tuple(types or ())
        while True:
            newest = await self.position()
            async for recorded in self.read_all(after=position, types=wanted):
                position = recorded.position
                yield recorded
            position = max(position, newest)
            await self.wait(position, 1.0)

    async def position(self) -> Position:
        """Return the position of the newest record that `follow` would have yielded by now."""
        return await self.run(self._log.position)

    async def project(self, session: str, projection: Projection[Any, View]) -> View:
        """Fold a session through a projection and return its view, as of now."""
        return await self.run(self._log.project, session, projection)

    async def verify(self, session: str) -> list[Finding]:
        """Check a session's hash chain and the steps of its machines (A1)."""
        return await self.run(self._log.verify, session)

    @property
    def durability(self) -> Durability:
        """What survives of an acknowledged write (P9)."""
        return self._log.durability

    # ---- inside -------------------------------------------------------------------------------

    @property
    def blocking(self) -> Log:
        """The log itself, for what does I/O in a thread."""
        return self._log

    @property
    def store(self) -> Store:
        return self._log.store

    @property
    def clock(self) -> Clock:
        return self._log.clock

    @property
    def jumps(self) -> JumpWatch:
        return self._log.jumps

    @property
    def estimate_tokens(self) -> TokenEstimator:
        return self._log.estimate_tokens

    async def core(self, session: str) -> Core:
        """Return the one core of a session in this log."""
        return self._log.core(session)

    async def execute(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
    ) -> Any:
        """Have a command decided, stored and folded; return its result."""
        return await self.answer(SessionRequest(core, command, metadata, expected))

    def answer(self, request: Request) -> asyncio.Future[Any]:
        """Queue a request, its large values stored before; return the future of its answer."""
        if request.keeps:
            return asyncio.ensure_future(self._answer_keeping(request))
        return self._queue(request)

    async def _answer_keeping(self, request: Request) -> Any:
        while True:
            if request.unkept:
                await self.run(request.keep_values)
            answer = await self._queue(request)
            if not request.unkept:
                return answer

    def _queue(self, request: Request) -> asyncio.Future[Any]:
        future = request.awaited_by(asyncio.get_running_loop())
        self._log.submit(request)
        follower = request.subject.follower
        return (
            future if follower is None else asyncio.ensure_future(self._written(future, follower))
        )

    async def _written(self, future: asyncio.Future[Any], follower: Follower) -> Any:
        """Answer when what was recorded is in the attached folder, too."""
        answer = await future
        await self.run(follower.follow)
        return answer

    async def run(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call what does I/O in a thread of this log."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: function(*args, **kwargs))

    async def wait(self, after: Position, timeout: float) -> bool:
        """Wait for a record after a position; leaves no thread behind when it is cancelled."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            if await self.run(self._log.store.wait, after, min(left, 0.25)):
                return True

    async def _iterate(self, entries: Iterator[Result]) -> AsyncIterator[Result]:
        """Drain a blocking iterator page by page."""

        def page() -> list[Result]:
            return [entry for _, entry in zip(range(PAGE), entries, strict=False)]

        while entries_read := await self.run(page):
            for entry in entries_read:
                yield entry

    async def close(self) -> None:
        """Finish what is queued and release the store; idempotent (L15)."""
        with suppress(RuntimeError):
            await self.run(self._log.close)
        self._readers.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Opening:
    """What `open_async` returns: to be awaited, or entered with ``async with``."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments
        self._opened: AsyncLog | None = None

    async def _open(self) -> AsyncLog:
        loop = asyncio.get_running_loop()
        log = await loop.run_in_executor(None, lambda: open_log(**self._arguments))
        return AsyncLog(log)

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncLog:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(self, *_: object) -> None:
        if self._opened is not None:
            await self._opened.close()


def open_async(
    url: str,
    *,
    clock: Clock = system_clock,
    ids: IdSource = draw_id,
    estimate_tokens: TokenEstimator = estimate_tokens,
    tool_output: ToolOutputPolicy | None = None,
    auto_commit: AutoCommitPolicy | None = None,
) -> _Opening:
    """Open the log at a URL: ``async with eventlog.open_async(url) as log``, or await it."""
    return _Opening(
        {
            "url": url,
            "clock": clock,
            "ids": ids,
            "estimate_tokens": estimate_tokens,
            "tool_output": tool_output,
            "auto_commit": auto_commit,
        }
    )
