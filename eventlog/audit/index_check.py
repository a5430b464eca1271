"""Rebuild the index from the events, and find where the stored one differs (L14).

The index is stored together with the events that it follows from, so the two differ only after
damage or because of a defect. A log that grows meanwhile is refused: entries of events appended
between the reading and the writing would be lost.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import StoreUnavailable
from eventlog.finding import Finding
from eventlog.identifiers import from_key_part
from eventlog.recorded import Recorded
from eventlog.session.folding import apply
from eventlog.session.index import (
    EVENTS,
    SESSIONS,
    SHARED_PREFIXES,
    archive_prefix,
    blocked_key,
    changes_index,
    index_changes,
    keys_under,
    run_prefix,
    session_key,
    session_of_entry,
    turn_prefix,
)
from eventlog.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eventlog.records import IndexEntry, Record
    from eventlog.store import Store

__all__ = [
    "IndexDifference",
    "changes_by",
    "changes_since",
    "compare_index",
    "compare_stream",
    "differing_entries",
    "index_finding",
    "rebuild_index",
    "rebuilt_entries",
    "stored_streams",
    "write_entries",
]

SCANNED_EVENTS: Final = 10_000
"""Event keys of other sessions that are read to verify one session."""

WRITE_PAGE: Final = 1_000
"""Entries per transaction of a rebuild."""


class IndexDifference(NamedTuple):
    """An entry that differs from what the events imply; None means no entry."""

    key: str
    stored: bytes | None
    rebuilt: bytes | None


def changes_by(
    before: SessionState, record: Record, after: SessionState
) -> dict[str, bytes | None]:
    """Return what a record changes in the index, given the states before and after it."""
    return dict(index_changes(before, [Recorded(record)], after))


def compare_stream(store: Store, stream: str, rebuilt: Mapping[str, bytes]) -> list[Finding]:
    """Return the entries of one session that differ from what its events imply.

    Reads all sessions' entries of tasks, due times and idle times. Event keys of all sessions are read
    if they are not many more than this session's. Otherwise its own are looked up; one that no event
    leads to is then found by verifying the whole log.
    """
    shared = (prefix for prefix in SHARED_PREFIXES if prefix != EVENTS)
    prefixes = (archive_prefix(stream), turn_prefix(stream), run_prefix(stream), *shared)
    entries = chain(
        _event_entries(store, rebuilt),
        *(store.scan(key, key + "\0") for key in (session_key(stream), blocked_key(stream))),
        *(store.scan(*keys_under(prefix)) for prefix in prefixes),
    )
    stored = {
        key: value
        for key, value in entries
        if key in rebuilt or session_of_entry(key, value) == stream
    }
    return [index_finding(stream, found) for found in differing_entries(stored, rebuilt)]


def _event_entries(store: Store, rebuilt: Mapping[str, bytes]) -> Iterable[tuple[str, bytes]]:
    own = [key for key in rebuilt if key.startswith(EVENTS)]
    limit = SCANNED_EVENTS + 8 * len(own)
    found = list(store.scan(*keys_under(EVENTS), limit))
    if len(found) < limit:
        return found
    return chain.from_iterable(store.scan(key, key + "\0") for key in own)


def differing_entries(
    stored: Mapping[str, bytes], rebuilt: Mapping[str, bytes]
) -> list[IndexDifference]:
    """Return the entries that differ, by key."""
    return [
        IndexDifference(key, stored.get(key), rebuilt.get(key))
        for key in sorted(stored.keys() | rebuilt.keys())
        if stored.get(key) != rebuilt.get(key)
    ]


def index_finding(stream: str | None, difference: IndexDifference) -> Finding:
    """Return the finding about an entry that differs."""
    if difference.stored is None:
        problem = "the entry is missing"
    elif difference.rebuilt is None:
        problem = "no event leads to this entry"
    else:
        problem = "the entry differs from what the events imply"
    detail = f"{difference.key}: {problem}; `eventlog doctor --rebuild-index` mends it"
    return Finding(stream, None, "index", detail)


def stored_streams(store: Store) -> list[str]:
    """Return the streams that have records, by reading the log.

    The streams in the index are added unverified: a store may already have records in a stream that
    it does not show in the order of the whole log yet.
    """
    streams = {record.stream for record in store.read_all()}
    for key, _ in store.scan(*keys_under(SESSIONS)):
        stream = from_key_part(key.removeprefix(SESSIONS))
        if stream not in streams and store.head(stream).version:
            streams.add(stream)
    return sorted(streams)


def changes_since(store: Store, stream: str, version: int) -> Iterator[IndexEntry]:
    """Yield what the events of a stream after a version change in the index, in order."""
    state = SessionState(stream)
    for record in store.read(stream):
        recorded = Recorded(record)
        if record.version <= version or not changes_index(state, record):
            apply(state, recorded)
            continue
        before = state.copy()
        apply(state, recorded)
        yield from index_changes(before, [recorded], state)


def rebuilt_entries(store: Store, stream: str) -> dict[str, bytes]:
    """Return the index entries that follow from a stream's events."""
    changed = dict(changes_since(store, stream, 0))
    return {key: value for key, value in changed.items() if value is not None}


def compare_index(store: Store) -> list[IndexDifference]:
    """Return where the stored index differs from what the events imply, by key.

    Raises `StoreUnavailable` if the log grew meanwhile.
    """
    before = store.tip()
    rebuilt: dict[str, bytes] = {}
    for stream in stored_streams(store):
        rebuilt.update(rebuilt_entries(store, stream))
    stored = dict(store.scan("", "\U0010ffff"))
    if store.tip() != before:
        raise StoreUnavailable(
            "the log grew while it was compared with its index; stop what writes to it, then try "
            "again"
        )
    return differing_entries(stored, rebuilt)


def rebuild_index(store: Store) -> list[IndexDifference]:
    """Rewrite the index entries that differ from what the events imply, and return them.

    Correct entries are left alone, so a sound index is not written to.
    """
    differences = compare_index(store)
    write_entries(store, [(difference.key, difference.rebuilt) for difference in differences])
    return differences


def write_entries(store: Store, entries: Iterable[IndexEntry]) -> int:
    """Store or remove index entries, a page per transaction; return how many there were."""
    left, written = iter(entries), 0
    while page := list(islice(left, WRITE_PAGE)):
        store.put_index(page)
        written += len(page)
    return written
