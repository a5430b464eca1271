"""The synchronous face of a log: sessions, tasks, reading, following and verifying, on one store."""

from __future__ import annotations

from os import PathLike
from types import NoneType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from eventlog import late_verbs
from eventlog.argument_checks import check_bounds, check_types, checked_path, microseconds
from eventlog.clock import Clock, system_clock
from eventlog.engine.arguments import metadata_for
from eventlog.engine.checkpoints import checkpoint_at, position_after
from eventlog.engine.chosen_reading import find_in_log, read_chosen
from eventlog.engine.engine import Engine
from eventlog.engine.following import following
from eventlog.engine.health import Health, health_of
from eventlog.engine.listings import Selection, session_ids
from eventlog.engine.opening import open_store
from eventlog.engine.queries import find_task, known_task
from eventlog.engine.shelter import Shelter
from eventlog.engine.snapshots import project_stream
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument, SessionNotFound
from eventlog.filesystem import FileSystem
from eventlog.identifiers import IdSource, check_session_id, draw_id, new_id
from eventlog.projection import Projection, check_projection
from eventlog.recorded import Recorded
from eventlog.records import START, Durability, Position
from eventlog.session.events import FailedArchives, SessionCreated
from eventlog.session.index import TASKS, keys_under, read_task
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.tasks.machine import PollerState, TaskState
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.views import TaskView, task_view
from eventlog.session_face import Session
from eventlog.storable import check_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from eventlog.adoption.commands import Adoption
    from eventlog.adoption.limits import FolderLimits
    from eventlog.engine.core import Core
    from eventlog.exchange.backup import BackupReport
    from eventlog.exchange.bundle.format import Redaction
    from eventlog.exchange.bundle.writing import BundleReport
    from eventlog.session.commit import CommitResult
    from eventlog.session.runs.machine import RunState
    from eventlog.session.runs.view import RunView
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.tasks.state import Task
    from eventlog.store import Finding, Store
    from eventlog.trace_context import TraceContext

__all__ = ["Log", "engine_of", "open", "open_bundle"]

View = TypeVar("View")


class Log:
    """An append-only log of sessions.

    A log may be used from any number of threads. A forked child opens its own connections. Once the
    log is closed, every call that reads or writes raises `LogClosed`, and so do iterators that were
    begun before. ``files`` is the file system that has the attached folders.
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
        """Open a session; with ``create=True``, one that may not exist yet.

        A new session comes into being with its first write, which records the owner, project,
        workspace, provider, model and policies that are given here. Without an ``id`` it gets a
        UUIDv7. ``tool_output`` and ``auto_commit`` are its policies, by default those of the log;
        ``failed_archives`` says whether commits wait for an archive that failed for good
        (``block``) or go on (``skip``).

        If a folder is attached to the session and no other process owns it, this process takes it
        over and brings it up to date. A program that only reads passes ``follow_folder=False``.

        With ``owner``, the session must be that owner's: another's, or one without an owner, is
        refused. Without it nothing is compared.

        Raises `SessionNotFound`, `OwnerMismatch`, `InvalidArgument` for a text that cannot be a
        session's id, and, with ``create=True``, `SessionClosed` for a session that was closed.
        """
        if id is None and not create:
            raise InvalidArgument("give the id of the session, or create=True for a new one")
        session_id = check_session_id(new_id() if id is None else id)
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
        core = self._engine.shelter.write(
            self._opened,
            session_id,
            created if create else None,
            created.owner,
            follow_folder=follow_folder,
        )
        return Session(self._engine, core)

    def _opened(
        self,
        session_id: str,
        created: SessionCreated | None,
        owner: str | None,
        *,
        follow_folder: bool,
    ) -> Core:
        core = self._engine.opened_core(session_id, created, owner)
        has_folder = core.state.folder is not None and core.follower is None
        if follow_folder and has_folder and not self._engine.store.reads_only:
            late_verbs.reattach(self._engine, core)
        return core

    def adopt(
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

        Without a ``session_id`` the session gets the id in the folder's metadata, or the folder's
        name. Adopting the same folder again changes nothing; after a crash it goes on where it
        stopped; of a folder that has grown since, what is new is appended. The folder stays as it
        is, except for new files that keep what was dropped.

        Nothing outside the folder is read or written, since links in it are not followed.
        ``limits`` bounds how much is read, by default 256 MiB of a file and 1 GiB in all.

        Raises `CorruptFolder` for a line that is not a message (with ``quarantine`` it is dropped
        into a file instead), for a link in place of the messages or of an archive, and beyond the
        limits; `InvalidArgument` for a folder that is not a session's; `FileNotFoundError`;
        `FolderUnavailable`; and `DuplicateEvent` if the session came into being in another way, or
        the folder does not go on from what was adopted, with the first difference.
        """
        return self._engine.shelter.write(
            late_verbs.adopt,
            self._engine,
            path,
            session_id,
            self._engine.creation(),
            quarantine=quarantine,
            limits=limits,
            by=metadata_for(actor, correlation_id, causation_id, trace),
        )

    def sessions(
        self,
        *,
        owner: str | None = None,
        workspace: str | None = None,
        updated_after: str | datetime | None = None,
        newest_first: bool = False,
    ) -> Iterator[str]:
        """Yield the ids of all sessions, or of those of an owner or in a workspace.

        They come in the order of their index keys, or with ``newest_first`` those first that were written
        to last. ``updated_after``, an aware time or ISO 8601 text, leaves out those without a later
        record. The index and the heads of the sessions answer; none is folded.
        """
        owner = None if owner is None else check_text("owner", owner)
        workspace = None if workspace is None else check_text("workspace", workspace)
        after = None if updated_after is None else microseconds(updated_after)
        selection = Selection(owner, workspace, after, newest_first)
        return session_ids(self._engine.store, selection)

    def latest_session(self, workspace: str) -> str | None:
        """Return the id of the session in a workspace that was written to last, or None."""
        return next(
            self.sessions(workspace=check_text("workspace", workspace), newest_first=True), None
        )

    def exists(self, session: str) -> bool:
        """Return whether a session has any record, even if it is closed or deleted."""
        return self._engine.store.head(check_session_id(session)).version > 0

    # ---- tasks --------------------------------------------------------------------------------

    def task(self, task_id: str) -> TaskView:
        """Return a task by its id; raises `TaskNotFound`."""
        return self._engine.shelter.read(self._known, task_id)

    def _known(self, task_id: str) -> TaskView:
        return self._view(known_task(self._engine.store, task_id))

    def tasks(
        self,
        session: str | None = None,
        state: TaskState | PollerState | None = None,
        kind: str | None = None,
    ) -> Iterator[TaskView]:
        """Yield tasks, the oldest first, filtered by session, state and kind.

        ``state`` is one of the machine's states or one of the four of `TaskView.status`.
        """
        for _, value in self._engine.store.scan(*keys_under(TASKS)):
            task = read_task(value)
            if session not in (None, task.session_id) or kind not in (None, task.kind):
                continue
            view = self._view(task)
            if state in (None, view.state, view.status):
                yield view

    def _view(self, task: Task) -> TaskView:
        return task_view(task, lambda task_id: find_task(self._engine.store, task_id))

    def runs(self, session: str | None = None, state: RunState | None = None) -> Iterator[RunView]:
        """Yield runs, filtered by session and state.

        They come by session, and there as their messages were queued. ``state`` is one of ``idle``,
        ``running``, ``backing_off``, ``completed``, ``cancelled``, ``failed`` and ``abandoned``.
        """
        return self._engine.shelter.read(late_verbs.runs, self._engine.store, session, state)

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
        """Give a failed task of any kind new attempts.

        Returns ``accepted``, ``already_completed``, or ``running`` for a task that has not failed.
        Raises `TaskNotFound`, and `IllegalTransition` for a task that was abandoned.
        """
        by = metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        return self._engine.shelter.write(late_verbs.retry, self._engine, task_id, reason, by)

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
        """Abandon an unfinished task of any kind; what waits for it goes on.

        Raises `TaskNotFound`, and `IllegalTransition` for a task that is completed.
        """
        by = metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        self._engine.shelter.write(late_verbs.abandon, self._engine, task_id, reason, by)

    def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions that were idle for as long as their policy allows.

        Returns the commits that were made; one that is refused is logged. Workers call this
        whenever they look for work.
        """
        return self._engine.shelter.write(self._engine.commit_idle)

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
    ) -> Iterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily.

        ``reverse`` begins with the newest. ``types`` keeps events of these types only. With
        ``versions`` only the events at these versions are read, in the order in which the iterable
        has them; versions that the session does not have are passed over. ``limit`` bounds how many
        events there are in the end.
        """
        return read_chosen(
            self._engine.store,
            check_session_id(session),
            after=after,
            until=until,
            limit=limit,
            reverse=reverse,
            types=types,
            versions=versions,
        )

    def find(self, prefix: str, /, **fields: str | int) -> Iterator[Recorded]:
        """Yield the events of all sessions with an index key, in the order of key, session, version.

        ``find("run/42")`` yields those with the key ``run/42`` and those whose key goes on after it,
        such as ``run/42/step/1``, but none with ``run/421``. No other event is read. The classes of
        the events name their keys, see `Event`; what a field contains is escaped in the key, so for
        other values than plain words write ``find("run/{run_id}", run_id="a/b")``.

        Raises `InvalidArgument` for a text that cannot be a key.
        """
        return find_in_log(self._engine.store, prefix, fields)

    def read_all(
        self,
        *,
        after: Position = START,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Recorded]:
        """Yield the events of all sessions after a position, in the order of the log.

        No event ever appears before one that was read already, whatever is written meanwhile.
        ``types`` keeps events of these types only.
        """
        check_bounds(after, None, limit)
        check_types(types)
        for record in self._engine.store.read_all(after=after, types=types, limit=limit):
            yield Recorded(record)

    def follow(
        self, after: Position | str | None = None, types: Sequence[str] | None = None
    ) -> Iterator[Recorded]:
        """Yield the events after a place, then wait for new ones until the log is closed.

        The caller keeps the place: the `checkpoint` of the last event that it has dealt with, or
        the event's ``position``. Raises `InvalidArgument` for a place beyond the end of the log,
        and for a checkpoint of another log or of a history that was replaced; a bare position
        cannot show that.
        """
        check_types(types or ())
        start = position_after(self._engine.store, after)
        entries = following(self._engine.store, start, types or ())
        return (recorded for recorded in entries if recorded is not None)

    def checkpoint(self, recorded: Recorded | None = None) -> str:
        """Return a text from which `follow` can go on: after an event, by default the newest one.

        It is bound to this log. `follow` refuses it in a copy, in another log, and in this one once
        it was restored from a backup without the event.
        """
        if not isinstance(recorded, (Recorded, NoneType)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(
                f"recorded is {shown(recorded)}; it must be an event that was read"
            )
        position = self.position() if recorded is None else recorded.position
        return checkpoint_at(self._engine.store, position)

    def position(self) -> Position:
        """Return the position of the newest event: where `follow` would begin to wait."""
        return self._engine.store.tip()

    def project(self, session: str, projection: Projection[Any, View]) -> View:
        """Fold a session through a projection and return the view.

        A projection with `dump` and `load` gets snapshots: the fold begins at the newest good one,
        and a new one is written now and then. Raises `SessionNotFound`.
        """
        check_projection(projection)
        if not self.exists(session):
            raise SessionNotFound(session)
        return project_stream(self._engine.store, session, projection)

    def verify(self, session: str) -> list[Finding]:
        """Return what is wrong with a session, the first bad version first; an empty list if
        nothing is.

        Checks the hash chain, that the state machines allow every recorded step, and what is derived
        from the events: no message is missing or twice, snapshots equal a full fold, large values
        have their digests, and index entries follow from the events. Damaged bytes are findings,
        too. Raises `SessionNotFound`.
        """
        session_id = check_session_id(session)
        findings = self._engine.shelter.read(late_verbs.verify, self._engine.store, session_id)
        if not findings and not self.exists(session):
            raise SessionNotFound(session)
        return findings

    def health(self, *, after: Position | str | None = None) -> Health:
        """Return what waits in this log, what is stuck, and since when.

        It reads the index and folds nothing, so it is fit for a probe. ``after`` is the checkpoint
        or position of a follower, whose lag is wanted.

        Raises `InvalidArgument` for a checkpoint of another log.
        """
        store = self._engine.store
        place = None if after is None else position_after(store, after)
        return health_of(store, self._engine.clock(), place)

    def bundle(
        self,
        sessions: Sequence[str],
        path: str | PathLike[str],
        *,
        redact: Redaction | None = None,
        replace: bool = False,
    ) -> BundleReport:
        """Write sessions into one file that reads, and verifies, without this log.

        Each session is in it up to its present end, with its large values. The same sessions give the
        same bytes, whenever and wherever that is. ``redact`` takes something out before: ``secrets``
        of known forms, or ``texts``, all that was said; such events are marked, and the hash chain
        still verifies. `open_bundle` reads the file.

        The file is there whole or not at all. Raises `SessionNotFound`, `CorruptLog` where a large
        value is missing, and `InvalidArgument` if a file is there already, unless it is to
        ``replace``.
        """
        return self._engine.shelter.write(
            late_verbs.bundle, self._engine.store, sessions, path, redact, replace
        )

    def save(self, session: str, path: str | PathLike[str]) -> BundleReport:
        """Save a session to one file, from which `resume` brings it back, here or in another log.

        The file is a bundle; it is written whole or not at all, in place of one that is there. Raises
        as `bundle` does.
        """
        return self.bundle([check_session_id(session)], path, replace=True)

    def resume(self, path: str | PathLike[str]) -> Session:
        """Bring a saved session into this log under its own id, and open it.

        Where the log has the session, what is new in the file is appended; a session that went on
        since stays as it is. Raises `HistoryConflict`, and changes nothing, for a session with another
        beginning; `InvalidArgument` for a redacted bundle or one of several sessions; `CorruptLog`
        for a file that is not a bundle or is damaged; `FileNotFoundError`; and `FolderUnavailable`.
        """
        core = self._engine.shelter.write(late_verbs.resume, self._engine, path)
        return Session(self._engine, core)

    def backup(
        self,
        path: str | PathLike[str],
        *,
        advance: Callable[[int, int], object] | None = None,
    ) -> BackupReport:
        """Write the whole log into a new local file, as it is at one moment, while others write to it.

        The file is a log in SQLite, from whatever store: open it, or copy it into another store. All
        that was acknowledged before the call is in it, except what PostgreSQL does not show to
        readers yet; nothing is in it without what came before. It has a log id of its own, so
        checkpoints of this log are refused there. Session folders are not part of a log.

        The file is there whole and durable, or not at all. ``advance`` is called now and then with
        how much is done and how much there is, 0 if that is not known.

        Raises `InvalidArgument` if the file is there already, `StoreUnavailable` or
        `FolderUnavailable` where it cannot be written, and `ChainBroken` for a record that was
        changed in a store that is copied record by record.
        """
        return late_verbs.backup(self._engine, path, advance)

    @property
    def durability(self) -> Durability:
        """What an acknowledged write survives: ``none``, the end of the ``process``, or ``power``
        loss."""
        return self._engine.store.durability

    @property
    def store(self) -> Store:
        """The store as it was opened. It knows neither sessions nor whether the log is closed."""
        return self._engine.store.inner

    # ---- end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Finish what is queued and release the store. Closing twice is harmless."""
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
    """Return the engine behind a log, for other faces and the library's own tools."""
    return log._engine  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def open(
    url: str,
    *,
    clock: Clock = system_clock,
    ids: IdSource = draw_id,
    estimate_tokens: TokenEstimator = estimate_tokens,
    tool_output: ToolOutputPolicy | None = None,
    auto_commit: AutoCommitPolicy | None = None,
) -> Log:
    """Open the log at a URL and create it if there is none.

    ``memory:``, ``sqlite:///agent.db``, ``files:///folder``, ``postgresql://…`` and ``nats://…``
    name the stores; the page ``eventlog docs stores`` has their options. ``clock``, ``ids`` and
    ``estimate_tokens`` replace the sources of time, of new ids and of token estimates.
    ``tool_output`` and ``auto_commit`` are recorded as the policies of sessions that this log
    creates.

    Raises `UnsupportedStore`, `StoreUnavailable`, and `CorruptLog`.
    """
    opened: list[Store] = []
    try:
        Shelter().write(lambda: opened.append(open_store(url)))
        return Log(
            opened[0],
            clock=clock,
            ids=ids,
            estimate_tokens=estimate_tokens,
            tool_output=tool_output,
            auto_commit=auto_commit,
        )
    except BaseException:
        for store in opened:
            store.close()
        raise


def open_bundle(path: str | PathLike[str]) -> Log:
    """Open a bundle as a log that is only read: its sessions, their events, their past.

    It needs neither the log that it was made of nor an application's classes. The file may come from
    anybody: nothing of it is written anywhere, and it is read within limits. Raises `CorruptLog` for
    what is not a bundle or is damaged, `InvalidArgument` for one beyond the limits, and
    `StoreUnavailable` for a file that is not there or cannot be read.
    """
    from eventlog.exchange.bundle.reading import read_store
    from eventlog.exchange.bundle.store import BundleStore

    text = checked_path("the bundle", path)
    return Log(BundleStore(read_store(text), text))
