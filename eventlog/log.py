"""The log: sessions, tasks, reading, following and verifying, on one store."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from os.path import abspath
from typing import TYPE_CHECKING, Any, Self, TypeVar

from eventlog.clock import Clock, system_clock
from eventlog.engine.arguments import metadata_for
from eventlog.engine.checkpoints import checkpoint_at, position_after
from eventlog.engine.engine import Engine
from eventlog.engine.following import following
from eventlog.engine.opening import open_store
from eventlog.engine.queries import find_task
from eventlog.engine.snapshots import project_stream
from eventlog.errors import InvalidArgument, SessionNotFound, TaskNotFound
from eventlog.filesystem import FileSystem
from eventlog.identifiers import IdSource, check_session_id, draw_id, new_id
from eventlog.recorded import Recorded
from eventlog.records import START, Durability, Position
from eventlog.session.events import FailedArchives
from eventlog.session.index import SESSIONS, TASKS, keys_under, read_task, workspace_prefix
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.tasks.machine import PollerState, TaskState
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.views import TaskView, task_view
from eventlog.session_face import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from eventlog.adoption.commands import Adoption
    from eventlog.projection import Projection
    from eventlog.session.commit import CommitResult
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.tasks.state import Task
    from eventlog.store import Finding, Store
    from eventlog.trace_context import TraceContext

__all__ = ["Log", "engine_of", "open"]

View = TypeVar("View")


class Log:
    """An append-only log of sessions.

    Thread-safe; in a forked child it gets a connection and a committer of its own (L15). Once it is
    closed, all that reads or writes raises `LogClosed`, also an iterator that was begun before.
    ``files`` is where attached folders are.
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
        self._engine = Engine(
            store,
            clock=clock,
            ids=ids,
            estimate_tokens=estimate_tokens,
            tool_output=tool_output,
            auto_commit=auto_commit,
            files=files,
        )

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
        core = self._engine.core(check_session_id(new_id() if id is None else id))
        created = self._engine.creation(
            owner=owner,
            project=project,
            workspace=workspace,
            provider=provider,
            model=model,
            failed_archives=failed_archives,
            tool_output=tool_output,
            auto_commit=auto_commit,
        )
        core.open(created if create else None)
        if follow_folder and core.state.folder is not None and core.follower is None:
            # Imported when first needed: most sessions have no folder.
            from eventlog.folder.attaching import reattach

            self._engine.shelter.write(reattach, self._engine, core)
        return Session(self._engine, core)

    def adopt(
        self,
        path: str | PathLike[str],
        session_id: str | None = None,
        *,
        quarantine: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
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
        adopted: Adoption = adoption.adopt(
            self._engine,
            abspath(path),
            session_id,
            self._engine.creation(),
            quarantine=quarantine,
            by=metadata_for(actor, correlation_id, causation_id, trace),
        )
        return adopted

    def sessions(self, *, workspace: str | None = None) -> Iterator[str]:
        """Yield the ids of all sessions, or of a workspace's, by id; from the index (L14)."""
        prefix = SESSIONS if workspace is None else workspace_prefix(workspace)
        for key, _ in self._engine.store.scan(*keys_under(prefix)):
            yield key.removeprefix(prefix)

    def latest_session(self, workspace: str) -> str | None:
        """Return the session of a workspace that has the newest event."""
        return max(
            self.sessions(workspace=workspace),
            key=lambda session: self._engine.store.head(session).time,
            default=None,
        )

    def exists(self, session: str) -> bool:
        """Tell whether a session has any record, a closed one included."""
        return self._engine.store.head(check_session_id(session)).version > 0

    # ---- tasks --------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskView:
        """Return a task as pollers see it (F11); raises `TaskNotFound`."""
        task = find_task(self._engine.store, task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return self._view(task)

    def tasks(
        self,
        session: str | None = None,
        state: TaskState | PollerState | None = None,
        kind: str | None = None,
    ) -> Iterator[TaskView]:
        """Yield tasks, oldest first; ``state`` is a machine's state or one of pollers' four."""
        for _, value in self._engine.store.scan(*keys_under(TASKS)):
            view = self._view(read_task(value))
            if (
                session in (None, view.session_id)
                and kind in (None, view.kind)
                and state in (None, view.state, view.status)
            ):
                yield view

    def _view(self, task: Task) -> TaskView:
        return task_view(task, lambda task_id: find_task(self._engine.store, task_id))

    def retry(
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
        """Give a task of any kind that failed for good another generation of attempts (F9)."""
        from eventlog.session.tasks.commands import RetryTask

        by = metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        core = self._engine.core(self.task(task_id).session_id)
        command = RetryTask(task_id=task_id, reason=reason)
        status: RetryStatus = self._engine.execute(core, command, by)
        return status

    def abandon(
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
        """Give an unfinished task of any kind up; what waits behind it goes on."""
        from eventlog.session.tasks.commands import AbandonTask

        by = metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        core = self._engine.core(self.task(task_id).session_id)
        self._engine.execute(core, AbandonTask(task_id=task_id, reason=reason), by)

    def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions in which nothing was said for as long as their policy allows (C8).

        Workers do so whenever they look for work. Returns the commits that were made; one that is
        refused is logged.
        """
        return self._engine.commit_idle()

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
        records = self._engine.store.read(
            session, after=after, until=until, limit=limit, reverse=reverse
        )
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
        for record in self._engine.store.read_all(after=after, types=types, limit=limit):
            yield Recorded(record)

    def follow(
        self, after: Position | str | None = None, types: Sequence[str] | None = None
    ) -> Iterator[Recorded]:
        """Yield events after a place, then wait for new ones, until the log is closed (L6).

        The checkpoint is the caller's: what `checkpoint` said of the last event that it has dealt
        with, or that event's ``position``. Raises `InvalidArgument` for one beyond the end of the
        log; and for a checkpoint of another log, or of a history that was replaced since, which a
        bare position cannot tell.
        """
        start = position_after(self._engine.store, after)
        entries = following(self._engine.store, start, types or ())
        return (recorded for recorded in entries if recorded is not None)

    def checkpoint(self, recorded: Recorded | None = None) -> str:
        """Return text that names a place in this log, for `follow` to go on from.

        It says that everything up to an event was dealt with; by default up to the newest. It is
        bound to this log: `follow` refuses it in a copy, in another log, and where the log was
        restored from a backup that does not have the event.
        """
        position = self.position() if recorded is None else recorded.position
        return checkpoint_at(self._engine.store, position)

    def position(self) -> Position:
        """Return the position of the newest record that `follow` would have yielded by now."""
        return self._engine.store.tip()

    def project(self, session: str, projection: Projection[Any, View]) -> View:
        """Fold a session through a projection and return its view, as of now.

        Starts from the projection's snapshot where there is a good one, and writes a new one now
        and then, if the projection has a `dump` and a `load` (L12). Raises `SessionNotFound`.
        """
        if not self.exists(session):
            raise SessionNotFound(session)
        return project_stream(self._engine.store, session, projection)

    def verify(self, session: str) -> list[Finding]:
        """Check a session's hash chain and the steps of its machines (A1).

        Returns what is wrong, the first bad version first; nothing if all is well.
        """
        from eventlog.audit.verify import verify_stream

        findings = verify_stream(self._engine.store, check_session_id(session))
        if not findings and not self.exists(session):
            raise SessionNotFound(session)
        return findings

    @property
    def durability(self) -> Durability:
        """What survives of an acknowledged write (P9)."""
        return self._engine.store.durability

    @property
    def store(self) -> Store:
        """The store itself, as it was opened; it knows nothing of sessions and of closed logs."""
        return self._engine.store.inner

    # ---- end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Finish what is queued and release the store; idempotent (L15)."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def engine_of(log: Log) -> Engine:
    """Return what a log is a face of, for the other faces and the library's own tools."""
    return log._engine  # pyright: ignore[reportPrivateUsage]


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
