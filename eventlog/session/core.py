"""The core of a session: one per log and session id, whatever number of `Session` objects.

All commands of a session in one process pass through its core, in turn. Each is decided on the
state that its predecessors of the same round leave, so they never conflict with each other; only a
foreign write makes one decide again.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Protocol, cast

import pydantic_core
from pydantic_core import PydanticSerializationError, ValidationError

from eventlog.chain import EMPTY_METADATA, chained_record
from eventlog.codec import encode_event, encode_metadata, refusal
from eventlog.committer import Request
from eventlog.errors import (
    DuplicateEvent,
    EventLogError,
    InvalidArgument,
    SessionClosed,
    SessionNotFound,
    VersionConflict,
)
from eventlog.identifiers import EventId, derived_id
from eventlog.machine import ABSENT
from eventlog.records import (
    ANY,
    Append,
    Appended,
    Expected,
    IndexEntry,
    Metadata,
    Position,
    Record,
    Recorded,
)
from eventlog.session.auto_commit import AUTOMATIC, CommitIfDue, is_limit_reached
from eventlog.session.command import Command, Draft, Outcome
from eventlog.session.fold import SessionFold
from eventlog.session.index import index_changes, may_change_index
from eventlog.session.reader import Reader
from eventlog.session.state import SessionState, apply
from eventlog.snapshots import SNAPSHOT_INTERVAL, is_due, replay_stream, write_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.clock import Clock
    from eventlog.identifiers import IdSource
    from eventlog.session.events import SessionCreated, VersionRange
    from eventlog.session.policies import ToolOutputPolicy
    from eventlog.store import Store

__all__ = ["Core", "SessionRequest"]


class Core:
    """The folded state of one session in this process, and the way commands take to the log."""

    def __init__(self, store: Store, session: str, clock: Clock, ids: IdSource) -> None:
        self.session = session
        self.creation: SessionCreated | None = None
        """What to record before the first command, if the session does not exist yet."""
        self._creation_id: EventId | None = None
        self.reader = Reader(store, session)
        self.state = SessionState(session)
        self.clock = clock
        self.ids = ids
        self.store = store
        self._fold = SessionFold(session)
        self._lock = threading.Lock()
        self._round = 0
        self._ahead: SessionState | None = None
        self._uncommitted: list[Foldable] = []
        self._trusted = False
        self.wants_care = False
        """Whether `care` may have something to do."""
        self._care_after = SNAPSHOT_INTERVAL
        """Records since the last snapshot from which on `care` is wanted."""
        self._since_snapshot = 0
        self._snapshot_size = 0
        self.plain_characters = 0
        """Up to so many characters a message is plain: its length alone tells that (M6). Negative
        where none is, because appends may carry index entries (C8)."""
        self._follow_policies()

    def open(self, creation: SessionCreated | None) -> None:
        """Fold the stream; note what to record first if the session does not exist (M1)."""
        state = self.refresh()
        if state.status == ABSENT:
            if creation is None and self.creation is None:
                raise SessionNotFound(self.session)
            self.creation = self.creation or creation
            self._follow_policies()
        elif creation is not None and state.status != "open":
            raise SessionClosed(self.session, state.status)

    @property
    def tool_output(self) -> ToolOutputPolicy:
        """What is done about large tool outputs."""
        return _existing(self.state, self.creation).tool_output

    def _follow_policies(self) -> None:
        """Note what appending has to look at, so that it need not ask for every message."""
        state = _existing(self.state, self.creation)
        large, auto_commit = state.tool_output, state.auto_commit
        self.plain_characters = min(large.inline_characters, large.message_characters)
        if auto_commit is not None:
            self._care_after = 0
            if auto_commit.idle_seconds is not None:
                self.plain_characters = -1

    def creation_draft(self) -> Draft:
        """Return the event that brings the session into being.

        Its id is drawn, once: of several that create a session at the same time the later ones are
        in conflict about the version, and decide again without a creation.
        """
        assert self.creation is not None
        if self._creation_id is None:
            self._creation_id = self.ids()
        return Draft(self.creation, self._creation_id)

    def begin_anew_after_fork(self) -> None:
        """Drop what a forked child may have copied in the middle of a change."""
        self.state = SessionState(self.session)
        self._lock = threading.Lock()
        self._round = 0
        self._trusted = False

    # ---- the state that the log says ----------------------------------------------------------

    def refresh(self) -> SessionState:
        """Fold what the log has beyond the state, and return it (I/O)."""
        if not self.state.version:
            replayed = replay_stream(self.store, self.session, self._fold)
            with self._lock:
                if replayed.version > self.state.version:
                    self.state = replayed.state
                    self._since_snapshot = replayed.since_snapshot
                    self._follow_policies()
        elif self.store.head(self.session).version != self.state.version:
            self._fold_news()
        self._trusted = True
        return self.state

    def _fold_news(self) -> None:
        """Fold what others have recorded into a copy, and put that in place.

        The state itself is changed in place only by the committer: a decision that is being taken
        on it must not see half of a record.
        """
        state = self.snapshot_of_state()
        known = state.version
        for record in self.store.read(self.session, after=known):
            apply(state, Recorded(record))
        with self._lock:
            if state.version > self.state.version:
                self.state = state
                self._since_snapshot += state.version - known

    def snapshot_of_state(self) -> SessionState:
        """Return a state that no later record changes under the reader's hands."""
        with self._lock:
            return self.state.copy()

    def live_ranges(self) -> list[VersionRange]:
        """Return the version ranges in which the live messages are, in order."""
        with self._lock:
            return self.state.window.ranges(self.state.version)

    # ---- one round of the committer -----------------------------------------------------------

    def distrust(self) -> None:
        self._trusted = False
        if not self._care_after:
            self.wants_care = True  # What was recorded before may have had no commit behind it.

    def care(self) -> Request | None:
        self.wants_care = False
        if is_due(self._since_snapshot, self._snapshot_size):
            self.write_snapshot()
        if is_limit_reached(self.state):
            return SessionRequest(self, CommitIfDue(), AUTOMATIC)
        return None

    def write_snapshot(self) -> None:
        """Store the state as a cache for the next opening."""
        with self._lock:
            state = self.state.copy()
            self._since_snapshot = 0
        self._snapshot_size = write_snapshot(
            self.store, self.session, self._fold, state, state.version, state.hash
        )

    def deciding_state(self, round: int) -> SessionState:
        """Return the state that the next command of a round of the committer is decided on."""
        if not self._trusted:
            self.refresh()
        if round != self._round:
            self._round = round
            self._ahead = None
            self._uncommitted.clear()
            return self.state
        if not self._uncommitted:
            return self._ahead or self.state
        ahead = self._ahead or self.state.copy()
        for request in self._uncommitted:
            request.fold(ahead)
        self._uncommitted.clear()
        self._ahead = ahead
        return ahead

    @property
    def has_predecessors(self) -> bool:
        """Whether requests of this round were prepared already."""
        return self._ahead is not None or bool(self._uncommitted)

    def up_to_date(self, state: SessionState) -> SessionState:
        """Return the state with foreign records folded, unless predecessors are under way.

        Those are checked against the log's version when they are stored.
        """
        return state if self.has_predecessors else self.refresh()

    def foresee(self, request: Foldable, state: SessionState | None = None) -> None:
        """Note a prepared request, and the state that it would leave if that is known."""
        if state is None:
            self._uncommitted.append(request)
        else:
            self._ahead = state

    def confirm(self, request: Foldable, count: int, after: SessionState | None = None) -> None:
        """Fold the ``count`` records of a request that was stored.

        ``after`` is the state with these records, if the decision made one: it takes the place of
        the present one, unless one of the two was folded further since.
        """
        with self._lock:
            if after is not None and after.version == self.state.version + count:
                self.state = after
            else:
                request.fold(self.state)
            self._since_snapshot += count
            self.wants_care = self._since_snapshot >= self._care_after


class Foldable(Protocol):
    """A request that can fold what it records."""

    def fold(self, state: SessionState) -> None:
        """Fold the records that come next in the state; a reader may have folded them already."""
        ...


class SessionRequest(Request):
    """One command of one session on its way through the committer."""

    __slots__ = (
        "_after",
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
        self._after: SessionState | None = None
        if metadata is None:
            self._metadata = EMPTY_METADATA
        else:
            if self._key is not None:
                metadata = metadata._replace(command=_fingerprint(command))
            self._metadata = encode_metadata(metadata)

    # ---- what the committer asks for ----------------------------------------------------------

    def prepare(self, round: int) -> Append | None:
        core = self._core
        state = core.deciding_state(round)
        if self._key is not None:
            # Another with this key may be on its way in this round, and cannot be seen yet.
            self.waits = core.has_predecessors
            if self.waits or self._recall_by_key(self._key):
                return None
        if self._expected is not ANY and self._expected != state.version:
            state = self._at_expected(state)
        seen = state if state.status != ABSENT else _existing(state, core.creation)
        command = self._command
        if command.gathers:
            self.waits = core.has_predecessors and command.reads_stored(seen)
            if self.waits:
                return None
            command = self._command = command.gather(core.reader, seen)
        now = core.clock()
        version = state.version
        try:
            decision = command.decide(seen, now, core.ids)
        except ValidationError as error:
            raise refusal(error) from error
        except EventLogError:
            if self._recall_by_drafts():
                return None
            if core.up_to_date(state).version != version:
                return self.prepare(round)
            raise
        if isinstance(decision, Outcome):
            if core.up_to_date(state).version != version:
                return self.prepare(round)
            self.result = decision.result
            return None
        self._drafts = decision
        return self._build(state, max(state.time, now))

    def confirm(self, appended: Appended) -> bool:
        if appended.replayed:
            self._core.distrust()
            self.settle_repeated(appended.versions)
            return False
        command, recorded = self._command, self._recorded
        self._core.confirm(self, len(recorded), self._after)
        if len(recorded) > len(self._drafts):
            recorded = recorded[1:]
        if command.returns_records:
            recorded = self._placed(appended.positions)
        self.result = command.result(recorded)
        return True

    def fold(self, state: SessionState) -> None:
        for recorded in self._recorded:
            if recorded.record.version == state.version + 1:
                apply(state, recorded)

    def recall(self) -> bool:
        append = self.append
        if append is None:
            return False
        ids = [record.event_id for record in append.records]
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        self._core.refresh()
        self.settle_repeated([found[event_id] for event_id in ids])
        return True

    # ---- inside -------------------------------------------------------------------------------

    def _at_expected(self, state: SessionState) -> SessionState:
        """Return the state if it is at the version that the caller expects, news included."""
        state = self._core.up_to_date(state)
        if self._expected != state.version:
            raise VersionConflict(self._core.session, int(self._expected), state.version)
        return state

    def _build(self, state: SessionState, time: int) -> Append:
        """Encode and chain the drafts into the append to store."""
        core = self._core
        stream, version, hash_, metadata = core.session, state.version, state.hash, self._metadata
        drafts, first = self._drafts, 0
        if state.status == ABSENT and core.creation is not None:
            # The command's own events are numbered as if nothing came before them.
            drafts, first = (core.creation_draft(), *drafts), -1
        recorded: list[Recorded] = []
        records: list[Record] = []
        indexed = False
        for number, (event, event_id) in enumerate(drafts, first):
            version += 1
            type_, schema = event.event_type, event.event_schema
            data = encode_event(event)
            event_id = event_id or self._id(number)
            record = chained_record(
                hash_, stream, version, event_id, type_, schema, time, data, metadata
            )
            hash_ = record.hash
            records.append(record)
            recorded.append(Recorded(record, event))
            indexed = indexed or may_change_index(state, type_, time)
        self._recorded = recorded
        index: tuple[IndexEntry, ...] = ()
        self._after = None
        if indexed:
            after = self._after = state.copy()
            for entry in recorded:
                apply(after, entry)
            index = index_changes(state, recorded, after)
            core.foresee(self, after)
        else:
            core.foresee(self)
        return Append(stream, state.version, tuple(records), index, state.hash)

    def _placed(self, positions: Sequence[Position]) -> list[Recorded]:
        """Return the command's own records with the positions that the store gave them."""
        placed = [
            Recorded(entry.record._replace(position=position), entry.event)
            for entry, position in zip(self._recorded, positions, strict=True)
        ]
        return placed[len(placed) - len(self._drafts) :]

    def _id(self, number: int) -> EventId:
        """Return the id of the ``number``-th event: the same one at every decision."""
        ids = self._ids
        while len(ids) <= number:
            key = self._key
            ids.append(
                self._core.ids() if key is None else derived_id(self._core.session, key, len(ids))
            )
        return ids[number]

    def settle_repeated(self, versions: Sequence[int]) -> None:
        """Answer with the original outcome if the content is the same (P8)."""
        core, command = self._core, self._command
        count = len(self._drafts) or len(command.event_ids(core.session))
        own = versions[len(versions) - count :]
        recorded = [self._record(version) for version in own]
        if command.repeats(recorded, self._drafts):
            self.result = command.result(recorded)
        else:
            self.error = DuplicateEvent(
                core.session,
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
        versions = [found[event_id] for event_id in ids]
        if versions != list(range(versions[0], versions[0] + len(versions))):
            return False  # They were not one batch.
        self.settle_repeated(versions)
        if self.error is not None:
            raise self.error
        return True

    def _record(self, version: int) -> Recorded:
        return cast("Recorded", self._core.reader.record(version))


def _existing(state: SessionState, creation: SessionCreated | None) -> SessionState:
    """Return the state that commands see: that of a session which its first command creates."""
    if state.status != ABSENT or creation is None:
        return state
    existing = state.copy()
    existing.status = "open"
    existing.follow(creation)
    return existing


def _fingerprint(command: Command[Any]) -> str:
    """Tell commands of other content apart that come with one idempotency key."""
    try:
        content = pydantic_core.to_json([type(command).__name__, command], serialize_unknown=True)
    except PydanticSerializationError as error:
        raise InvalidArgument(f"it cannot be stored as JSON: {error}; mend the value") from error
    return hashlib.sha256(content).hexdigest()[:32]
