"""The core of a session: one per log and session id, however many `Session` objects there are.

All commands of a session in one process pass through its core, one after the other. Each is decided
on the state after its predecessors in the same round, so they never conflict with each other; only
a foreign write makes one decide again.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from eventlog.engine.reader import Reader
from eventlog.engine.snapshots import (
    LEAVING_INTERVAL,
    SNAPSHOT_INTERVAL,
    SnapshotSchedule,
    keep_snapshot,
    replay_stream,
    replay_weight,
    write_snapshot,
)
from eventlog.errors import OwnerMismatch, SessionClosed, SessionNotFound
from eventlog.machine import ABSENT
from eventlog.recorded import Recorded
from eventlog.records import Append, Position, Record
from eventlog.session.auto_commit import CommitIfDue
from eventlog.session.command import Draft
from eventlog.session.commit import archive_id
from eventlog.session.commit_due import is_limit_reached
from eventlog.session.folding import apply
from eventlog.session.pending import Foldable, Pending
from eventlog.session.projection import SessionFold
from eventlog.session.recent import Findings
from eventlog.session.state import SessionState
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.clock import Clock
    from eventlog.engine.committer import Follower
    from eventlog.engine.door import Door
    from eventlog.engine.streams.recovery import StreamRecovery
    from eventlog.identifiers import EventId, IdSource
    from eventlog.session.command import Command
    from eventlog.session.events import SessionCreated, VersionRange
    from eventlog.session.policies import ToolOutputPolicy

__all__ = ["Core"]


class Core:
    """The folded state of one session in this process, and the way commands take to the log."""

    def __init__(
        self,
        store: Door,
        session: str,
        clock: Clock,
        ids: IdSource,
        recovery: StreamRecovery | None = None,
    ) -> None:
        self.session = session
        self.creation: SessionCreated | None = None
        """The event to record before the first command, if the session does not exist yet."""
        self._creation_id: EventId | None = None
        self.reader = Reader(store, session, lambda: self.state.withdrawn)
        self.state = SessionState(session)
        self.clock = clock
        self.ids = ids
        self.store = store
        self._fold = SessionFold(session)
        self._lock = threading.Lock()
        self.recovery = recovery
        """Finds unfinished messages that nobody will end; None where nothing is written."""
        self.pending = Pending()
        """The state after the requests of the current round."""
        self._trusted = False
        """Whether the state has all records of the stream, as far as this process knows."""
        self.wants_after_round = False
        """Whether `after_round` may have something to do."""
        self.follower: Follower | None = None
        """Writes the attached folder, if this process owns it."""
        self.writers: set[Writing] = set()
        """Who writes unfinished messages of the session in this process."""
        self.watches: tuple[weakref.ref[Watching], ...] = ()
        """The live projections of this session that somebody still refers to."""
        self._snapshot_schedule = SnapshotSchedule()
        self.found_live = Findings()
        """What reading found out about the live messages, so that it need not be read again."""
        self.found_shown = Findings()
        """The same about the messages of contexts, among which there are archived ones."""
        self._after_round_from = SNAPSHOT_INTERVAL
        """The weight of the records since the last snapshot at which `after_round` is called."""
        self._known_failure: str | None = None
        """The task whose failure blocks automatic commits, once that was logged."""
        self.plain_characters = 0
        """The length up to which every message is plain (M6). Negative if no message is, because
        appends may carry index entries (C8)."""
        self.follow_policies()

    def open(self, creation: SessionCreated | None, owner: str | None = None) -> None:
        """Fold the stream; keep ``creation`` to be recorded first if the session is new (M1).

        With an ``owner``, raises `OwnerMismatch` for a session that is not the owner's (M12).
        """
        self.store.shelter.read(self._open, creation, owner)

    def _open(self, creation: SessionCreated | None, owner: str | None) -> None:
        state = self._refresh()
        if state.status == ABSENT and creation is None and self.creation is None:
            raise SessionNotFound(self.session)
        if owner is not None and state.as_seen(self.creation or creation).owner != owner:
            raise OwnerMismatch(self.session, owner)
        if state.status == ABSENT:
            self.creation = self.creation or creation
            self.follow_policies()
        elif creation is not None and state.status != "open":
            raise SessionClosed(self.session, state.status)

    def waits_for_another(self, owner: str | None) -> bool:
        """Return whether this core would create the session for another owner than this one.

        Then it cannot serve the owner: as long as nothing is recorded, whoever writes first is the
        session's owner, and afterwards this core refuses everything unless that is its own.
        """
        creation, state = self.creation, self.state
        if creation is None:
            return False
        if state.status == ABSENT:
            return owner is not None and creation.owner != owner
        return creation.owner not in (None, state.owner)

    def _refuse_if_disowned(self) -> None:
        """Refuse a session that another owner created before this core's first write (M12)."""
        if self.creation is not None and self.waits_for_another(None):
            self._trusted = False  # So that every decision comes here first.
            raise OwnerMismatch(self.session, str(self.creation.owner))

    @property
    def tool_output(self) -> ToolOutputPolicy:
        """The session's policy on large tool outputs."""
        return self.state.as_seen(self.creation).tool_output

    def follow_policies(self) -> None:
        """Note what the policies mean for appends, so that they are not consulted per message."""
        state = self.state.as_seen(self.creation)
        large, auto_commit = state.tool_output, state.auto_commit
        self.plain_characters = min(large.inline_characters, large.message_characters)
        if auto_commit is not None:
            self._after_round_from = 0
            if auto_commit.idle_seconds is not None:
                self.plain_characters = -1

    def creation_draft(self) -> Draft:
        """Return the event that creates the session.

        Its id is drawn, once per core: if several processes create a session at the same time, the
        later ones meet a version conflict, and decide again without a creation.
        """
        assert self.creation is not None
        if self._creation_id is None:
            self._creation_id = self.ids()
        return Draft(self.creation, self._creation_id)

    def begin_anew_after_fork(self) -> None:
        """Drop whatever a forked child may have copied in the middle of a change."""
        self.state = SessionState(self.session)
        self._lock = threading.Lock()
        self.pending = Pending()
        self._trusted = False
        self.follower = None  # The parent owns the folder.
        self.writers = set()  # It goes on writing the messages, too.
        for watching in self._watching():
            watching.begin_anew_after_fork()

    # ---- the state as of the log --------------------------------------------------------------

    def refresh(self) -> SessionState:
        """Fold the records that the state lacks, and return the state (I/O)."""
        return self.store.shelter.read(self._refresh)

    def _refresh(self) -> SessionState:
        if not self.state.version:
            replayed = replay_stream(self.store, self.session, self._fold)
            with self._lock:
                if replayed.version > self.state.version:
                    self.state = replayed.state
                    self._snapshot_schedule.restart(replayed)
                    self.follow_policies()
        elif self.store.head(self.session).version != self.state.version:
            self._fold_foreign()
        self._refuse_if_disowned()
        self._trusted = True
        if self.watches:
            for watching in self._watching():
                watching.catch_up(self.state.version)
        return self.state

    def catch_up(self) -> None:
        """Fold the records that the state lacks, and let the attached folder follow (I/O)."""
        self.store.shelter.write(self._catch_up)

    def _catch_up(self) -> None:
        self._refresh()
        if self.follower is not None:
            self.follower.follow(foreign=True)

    def _fold_foreign(self) -> None:
        """Fold other processes' records into a copy of the state, then replace the state by it.

        Only the committer changes a state in place: a decision that is being taken on it must not
        see half of a record.
        """
        state = self.snapshot_of_state()
        weight = 0
        for record in self.store.read(self.session, after=state.version):
            apply(state, Recorded(record))
            weight += replay_weight(record)
        with self._lock:
            if state.version > self.state.version:
                self.state = state
                self._snapshot_schedule.since += weight

    def snapshot_of_state(self) -> SessionState:
        """Return a copy of the state, which later records do not change."""
        with self._lock:
            return self.state.copy()

    def state_to_read(self) -> SessionState:
        """Return the state for a reader, which costs the same at any length."""
        with self._lock:
            return self.state.for_reading()

    def live_ranges(self) -> list[VersionRange]:
        """Return the version ranges in which the live messages are, in order."""
        with self._lock:
            return self.state.window.ranges(self.state.version)

    # ---- live projections ---------------------------------------------------------------------

    def add_watch(self, watching: Watching) -> None:
        """Have a live projection note what is recorded from now on."""
        with self._lock:
            known = (ref for ref in self.watches if ref() is not None)
            self.watches = (*known, weakref.ref(watching))

    def note_watched(self, append: Append, positions: Sequence[Position]) -> None:
        """Have the live projections note what was stored."""
        records = [
            Recorded(record._replace(position=position))
            for record, position in zip(append.records, positions, strict=True)
        ]
        for watching in self._watching():
            watching.note(records)

    def _watching(self) -> list[Watching]:
        return [watching for ref in self.watches if (watching := ref()) is not None]

    # ---- one round of the committer -----------------------------------------------------------

    def invalidate(self) -> None:
        """Have the next decision look for foreign records first."""
        self._trusted = False
        if not self._after_round_from:
            # An automatic commit may be due for records that were stored before.
            self.wants_after_round = True

    def after_round(self) -> Command[Any] | None:
        """Write a snapshot if it is due; return the command that follows automatically, if any."""
        self.wants_after_round = False
        if self._snapshot_schedule.is_due():
            self.write_snapshot()
        if not is_limit_reached(self.state):
            return None
        failed = self.state.blocking_failure()
        if failed is None:
            self._known_failure = None
            return CommitIfDue()
        if failed.task_id != self._known_failure:  # Said once, not with every message.
            self._known_failure = failed.task_id
            log_fact(
                logging.WARNING,
                "automatic_commits_blocked",
                session_id=self.session,
                archive_id=archive_id(failed.archive or 0),
                attempts=failed.attempts,
                error=failed.error,
            )
        return None

    def write_snapshot(self) -> bool:
        """Store the state as a cache for the next opening; return whether that was possible."""
        with self._lock:
            state = self.state.copy()
            self._snapshot_schedule.since = 0
        size = write_snapshot(
            self.store, self.session, self._fold, state, state.version, state.hash
        )
        keep_snapshot(self.store, self._fold, state, self._snapshot_schedule.version)
        self._snapshot_schedule.written(size, state.version)
        return size > 0

    def leave_snapshot(self) -> bool:
        """Write a snapshot before the log is closed, if commands were decided on the state and it
        pays; return whether it could be stored."""
        is_worthwhile = bool(self.pending.round) and self._snapshot_schedule.is_due(
            LEAVING_INTERVAL
        )
        return not is_worthwhile or self.write_snapshot()

    def deciding_state(self, round: int) -> SessionState:
        """Return the state on which the next command of a committer's round is decided."""
        if not self._trusted:
            self.refresh()
        pending = self.pending
        if round != pending.round:
            pending.begin(round)
            return self.state
        return pending.over(self.state)

    def up_to_date(self, state: SessionState) -> SessionState:
        """Return the state with foreign records folded, unless predecessors are not stored yet.

        A state with predecessors of this round is returned as it is: the store checks their
        version.
        """
        return state if self.pending else self.refresh()

    def confirm(
        self,
        request: Confirmable,
        records: Sequence[Record],
        after: SessionState | None = None,
    ) -> None:
        """Fold the records of a request that was stored.

        ``after`` is the state with these records, if the decision produced one: it replaces the
        current state, unless one of the two was folded further since.
        """
        schedule = self._snapshot_schedule
        with self._lock:
            if after is not None and after.version == self.state.version + len(records):
                self.state = after
            else:
                request.fold(self.state)
            for record in records:
                schedule.since += replay_weight(record)
            self.wants_after_round = schedule.since >= self._after_round_from
        if self.follower is not None:
            self.follower.note(request.recorded())


class Writing(Protocol):
    """The producer of an unfinished message (`eventlog.engine.streams.writer.StreamWriter`)."""

    def store_rest(self) -> None:
        """Store what was written so far; errors are the producer's (I/O)."""
        ...


class Watching(Protocol):
    """A live projection of the session (`eventlog.engine.watch.LiveFold`)."""

    def note(self, records: Sequence[Recorded]) -> None:
        """Take over records that were stored."""
        ...

    def catch_up(self, until: int) -> None:
        """Read the records up to a version that have not come yet."""
        ...

    def begin_anew_after_fork(self) -> None:
        """Drop whatever a forked child may have copied in the middle of a change."""
        ...


class Confirmable(Foldable, Protocol):
    """A request that was stored."""

    def recorded(self) -> Sequence[Recorded]:
        """Return its records."""
        ...
