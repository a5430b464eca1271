"""The log: sessions, tasks, reading, following and verifying, on one store."""

from __future__ import annotations

import logging
import os
import weakref
from importlib import import_module
from os import PathLike
from os.path import abspath
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from eventlog.clock import Clock, JumpWatch, system_clock
from eventlog.engine.arguments import about, creation
from eventlog.engine.committer import Committer, Request
from eventlog.engine.core_cache import Cores
from eventlog.engine.opening import open_store
from eventlog.engine.queries import find_task, idle_sessions
from eventlog.engine.request import SessionRequest, run_keeping
from eventlog.engine.snapshots import project_stream
from eventlog.errors import (
    ConflictError,
    CorruptError,
    InvalidArgument,
    LogClosed,
    SessionNotFound,
    StoreUnavailable,
    TaskNotFound,
)
from eventlog.filesystem import FileSystem, LocalFiles
from eventlog.identifiers import IdSource, check_session_id, draw_id, new_id
from eventlog.recorded import Recorded
from eventlog.records import ANY, START, Durability, Expected, Metadata, Position
from eventlog.session.auto_commit import AUTOMATIC, CommitIfDue
from eventlog.session.events import FailedArchives
from eventlog.session.index import (
    SESSIONS,
    TASKS,
    keys_under,
    read_task,
    workspace_prefix,
)
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.views import TaskView, task_view
from eventlog.session_face import Session
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from eventlog.adoption.commands import Adoption
    from eventlog.engine.core import Core
    from eventlog.projection import Projection
    from eventlog.session.command import Command
    from eventlog.session.commit import CommitResult
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.tasks.state import Task
    from eventlog.store import Finding, Store

__all__ = ["Log", "open"]

View = TypeVar("View")

FOLLOW_SECONDS: Final = 1.0
"""How long one wait of `Log.follow` lasts before it looks whether the log was closed."""


class Log:
    """An append-only log of sessions.

    Thread-safe; in a forked child it gets a connection and a committer of its own (L15).
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = system_clock,
        ids: IdSource = draw_id,
        estimate_tokens: TokenEstimator = estimate_tokens,
        tool_output: ToolOutputPolicy | None = None,
        auto_commit: AutoCommitPolicy | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self.store = store
        self.files = files or LocalFiles()
        """Where attached folders are."""
        self.clock = clock
        self.ids = ids
        self.estimate_tokens = estimate_tokens
        self.jumps = JumpWatch(clock)
        self._tool_output = tool_output
        self._auto_commit = auto_commit
        self._committer = Committer(store)
        self._cores = Cores(store, clock, ids)
        self._closed = False
        _logs.add(self)

    # ---- sessions -----------------------------------------------------------------------------

    def session(
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
    ) -> Session:
        """Open a session (M1).

        With ``create=True`` a session that does not exist comes into being with its first write,
        which records the further arguments; without an ``id`` a UUIDv7 is drawn. ``tool_output``
        and ``auto_commit`` are policies, by default those of the log. A folder that is attached to
        it is owned and brought up to date (O2) if no other process owns it, unless
        ``follow_folder`` is false, as for a program that only reads.

        Raises `SessionNotFound`, `SessionClosed` if a closed session is to be created again, and
        `InvalidArgument` for an id that cannot be one.
        """
        if id is None and not create:
            raise InvalidArgument("give the id of the session, or create=True for a new one")
        core = self.core(check_session_id(new_id() if id is None else id))
        created = creation(
            owner=owner,
            project=project,
            workspace=workspace,
            provider=provider,
            model=model,
            failed_archives=failed_archives,
            tool_output=tool_output or self._tool_output,
            auto_commit=auto_commit or self._auto_commit,
        )
        core.open(created if create else None)
        if follow_folder and core.state.folder is not None and core.follower is None:
            _reattach(self, core)
        return Session(self, core)

    def adopt(
        self,
        path: str | PathLike[str],
        session_id: str | None = None,
        *,
        quarantine: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> Adoption:
        """Take over a session folder that another program wrote (O4, O5).

        Without an id the session gets that of the folder's metadata, or the folder's name. One
        atomic append as far as the store takes it; durable at return. Adopting the same folder
        again changes nothing, and goes on where a crash stopped it. The folder itself stays as it
        is, but for files that keep what was dropped of it.

        Raises `CorruptFolder` for a line that is no message, unless such lines may be dropped into
        ``quarantine``; `InvalidArgument` for a folder that is no session's; `FileNotFoundError`;
        `FolderUnavailable`; `DuplicateEvent` if the session exists and is not this folder's, or the
        folder has changed since.
        """
        # Loaded by name, as stores are: the log knows no projection.
        adoption = import_module("eventlog.adoption.adopting")
        policies = creation(tool_output=self._tool_output, auto_commit=self._auto_commit)
        adopted: Adoption = adoption.adopt(
            self,
            abspath(path),
            session_id,
            policies,
            quarantine=quarantine,
            by=about(actor, correlation_id),
        )
        return adopted

    def sessions(self, *, workspace: str | None = None) -> Iterator[str]:
        """Yield the ids of all sessions, or of a workspace's, by id; from the index (L14)."""
        self._refuse_if_closed()
        prefix = SESSIONS if workspace is None else workspace_prefix(workspace)
        for key, _ in self.store.scan(*keys_under(prefix)):
            yield key.removeprefix(prefix)

    def latest_session(self, workspace: str) -> str | None:
        """Return the session of a workspace that has the newest event."""
        return max(
            self.sessions(workspace=workspace),
            key=lambda session: self.store.head(session).time,
            default=None,
        )

    def exists(self, session: str) -> bool:
        """Tell whether a session has any record, a closed one included."""
        self._refuse_if_closed()
        return self.store.head(check_session_id(session)).version > 0

    # ---- tasks --------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskView:
        """Return a task as pollers see it (F11); raises `TaskNotFound`."""
        self._refuse_if_closed()
        task = find_task(self.store, task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return self._view(task)

    def tasks(
        self,
        session: str | None = None,
        state: str | None = None,
        kind: str | None = None,
    ) -> Iterator[TaskView]:
        """Yield tasks, oldest first; ``state`` is a machine's state or one of pollers' four."""
        self._refuse_if_closed()
        for _, value in self.store.scan(*keys_under(TASKS)):
            view = self._view(read_task(value))
            if (
                session in (None, view.session_id)
                and kind in (None, view.kind)
                and state in (None, view.state, view.status)
            ):
                yield view

    def _view(self, task: Task) -> TaskView:
        return task_view(task, lambda task_id: find_task(self.store, task_id))

    def retry(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> RetryStatus:
        """Give a task of any kind that failed for good another generation of attempts (F9)."""
        from eventlog.session.tasks.commands import RetryTask

        core = self.core(self.task(task_id).session_id)
        by = about(actor, correlation_id, idempotency_key)
        status: RetryStatus = self.execute(core, RetryTask(task_id=task_id, reason=reason), by)
        return status

    def abandon(
        self,
        task_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Give an unfinished task of any kind up; what waits behind it goes on."""
        from eventlog.session.tasks.commands import AbandonTask

        core = self.core(self.task(task_id).session_id)
        by = about(actor, correlation_id, idempotency_key)
        self.execute(core, AbandonTask(task_id=task_id, reason=reason), by)

    def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions in which nothing was said for as long as their policy allows (C8).

        Workers do so whenever they look for work. Returns the commits that were made; one that is
        refused is logged.
        """
        self._refuse_if_closed()
        results: list[CommitResult] = []
        for session in idle_sessions(self.store, self.clock()):
            try:
                result: CommitResult = self.execute(self.core(session), CommitIfDue(), AUTOMATIC)
            except (ConflictError, CorruptError) as error:
                log_fact(logging.WARNING, "idle_commit_refused", error=str(error))
            else:
                if result.status == "accepted":
                    results.append(result)
        return tuple(results)

    # ---- records ------------------------------------------------------------------------------

    def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily (L5)."""
        self._refuse_if_closed()
        records = self.store.read(session, after=after, until=until, limit=limit, reverse=reverse)
        for record in records:
            yield Recorded(record)

    def read_all(
        self,
        *,
        after: Position = START,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Recorded]:
        """Yield the events of all sessions after a position, in the order of the log (L5)."""
        self._refuse_if_closed()
        for record in self.store.read_all(after=after, types=types, limit=limit):
            yield Recorded(record)

    def follow(
        self, after: Position | None = None, types: Sequence[str] | None = None
    ) -> Iterator[Recorded]:
        """Yield events after a position, then wait for new ones, until the log is closed (L6).

        The checkpoint is the caller's: the ``position`` of the last event that it has dealt with.
        """
        position = START if after is None else after
        wanted = tuple(types or ())
        while not self._closed:
            try:
                newest = self.position()
                for recorded in self.read_all(after=position, types=wanted):
                    position = recorded.position
                    yield recorded
                position = max(position, newest)
                if not self._closed:
                    self.store.wait(position, FOLLOW_SECONDS)
            except (LogClosed, StoreUnavailable):
                if not self._closed:
                    raise

    def position(self) -> Position:
        """Return the position of the newest record that `follow` would have yielded by now."""
        self._refuse_if_closed()
        return self.store.tip()

    def project(self, session: str, projection: Projection[Any, View]) -> View:
        """Fold a session through a projection and return its view, as of now.

        Starts from the projection's snapshot where there is a good one, and writes a new one now
        and then, if the projection has a `dump` and a `load` (L12). Raises `SessionNotFound`.
        """
        if not self.exists(session):
            raise SessionNotFound(session)
        return project_stream(self.store, session, projection)

    def verify(self, session: str) -> list[Finding]:
        """Check a session's hash chain and the steps of its machines (A1).

        Returns what is wrong, the first bad version first; nothing if all is well.
        """
        from eventlog.audit.verify import verify_stream

        self._refuse_if_closed()
        findings = verify_stream(self.store, check_session_id(session))
        if not findings and not self.exists(session):
            raise SessionNotFound(session)
        return findings

    @property
    def durability(self) -> Durability:
        """What survives of an acknowledged write (P9)."""
        return self.store.durability

    # ---- inside -------------------------------------------------------------------------------

    def core(self, session: str) -> Core:
        """Return the one core of a session in this log."""
        self._refuse_if_closed()
        return self._cores.get(session)

    def execute(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
        *,
        follow: bool = True,
    ) -> Any:
        """Have a command decided, stored and folded, then written to the attached folder unless
        that does not ``follow``; return its result."""
        request = SessionRequest(core, command, metadata, expected)
        return self.answer(request) if follow else self._run_keeping(request)

    def answer(self, request: Request) -> Any:
        """Have a request decided, stored, folded, and written to the attached folder if there is
        one; return its result."""
        result = self._run_keeping(request) if request.keeps else self._committer.run(request)
        follower = request.subject.follower
        if follower is not None:
            follower.follow()
        return result

    def _run_keeping(self, request: Request) -> Any:
        """Have a request answered; what large values it has are stored before it is queued."""
        self._refuse_if_closed()
        return run_keeping(self._committer.run, request)

    def submit(self, request: Request) -> None:
        """Queue a request whose answer is awaited elsewhere."""
        self._committer.submit(request)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LogClosed

    def begin_anew_after_fork(self) -> None:
        """Get a connection, a committer and locks of its own, in a forked child (L15)."""
        if self._closed:
            return
        self._cores.begin_anew_after_fork()
        self.store.reopen_after_fork()
        self._committer.reset()

    def close(self) -> None:
        """Finish what is queued and release the store; idempotent (L15)."""
        if self._closed:
            return
        followers = self._cores.followers()
        try:
            for follower in followers:
                follower.follow()
            self._committer.close()
            for follower in followers:
                follower.release()
            self._cores.leave_snapshots()
        finally:
            self._committer.close()
            self._closed = True
            _logs.discard(self)
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _reattach(log: Log, core: Core) -> None:
    # Imported when first needed: most sessions have no folder.
    from eventlog.folder.attaching import reattach

    reattach(log, core)


_logs: weakref.WeakSet[Log] = weakref.WeakSet()


def _begin_anew_after_fork() -> None:
    for log in list(_logs):
        log.begin_anew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)


def open(
    url: str,
    *,
    clock: Clock = system_clock,
    ids: IdSource = draw_id,
    estimate_tokens: TokenEstimator = estimate_tokens,
    tool_output: ToolOutputPolicy | None = None,
    auto_commit: AutoCommitPolicy | None = None,
) -> Log:
    """Open the log at a URL: ``memory:``, ``sqlite:///agent.db``, ``files:///agent-log`` or an
    installed store's (L1).

    ``clock``, ``ids`` and ``estimate_tokens`` replace where time, fresh ids and token estimates
    come from; ``tool_output`` and ``auto_commit`` are recorded as the policies of the sessions that
    this log creates. Raises `UnsupportedStore`, `StoreUnavailable`, `CorruptLog`.
    """
    return Log(
        open_store(url),
        clock=clock,
        ids=ids,
        estimate_tokens=estimate_tokens,
        tool_output=tool_output,
        auto_commit=auto_commit,
    )
