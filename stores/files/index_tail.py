"""The tail: the index of the newest part of a files log, which no run holds, in each process's memory.

It is built from the frames after the last checkpoint: by the writer as it stores them, by other
processes as they read them. When it has `FLUSH_AT` records, the writer writes it as a run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Final

from eventlog.store import Head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.store import IndexEntry, Record

__all__ = ["FLUSH_AT", "StreamTail", "Tail"]

FLUSH_AT: Final = 8_192
"""A tail of this many records is written as a run: some 20 ms of work. At most this much is read when
a log is opened after a crash."""

MARK_EVERY: Final = 1 << 16
"""Bytes of the log between two positions whose places are noted."""


class StreamTail:
    """The newest records of one stream: consecutive versions from ``first`` on."""

    __slots__ = ("first", "ids", "places")

    def __init__(self, first: int) -> None:
        self.first = first
        self.places: list[int] = []
        """The place of each record's frame."""
        self.ids: dict[bytes, int] = {}
        """Their versions by event id."""


class Tail:
    """Where the newest records are, by stream, id and position; and the newest index entries."""

    def __init__(self) -> None:
        self.records = 0
        self.changes = 0
        """Index entries stored or removed."""
        self.streams: dict[str, StreamTail] = {}
        self.heads: dict[str, Head] = {}
        self.entries: dict[str, bytes | None] = {}
        self.keys: list[str] = []
        """The keys of `entries`, sorted."""
        self.marks: list[tuple[int, int]] = []
        """Positions, ascending, and the frames that begin with them."""

    def add(self, place: int, records: Iterable[Record], entries: Iterable[IndexEntry]) -> None:
        """Add a stored frame; records that are already known are skipped.

        An interrupt may fall in the middle, and the frame is then added again. So the fields that
        show a record to be known are changed last.
        """
        for record in records:
            name, version, position, event_id, _, _, time, _, _, hash_ = record
            stream = self.streams.get(name)
            if stream is None:
                stream = self.streams[name] = StreamTail(version)
            elif version < stream.first + len(stream.places):
                continue
            if not self.marks or place - self.marks[-1][1] >= MARK_EVERY:
                self.marks.append((position, place))
            stream.ids[event_id] = version
            self.heads[name] = Head(version, hash_, position, time)
            self.records += 1
            stream.places.append(place)
        for key, value in entries:
            if key not in self.entries:
                insort(self.keys, key)
            self.entries[key] = value
            self.changes += 1

    @property
    def size(self) -> int:
        """Its size in records; several index entries count as one."""
        return self.records + self.changes // 4

    def places(self, stream: str, after: int, until: int) -> list[int]:
        """Return where the frames of the versions ``after < version <= until`` are."""
        tail = self.streams.get(stream)
        if tail is None:
            return []
        start = max(0, after + 1 - tail.first)
        return tail.places[start : max(start, until + 1 - tail.first)]

    def mark_before(self, position: int) -> int | None:
        """Return a frame shortly before a position, or None if the tail begins after it."""
        number = bisect_right(self.marks, (position, 1 << 64))
        return self.marks[number - 1][1] if number else None

    def changed(self, start: str, end: str) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the index entries with ``start <= key < end``, removed ones included."""
        keys = self.keys
        for key in keys[bisect_left(keys, start) : bisect_left(keys, end)]:
            yield key.encode(), self.entries[key]
