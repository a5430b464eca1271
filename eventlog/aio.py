"""The asynchronous face of a log: `AsyncLog`, with the methods of `eventlog.Log` to await."""

from __future__ import annotations

import asyncio
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeVar

from eventlog import late_verbs
from eventlog.async_session_face import AsyncSession
from eventlog.clock import Clock, system_clock
from eventlog.engine.async_engine import AsyncEngine
from eventlog.identifiers import IdSource, draw_id
from eventlog.log import Log, engine_of
from eventlog.log import open as open_log
from eventlog.recorded import Recorded
from eventlog.records import START, Durability, Position
from eventlog.session.events import FailedArchives
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session_face import core_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from eventlog.adoption.commands import Adoption
    from eventlog.adoption.limits import FolderLimits
    from eventlog.engine.health import Health
    from eventlog.exchange.backup import BackupReport
    from eventlog.exchange.bundle.format import Redaction
    from eventlog.exchange.bundle.writing import BundleReport
    from eventlog.projection import Projection
    from eventlog.session.commit import CommitResult
    from eventlog.session.runs.machine import RunState
    from eventlog.session.runs.view import RunView
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.tasks.machine import PollerState, TaskState
    from eventlog.session.views import TaskView
    from eventlog.store import Finding, Store
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncLog", "async_engine_of", "open_async"]

View = TypeVar("View")


class AsyncLog:
    """An append-only log of sessions, for asyncio; the methods are those of `Log`.

    `open_async` makes one. ``AsyncLog(log)`` shares an open `Log`, which stays usable beside it.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._engine = AsyncEngine(engine_of(log))

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
        """Open a session; with ``create=True``, one that may not exist yet.

        See `Log.session`.
        """
        opened = await self._engine.run(
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
        return AsyncSession(self._engine, core_of(opened))

    async def adopt(
        self,
        path: str | PathLike[str],
        session_id: str | None = None,
        *,
        quarantine: bool = False,
        limits: FolderLimits | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Adoption:
        """Turn a session folder that another program wrote into a session of this log.

        See `Log.adopt`.
        """
        return await self._engine.run(
            lambda: self._log.adopt(
                path,
                session_id,
                quarantine=quarantine,
                limits=limits,
                actor=actor,
                correlation_id=correlation_id,
                causation_id=causation_id,
                trace=trace,
            )
        )

    def sessions(
        self,
        *,
        owner: str | None = None,
        workspace: str | None = None,
        updated_after: str | datetime | None = None,
        newest_first: bool = False,
    ) -> AsyncIterator[str]:
        """Yield the ids of all sessions, or of those of an owner or in a workspace.

        See `Log.sessions`.
        """
        return self._engine.iterate(
            self._log.sessions(
                owner=owner,
                workspace=workspace,
                updated_after=updated_after,
                newest_first=newest_first,
            )
        )

    async def latest_session(self, workspace: str) -> str | None:
        """Return the id of the session in a workspace that was written to last, or None."""
        return await self._engine.run(self._log.latest_session, workspace)

    async def exists(self, session: str) -> bool:
        """Return whether a session has any record, even if it is closed or deleted."""
        return await self._engine.run(self._log.exists, session)

    # ---- tasks --------------------------------------------------------------------------------

    async def task(self, task_id: str) -> TaskView:
        """Return a task by its id; raises `TaskNotFound`."""
        return await self._engine.run(self._log.task, task_id)

    def tasks(
        self,
        session: str | None = None,
        state: TaskState | PollerState | None = None,
        kind: str | None = None,
    ) -> AsyncIterator[TaskView]:
        """Yield tasks, the oldest first, filtered by session, state and kind.

        See `Log.tasks`.
        """
        return self._engine.iterate(self._log.tasks(session, state, kind))

    def runs(
        self, session: str | None = None, state: RunState | None = None
    ) -> AsyncIterator[RunView]:
        """Yield runs, filtered by session and state.

        See `Log.runs`.
        """
        return self._engine.iterate(self._log.runs(session, state))

    async def retry(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> RetryStatus:
        """Give a failed task of any kind new attempts.

        See `Log.retry`.
        """
        return await self._engine.run(
            self._log.retry,
            task_id,
            reason=reason,
            idempotency_key=idempotency_key,
            actor=actor,
            correlation_id=correlation_id,
            causation_id=causation_id,
            trace=trace,
        )

    async def abandon(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Abandon an unfinished task of any kind; what waits for it goes on.

        See `Log.abandon`.
        """
        await self._engine.run(
            self._log.abandon,
            task_id,
            reason=reason,
            idempotency_key=idempotency_key,
            actor=actor,
            correlation_id=correlation_id,
            causation_id=causation_id,
            trace=trace,
        )

    async def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions that were idle for as long as their policy allows.

        See `Log.commit_idle`.
        """
        return await self._engine.run(self._log.commit_idle)

    # ---- records ------------------------------------------------------------------------------

    def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        types: Sequence[str] = (),
        versions: Iterable[int] | None = None,
    ) -> AsyncIterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily.

        See `Log.read`.
        """
        return self._engine.iterate(
            self._log.read(
                session,
                after=after,
                until=until,
                limit=limit,
                reverse=reverse,
                types=types,
                versions=versions,
            )
        )

    def find(self, prefix: str, /, **fields: str | int) -> AsyncIterator[Recorded]:
        """Yield the events of all sessions with an index key, in the order of key, session, version.

        See `Log.find`.
        """
        return self._engine.iterate(self._log.find(prefix, **fields))

    def read_all(
        self,
        *,
        after: Position = START,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> AsyncIterator[Recorded]:
        """Yield the events of all sessions after a position, in the order of the log.

        See `Log.read_all`.
        """
        return self._engine.iterate(self._log.read_all(after=after, types=types, limit=limit))

    def follow(
        self, after: Position | str | None = None, types: Sequence[str] | None = None
    ) -> AsyncIterator[Recorded]:
        """Yield the events after a place, then wait for new ones until the log is closed.

        See `Log.follow`.
        """
        return self._engine.follow(after, types or ())

    async def checkpoint(self, recorded: Recorded | None = None) -> str:
        """Return a text from which `follow` can go on: after an event, by default the newest one.

        See `Log.checkpoint`.
        """
        return await self._engine.run(self._log.checkpoint, recorded)

    async def position(self) -> Position:
        """Return the position of the newest event: where `follow` would begin to wait."""
        return await self._engine.run(self._log.position)

    async def project(self, session: str, projection: Projection[Any, View]) -> View:
        """Fold a session through a projection and return the view.

        See `Log.project`.
        """
        return await self._engine.run(self._log.project, session, projection)

    async def verify(self, session: str) -> list[Finding]:
        """Return what is wrong with a session, the first bad version first; an empty list if
        nothing is.

        See `Log.verify`.
        """
        return await self._engine.run(self._log.verify, session)

    async def health(self, *, after: Position | str | None = None) -> Health:
        """Return what waits in this log, what is stuck, and since when.

        See `Log.health`.
        """
        return await self._engine.run(lambda: self._log.health(after=after))

    async def bundle(
        self,
        sessions: Sequence[str],
        path: str | PathLike[str],
        *,
        redact: Redaction | None = None,
        replace: bool = False,
    ) -> BundleReport:
        """Write sessions into one file that reads, and verifies, without this log.

        See `Log.bundle`.
        """
        return await self._engine.run(
            self._log.bundle, sessions, path, redact=redact, replace=replace
        )

    async def save(self, session: str, path: str | PathLike[str]) -> BundleReport:
        """Save a session to one file, from which `resume` brings it back, here or in another log.

        See `Log.save`.
        """
        return await self._engine.run(self._log.save, session, path)

    async def resume(self, path: str | PathLike[str]) -> AsyncSession:
        """Bring a saved session into this log under its own id, and open it.

        See `Log.resume`.
        """
        core = await self._engine.run(late_verbs.resume, self._engine.blocking, path)
        return AsyncSession(self._engine, core)

    async def backup(
        self,
        path: str | PathLike[str],
        *,
        advance: Callable[[int, int], object] | None = None,
    ) -> BackupReport:
        """Write the whole log into a new local file, as it is at one moment, while others write to it.

        See `Log.backup`. ``advance`` is called in another thread.
        """
        return await self._engine.run(self._log.backup, path, advance=advance)

    @property
    def durability(self) -> Durability:
        """What an acknowledged write survives: ``none``, the end of the ``process``, or ``power``
        loss."""
        return self._log.durability

    @property
    def store(self) -> Store:
        """The store as it was opened. It knows neither sessions nor whether the log is closed."""
        return self._log.store

    # ---- end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Finish what is queued and release the store. Closing twice is harmless."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def async_engine_of(log: AsyncLog) -> AsyncEngine:
    """Return the engine behind a log, for other faces and the library's own tools."""
    return log._engine  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class Opening:
    """The result of `open_async`: await it, or enter it with ``async with``."""

    def __init__(self, opening: Callable[[], Log]) -> None:
        self._opening = opening
        self._opened: AsyncLog | None = None

    async def _open(self) -> AsyncLog:
        return AsyncLog(await asyncio.get_running_loop().run_in_executor(None, self._opening))

    def __await__(self) -> Generator[Any, None, AsyncLog]:
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
) -> Opening:
    """Open the log at a URL: ``async with eventlog.open_async(url) as log``, or await it.

    The arguments and errors are those of `eventlog.open`.
    """
    return Opening(
        partial(
            open_log,
            url,
            clock=clock,
            ids=ids,
            estimate_tokens=estimate_tokens,
            tool_output=tool_output,
            auto_commit=auto_commit,
        )
    )
