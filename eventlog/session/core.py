"""The core of a session: one per log and session id, whatever number of `Session` objects.

All commands of a session in one process pass through its core, in turn. Each is decided on the
state that its predecessors of the same round leave, so they never conflict with each other; only a
foreign write makes one decide again.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from eventlog.chain import EMPTY_METADATA, chain_hash
from eventlog.codec import encode_event, encode_metadata
from eventlog.committer import Request
from eventlog.errors import (
    DuplicateEvent,
    EventLogError,
    SessionClosed,
    SessionNotFound,
    VersionConflict,
)
from eventlog.identifiers import EventId, derived_id
from eventlog.machine import ABSENT
from eventlog.records import ANY, START, Append, Appended, Expected, Metadata, Record, Recorded
from eventlog.session.command import Command, Draft, Outcome
from eventlog.session.fold import SessionFold
from eventlog.session.index import INDEXED_TYPES, index_changes
from eventlog.session.reader import Reader
from eventlog.session.state import SessionState, apply
from eventlog.snapshots import SNAPSHOT_INTERVAL, is_due, replay_stream, write_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.clock import Clock
    from eventlog.identifiers import IdSource
    from eventlog.session.events import SessionCreated
    from eventlog.store import Store

__all__ = ["Core", "SessionRequest"]

CREATION_KEY = "session_created"


class Core:
    """The folded state of one session in this process, and the way commands take to the log."""

    def __init__(self, store: Store, session: str, clock: Clock, ids: IdSource) -> None:
        self.session = session
        self.creation: SessionCreated | None = None
        """What to record before the first command, if the session does not exist yet."""
        self.reader = Reader(store, session)
        self.state = SessionState(session)
        self.clock = clock
        self.ids = ids
        self.store = store
        self._fold = SessionFold(session)
        self._lock = threading.Lock()
        self._ahead: SessionState | None = None
        self._uncommitted: list[Recorded] = []
        self._trusted = False
        self._since_snapshot = 0
        self._snapshot_size = 0

    def open(self, creation: SessionCreated | None) -> None:
        """Fold the stream; note what to record first if the session does not exist (M1)."""
        state = self.refresh()
        if state.status == ABSENT:
            if creation is None and self.creation is None:
                raise SessionNotFound(self.session)
            self.creation = self.creation or creation
        elif creation is not None and state.status != "open":
            raise SessionClosed(self.session, state.status)

    def begin_anew_after_fork(self) -> None:
        """Drop what a forked child may have copied in the middle of a change."""
        self.state = SessionState(self.session)
        self._lock = threading.Lock()
        self.begin_round()
        self.distrust()

    # ---- the state that the log says ----------------------------------------------------------

    def refresh(self) -> SessionState:
        """Fold what the log has beyond the state, and return it (I/O)."""
        if not self.state.version:
            replayed = replay_stream(self.store, self.session, self._fold)
            with self._lock:
                if replayed.version > self.state.version:
                    self.state = replayed.state
                    self._since_snapshot = replayed.since_snapshot
        elif self.store.head(self.session).version != self.state.version:
            for record in self.store.read(self.session, after=self.state.version):
                self._take(Recorded(record))
        self._trusted = True
        return self.state

    def snapshot_of_state(self) -> SessionState:
        """Return a state that no later record changes under the reader's hands."""
        with self._lock:
            return self.state.copy()

    def _take(self, recorded: Recorded) -> None:
        with self._lock:
            if recorded.version == self.state.version + 1:
                apply(self.state, recorded)
                self._since_snapshot += 1

    # ---- one round of the committer -----------------------------------------------------------

    def begin_round(self) -> None:
        self._ahead = None
        self._uncommitted.clear()

    def distrust(self) -> None:
        self._trusted = False

    def end_round(self) -> None:
        self.begin_round()
        if self._since_snapshot >= SNAPSHOT_INTERVAL and is_due(
            self._since_snapshot, self._snapshot_size
        ):
            self.write_snapshot()

    def write_snapshot(self) -> None:
        """Store the state as a cache for the next opening."""
        with self._lock:
            state = self.state.copy()
            self._since_snapshot = 0
        self._snapshot_size = write_snapshot(
            self.store, self.session, self._fold, state, state.version, state.hash
        )

    def deciding_state(self) -> SessionState:
        """Return the state that the next command of this round is decided on."""
        if not self._trusted:
            self.refresh()
        if not self._uncommitted:
            return self._ahead or self.state
        ahead = self._ahead or self.state.copy()
        for recorded in self._uncommitted:
            apply(ahead, recorded)
        self._uncommitted.clear()
        self._ahead = ahead
        return ahead

    def up_to_date(self, state: SessionState) -> SessionState:
        """Return the state with foreign records folded, unless predecessors are under way.

        Those are checked against the log's version when they are stored.
        """
        return self.refresh() if state is self.state else state

    def foresee(self, recorded: Sequence[Recorded], state: SessionState | None = None) -> None:
        """Note what a prepared command would record, and the state it would leave if known."""
        if state is not None:
            self._ahead = state
        else:
            self._uncommitted.extend(recorded)

    def confirm(self, recorded: Sequence[Recorded]) -> None:
        """Fold what was stored."""
        for entry in recorded:
            self._take(entry)


class SessionRequest(Request):
    """One command of one session on its way through the committer."""

    __slots__ = (
        "_command",
        "_core",
        "_drafts",
        "_expected",
        "_ids",
        "_key",
        "_metadata",
        "_recorded",
    )

    def __init__(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
    ) -> None:
        super().__init__(core)
        self._core = core
        self._command = command
        self._expected = expected
        self._key = None if metadata is None else metadata.idempotency_key
        self._ids: list[EventId] = []
        self._drafts: Sequence[Draft] = ()
        self._recorded: list[Recorded] = []
        if metadata is None:
            self._metadata = EMPTY_METADATA
        else:
            if self._key is not None:
                metadata = metadata._replace(command=_fingerprint(command))
            self._metadata = encode_metadata(metadata)

    # ---- what the committer asks for ----------------------------------------------------------

    def prepare(self) -> None:
        core = self._core
        state = core.deciding_state()
        if self._key is not None and self._recall_by_key(self._key):
            return
        if self._expected not in (ANY, state.version):
            state = core.up_to_date(state)
        if self._expected not in (ANY, state.version):
            raise VersionConflict(core.session, int(self._expected), state.version)
        now = core.clock()
        command = self._command
        if command.gathers:
            command = self._command = command.gather(core.reader, state)
        try:
            decision = command.decide(
                _existing(state, core.creation), now, core.ids
            )
        except EventLogError:
            if self._recall_by_drafts():
                return
            raise
        if isinstance(decision, Outcome):
            self.result = decision.result
            return
        self._drafts = decision
        self._build(state, max(now, state.time))

    def confirm(self, appended: Appended) -> bool:
        if appended.replayed:
            self._core.distrust()
            self._settle_repeated(appended.versions)
            return False
        if appended.positions:
            self._recorded = [
                Recorded(entry.record._replace(position=position), entry.event)
                for entry, position in zip(self._recorded, appended.positions, strict=True)
            ]
        self._core.confirm(self._recorded)
        self._set_result(self._recorded)
        return True

    def recall(self) -> bool:
        append = self.append
        if append is None:
            return False
        ids = [record.event_id for record in append.records]
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        self._core.refresh()
        self._settle_repeated([found[event_id] for event_id in ids])
        return True

    # ---- inside -------------------------------------------------------------------------------

    def _build(self, state: SessionState, time: int) -> None:
        """Encode and chain the drafts into the append to store."""
        core = self._core
        stream, version, hash_ = core.session, state.version, state.hash
        drafts = self._drafts
        first = 0
        if state.status == ABSENT and core.creation is not None:
            drafts = (Draft(core.creation, derived_id(stream, CREATION_KEY)), *drafts)
            first = -1  # The command's own events are numbered as if nothing came before them.
        recorded: list[Recorded] = []
        indexed = False
        for number, (event, event_id) in enumerate(drafts, first):
            version += 1
            type_, schema = event.event_type, event.event_schema
            data = encode_event(event)
            known_id = event_id or self._id(number)
            hash_ = chain_hash(
                hash_, stream, version, known_id, type_, schema, time, data, self._metadata
            )
            record = Record(
                stream, version, START, known_id, type_, schema, time, data, self._metadata, hash_
            )
            recorded.append(Recorded(record, event))
            indexed = indexed or type_ in INDEXED_TYPES
        self._recorded = recorded
        after = None
        index: tuple[Any, ...] = ()
        if indexed:
            after = state.copy()
            for entry in recorded:
                apply(after, entry)
            index = index_changes(state, recorded, after)
        core.foresee(recorded, after)
        self.append = Append(
            stream, state.version, tuple([entry.record for entry in recorded]), index
        )

    def _id(self, number: int) -> EventId:
        """Return the id of the ``number``-th event: the same one at every decision."""
        ids = self._ids
        while len(ids) <= number:
            key = self._key
            ids.append(
                self._core.ids()
                if key is None
                else derived_id(self._core.session, key, len(ids))
            )
        return ids[number]

    def _set_result(self, recorded: Sequence[Recorded]) -> None:
        own = recorded[len(recorded) - len(self._drafts) :]
        self.result = self._command.result(own)

    def _settle_repeated(self, versions: Sequence[int]) -> None:
        """Answer with the original outcome if the content is the same (P8)."""
        own = versions[len(versions) - len(self._drafts) :]
        recorded = [self._record(version) for version in own]
        if self._command.repeats(recorded, self._drafts):
            self.result = self._command.result(recorded)
        else:
            self.error = DuplicateEvent(
                self._core.session,
                f"the event id of version {own[0]} was used before with other content; "
                "take another id or idempotency key",
            )

    def _recall_by_key(self, key: str) -> bool:
        """Find what a command with this idempotency key recorded before, and answer with it."""
        recorded = list(self._recorded_as(key))
        if not recorded:
            return False
        if recorded[0].metadata.command != _fingerprint(self._command):
            raise DuplicateEvent(
                self._core.session,
                f"the idempotency key {key!r} was used before for another command; "
                "take another key",
            )
        self.result = self._command.result(recorded)
        return True

    def _recorded_as(self, key: str) -> Iterator[Recorded]:
        number = 0
        while True:
            found = self._core.reader.recorded_as(key, number)
            if found is None:
                return
            yield found
            number += 1

    def _recall_by_drafts(self) -> bool:
        """Find events that carry ids of their own, for a command that would now be refused."""
        ids = self._command.event_ids(self._core.session)
        if not ids:
            return False
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        recorded = [self._record(found[event_id]) for event_id in ids]
        self.result = self._command.result(recorded)
        return True

    def _record(self, version: int) -> Recorded:
        return cast("Recorded", self._core.reader.record(version))


def _existing(state: SessionState, creation: SessionCreated | None) -> SessionState:
    """Return the state that commands see: that of a session which its first command creates."""
    if state.status != ABSENT or creation is None:
        return state
    existing = state.copy()
    existing.status = "open"
    existing.project = creation.project
    existing.failed_archives = creation.failed_archives
    return existing


def _fingerprint(command: Command[Any]) -> str:
    """Tell commands of other content apart that come with one idempotency key."""
    content = pydantic_core.to_json([type(command).__name__, command], serialize_unknown=True)
    return hashlib.sha256(content).hexdigest()[:32]
