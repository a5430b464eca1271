"""The past of one session: its state at any version, and a store that ends there.

States are kept along the way, so that the next one asked for is folded from near by; some of them
in the store, so that another process need not fold the session from its beginning. What a store
says at a version follows from the records up to it: reading goes the ways that it goes on the log
itself, on a store that has nothing behind that version.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NoReturn

from eventlog.engine.core import Core
from eventlog.engine.door import Door
from eventlog.engine.snapshots import KEPT_EVERY, keep_snapshot, read_snapshot
from eventlog.errors import InvalidArgument, UnsupportedStore
from eventlog.recorded import Recorded
from eventlog.records import EMPTY_HEAD, START, Head
from eventlog.session.folding import apply_records
from eventlog.session.index import changes_index, index_changes
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.identifiers import EventId
    from eventlog.records import Append, Durability, Expected, IndexEntry, Position, Record
    from eventlog.session.tokens import TokenEstimator
    from eventlog.store import Blob, Finding, Store

__all__ = ["Past", "StoreUpTo"]

CHECKPOINT_EVERY: Final = 4_096
"""Records between two states that are kept: what looking at a version folds at most, about 20 ms,
once the session was folded up to there."""


class Past:
    """One session's records, folded up to any version when asked for. Thread-safe; only reads."""

    def __init__(self, door: Door, core: Core, estimate: TokenEstimator) -> None:
        self.store = door
        self.session = core.session
        self.estimate = estimate
        self._core = core
        self._lock = threading.Lock()
        self._kept: list[SessionState] = []
        """States of some versions, ascending."""
        self._index = _IndexHistory(door, core.session)
        self._fold = SessionFold(core.session)
        self._places_read: set[int | None] = set()
        """The places whose snapshots were looked for: None is that of the newest."""

    @property
    def head(self) -> int:
        """The newest version of the session (I/O)."""
        return self.store.head(self.session).version

    def record(self, version: int) -> Record:
        """Return the record at a version that the session has reached."""
        for record in self.store.read(self.session, after=version - 1, until=version):
            return record
        raise InvalidArgument(
            f"session {self.session!r} is at version {self.head}; version {version} is not there"
        )

    def records(self, after: int = 0, until: int | None = None) -> Iterator[Record]:
        """Yield the records with ``after < version <= until``, in order."""
        return self.store.read(self.session, after=after, until=until)

    def state(self, version: int) -> SessionState:
        """Return the state after the record at ``version``; nobody else has it."""
        # As one call, so that the main thread hands it over once, and not once a page.
        return self.store.shelter.read(self._state, version)

    def _state(self, version: int) -> SessionState:
        with self._lock:
            state = self._from(version)
            if state.version == version:
                return state.copy()
            state = state.copy()
            while state.version < version:
                until = min(version, state.version + CHECKPOINT_EVERY)
                before = state.version
                apply_records(state, self.records(state.version, until))
                if state.version == before:
                    break
                self._keep(state)
                self._store_if_first(state, before)
            return state

    def _from(self, version: int) -> SessionState:
        """Return the nearest state that is known, not to be changed."""
        self._take_snapshot(None)
        for place in range(version // KEPT_EVERY, 0, -1):
            known = self._known(version)
            if known.version // KEPT_EVERY >= place:
                return known
            self._take_snapshot(place)
        return self._known(version)

    def _known(self, version: int) -> SessionState:
        place = bisect_right(self._kept, version, key=_version_of)
        return self._kept[place - 1] if place else SessionState(self.session)

    def _take_snapshot(self, place: int | None) -> None:
        """Take over the snapshot that opening the session begins with, or the one that was kept of a
        place, if it is a good one."""
        if place in self._places_read:
            return
        self._places_read.add(place)
        found = read_snapshot(self.store, self.session, self._fold, place).replayed
        if found is None:
            return
        anchor = next(self.records(found.version - 1, found.version), None)
        if anchor is not None and anchor.hash == found.hash:
            at = bisect_left(self._kept, found.version, key=_version_of)
            self._kept.insert(at, found.state)

    def _store_if_first(self, state: SessionState, before: int) -> None:
        """Store a state that was folded from version ``before`` for other processes, if none is kept
        there: nothing in a log that grew while it was open, everything in one that was copied."""
        if not self.store.reads_only:
            keep_snapshot(self.store, self._fold, state, before)

    def _keep(self, state: SessionState) -> None:
        place = bisect_left(self._kept, state.version, key=_version_of)
        near = self._kept[max(0, place - 1) : place + 1]
        if all(abs(state.version - kept.version) >= CHECKPOINT_EVERY // 2 for kept in near):
            self._kept.insert(place, state.copy())

    def entries(self, version: int) -> list[tuple[str, bytes]]:
        """Return the index entries of the session as they were at a version, by key."""
        with self._lock:
            return self._index.at(version)

    def core_at(self, version: int, state: SessionState | None = None) -> Core:
        """Return a core that has folded the session up to a version, to read with."""
        door = Door(StoreUpTo(self, version))
        door.shelter = self.store.shelter
        core = Core(door, self.session, self._core.clock, self._core.ids)
        core.state = self.state(version) if state is None else state
        core.follow_policies()
        return core


def _version_of(state: SessionState) -> int:
    return state.version


class _IndexHistory:
    """Every value that each index entry of a session ever had, with the version it is from."""

    def __init__(self, store: Store, session: str) -> None:
        self._store = store
        self._state = SessionState(session)
        self._values: dict[str, list[tuple[int, bytes | None]]] = {}

    def at(self, version: int) -> list[tuple[str, bytes]]:
        self._fold_up_to(version)
        found = ((key, _latest(values, version)) for key, values in sorted(self._values.items()))
        return [(key, value) for key, value in found if value is not None]

    def _fold_up_to(self, version: int) -> None:
        state = self._state
        if state.version < version:
            watched = self._watched(state.session_id, version)
            apply_records(state, watched)

    def _watched(self, session: str, version: int) -> Iterator[Record]:
        """Yield records to the fold, and note what each changes in the index."""
        state = self._state
        for record in self._store.read(session, after=state.version, until=version):
            if not changes_index(state, record):
                yield record
                continue
            before = state.copy()
            yield record
            if state.version == record.version:
                self._note(record.version, index_changes(before, [Recorded(record)], state))

    def _note(self, version: int, changes: Sequence[IndexEntry]) -> None:
        for key, value in changes:
            self._values.setdefault(key, []).append((version, value))


def _latest(values: list[tuple[int, bytes | None]], version: int) -> bytes | None:
    place = bisect_right(values, version, key=lambda entry: entry[0])
    return values[place - 1][1] if place else None


class StoreUpTo:
    """The store of a log as if one session ended at a version; it cannot be written to.

    Of other sessions it has nothing. See `eventlog.store.Store` for the verbs.
    """

    durability: Durability = "none"
    reads_types = True

    def __init__(self, past: Past, version: int) -> None:
        self._past = past
        self._version = version
        self._entries: list[tuple[str, bytes]] | None = None

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        types: Sequence[str] = (),
    ) -> Iterator[Record]:
        last = self._version if until is None else min(until, self._version)
        if stream != self._past.session or last <= after:
            return iter(())
        return self._past.store.read(
            stream, after=after, until=last, limit=limit, reverse=reverse, types=types
        )

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        for record in self.read(self._past.session):
            if record.position > after and (not types or record.type in types):
                if limit is not None and limit <= 0:
                    return
                limit = None if limit is None else limit - 1
                yield record

    def head(self, stream: str) -> Head:
        if stream != self._past.session or not self._version:
            return EMPTY_HEAD
        last = self._past.record(self._version)
        return Head(last.version, last.hash, last.position, last.time)

    def tip(self) -> Position:
        return self.head(self._past.session).position

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        if stream != self._past.session:
            return {}
        found = self._past.store.find(stream, ids)
        return {id_: version for id_, version in found.items() if version <= self._version}

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        if self._entries is None:
            self._entries = self._past.entries(self._version)
        first = bisect_left(self._entries, start, key=lambda entry: entry[0])
        last = bisect_left(self._entries, end, key=lambda entry: entry[0])
        yield from self._entries[first:last][:limit]

    def get_blob(self, key: str) -> Blob | None:
        return None if key.startswith("snapshot/") else self._past.store.get_blob(key)

    def wait(self, after: Position, timeout: float) -> bool:
        return self.tip() > after

    def check(self) -> list[Finding]:
        return []

    def settings(self) -> dict[str, str]:
        return self._past.store.settings()

    def append(self, batch: Sequence[Append]) -> NoReturn:
        raise _read_only()

    def put_blob(self, key: str, data: bytes, expected: Expected = "any") -> NoReturn:
        raise _read_only()

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> NoReturn:
        raise _read_only()

    def reopen_after_fork(self) -> None:
        """Hold nothing that a child must not share."""

    def close(self) -> None:
        """Leave the store of the log open, which others use."""


def _read_only() -> UnsupportedStore:
    return UnsupportedStore("the past cannot be written to; fork the session to go on from there")
