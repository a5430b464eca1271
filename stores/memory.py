"""The memory store: the model that the other stores are compared with. It ends with the process."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from itertools import islice
from typing import TYPE_CHECKING, Any

from eventlog.errors import DuplicateEvent, EventLogError, InvalidArgument, VersionConflict
from eventlog.store import (
    ANY,
    EMPTY_HEAD,
    START,
    Append,
    Appended,
    Blob,
    Durability,
    Expected,
    Finding,
    Head,
    Position,
    Record,
    Wakeups,
    repeated,
)
from eventlog.store_url import public_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.store import EventId

__all__ = ["MemoryStore", "open_store"]


def open_store(url: str, location: str, options: dict[str, str]) -> MemoryStore:
    """Open ``memory:``, an empty log in this process."""
    if location or options:
        raise InvalidArgument(f"{public_url(url)}: write memory: and nothing after it")
    return MemoryStore()


class MemoryStore:
    """A log in this process's memory; see `eventlog.store.Store` for the contract."""

    durability: Durability = "none"
    reads_types = True
    appends_briefly = True

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wakeups = Wakeups()
        self._log: list[Record] = []
        self._streams: dict[str, list[Record]] = {}
        self._ids: dict[str, dict[EventId, int]] = {}
        self._keys: list[str] = []
        self._entries: dict[str, bytes] = {}
        self._blobs: dict[str, Blob] = {}

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        with self._lock:
            answers = [self._append(append) for append in batch]
        self._wakeups.notify()
        return answers

    def _append(self, append: Append) -> Appended | EventLogError:
        stream = self._streams.setdefault(append.stream, [])
        ids = self._ids.setdefault(append.stream, {})
        if len({record.event_id for record in append.records}) < len(append.records):
            return DuplicateEvent(
                append.stream,
                "an event id occurs twice in one append; give each event an id of its own",
            )
        known = [ids.get(record.event_id) for record in append.records]
        if any(version is not None for version in known):
            return repeated(append, known)
        last = stream[-1].hash if stream else EMPTY_HEAD.hash
        if len(stream) != append.expected or append.previous not in (None, last):
            return VersionConflict(append.stream, append.expected, len(stream))
        for record in append.records:
            placed = record._replace(position=Position(len(self._log) + 1))
            self._log.append(placed)
            stream.append(placed)
            ids[placed.event_id] = placed.version
        self._put_entries(append.entries)
        stored = stream[-len(append.records) :]
        return Appended(
            tuple(record.version for record in stored),
            tuple(record.position for record in stored),
        )

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
        with self._lock:
            records = self._streams.get(stream, [])
            versions = range(len(records))[after:until]
        # The list only grows, so nothing is copied, however little of it is wanted.
        found = (records[place] for place in (reversed(versions) if reverse else versions))
        chosen = (record for record in found if record.type in types) if types else found
        yield from islice(chosen, limit)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        with self._lock:
            records = self._log[after:]
        chosen = [record for record in records if not types or record.type in types]
        yield from chosen[:limit]

    def head(self, stream: str) -> Head:
        with self._lock:
            records = self._streams.get(stream)
            if not records:
                return EMPTY_HEAD
            last = records[-1]
        return Head(last.version, last.hash, last.position, last.time)

    def tip(self) -> Position:
        with self._lock:
            return Position(len(self._log))

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        with self._lock:
            known = self._ids.get(stream, {})
            return {event_id: known[event_id] for event_id in ids if event_id in known}

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
            entries = [(key, self._entries[key]) for key in keys[:limit]]
        yield from entries

    def wait(self, after: Position, timeout: float) -> bool:
        return self._wakeups.wait_beyond(after, self.tip, timeout)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        with self._lock:
            known = self._blobs.get(key)
            revision = 0 if known is None else known.revision
            if expected not in (ANY, revision):
                raise VersionConflict(key, int(expected), revision)
            self._blobs[key] = Blob(data, revision + 1)
            return revision + 1

    def get_blob(self, key: str) -> Blob | None:
        with self._lock:
            return self._blobs.get(key)

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        with self._lock:
            self._put_entries(entries)

    def _put_entries(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        for key, value in entries:
            known = key in self._entries
            if value is not None:
                if not known:
                    insort(self._keys, key)
                self._entries[key] = value
            elif known:
                del self._keys[bisect_left(self._keys, key)]
                del self._entries[key]

    def check(self) -> list[Finding]:
        return []

    def settings(self) -> dict[str, str]:
        return {"records": str(len(self._log))}

    def reopen_after_fork(self) -> None:
        """Keep the child's copy of the contents, with a new lock."""
        self._lock = threading.RLock()
        self._wakeups = Wakeups()

    def close(self) -> None:
        """Keep the contents: a log may be opened on this store again."""

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._log)} records>"

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryStore:
        """Return a copy of the contents: what a crash at this moment would leave."""
        copied = MemoryStore()
        with self._lock:
            copied._log = self._log.copy()
            copied._streams = {name: list(records) for name, records in self._streams.items()}
            copied._ids = {name: dict(ids) for name, ids in self._ids.items()}
            copied._keys = self._keys.copy()
            copied._entries = self._entries.copy()
            copied._blobs = self._blobs.copy()
        return copied
