"""Rebuild the index from the events, and tell where the stored one differs (L14).

The index is stored with the events that it follows from, so the two can only differ by damage, or
by a defect. Nothing may be written to the log meanwhile: entries of what was appended between the
reading and the writing would be lost, so a log that grows is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import StoreUnavailable
from eventlog.records import Recorded
from eventlog.session.index import index_changes, may_change_index
from eventlog.session.state import SessionState, apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.records import IndexEntry
    from eventlog.store import Store

__all__ = [
    "IndexDifference",
    "compare_index",
    "rebuild_index",
    "rebuilt_entries",
    "stored_streams",
]

WRITE_PAGE: Final = 1_000
"""Entries per transaction of a rebuild."""


class IndexDifference(NamedTuple):
    """An entry that is not what the events say; None stands for no entry."""

    key: str
    stored: bytes | None
    rebuilt: bytes | None


def stored_streams(store: Store) -> list[str]:
    """Return the streams that have records, by reading the log: the index is not asked."""
    return sorted({record.stream for record in store.read_all()})


def rebuilt_entries(store: Store, stream: str) -> dict[str, bytes]:
    """Return the index entries of a stream as its events say."""
    entries: dict[str, bytes] = {}
    state = SessionState(stream)
    for record in store.read(stream):
        recorded = Recorded(record)
        if not may_change_index(state, record.type, record.time):
            apply(state, recorded)
            continue
        before = state.copy()
        apply(state, recorded)
        for key, value in index_changes(before, [recorded], state):
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
    return entries


def compare_index(store: Store) -> list[IndexDifference]:
    """Return where the stored index differs from what the events say, by key.

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
    return [
        IndexDifference(key, stored.get(key), rebuilt.get(key))
        for key in sorted(stored.keys() | rebuilt.keys())
        if stored.get(key) != rebuilt.get(key)
    ]


def rebuild_index(store: Store) -> list[IndexDifference]:
    """Make the stored index what the events say; return where it was not.

    Right entries are left alone, so that a sound index is not written to at all.
    """
    differences = compare_index(store)
    for page in _pages([(difference.key, difference.rebuilt) for difference in differences]):
        store.put_index(page)
    return differences


def _pages(entries: list[IndexEntry]) -> Iterator[list[IndexEntry]]:
    for start in range(0, len(entries), WRITE_PAGE):
        yield entries[start : start + WRITE_PAGE]
