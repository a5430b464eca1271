"""The tail: the newest records of a SQLite log, which its index tables do not hold yet.

An append touches one leaf of a table that grows at its end. Indexing each record at once would touch
two more leaves at random places, and writing those pages costs more than everything else together.
So the index tables lag behind. They hold the records up to the position in ``progress``; the rest
(`MERGE_AT` records and the last batch) is this structure, in the memory of each process. The writer
merges it into the tables, sorted, in the transaction of the next append.

The log is the truth for both: a process that finds the log longer than its tail reads the headers of
the new records. A tail may hold records that another process has already merged; that does no harm,
because records are never moved or removed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["INSERT_RUN", "MERGE_AT", "Tail", "run_rows"]

MERGE_AT: Final = 4_096
"""The next append merges a tail of this many records: a few milliseconds of work, some MB of memory."""

INSERT_RUN: Final = "INSERT INTO record_runs VALUES (?, ?, ?)"

_RUN: Final = 64
"""Positions per run: they fit into a page's cell, and a session's last records need few runs."""

_ENDS_LIMIT: Final = 65_536
"""The ends of this many streams are kept in memory; others are looked up again."""

TailRow = tuple[int, int, int, bytes, int, bytes]
"""Of a record: the position, the stream's number, the version, the event id, the time, the hash."""

End = tuple[int, bytes, int, int]
"""The version, hash, position and time of a stream's last record: a `Head` in the making."""


def run_rows(stream: int, first: int, positions: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """Yield the index rows of a stream's records from version ``first`` on."""
    for start in range(0, len(positions), _RUN):
        yield stream, first + start, str(positions[start : start + _RUN])


class StreamTail:
    """The newest records of one stream: consecutive versions from ``first`` on."""

    __slots__ = ("first", "positions")

    def __init__(self, first: int, positions: list[int]) -> None:
        self.first = first
        self.positions = positions

    def behind(self, position: int) -> StreamTail:
        """Return the part after a position."""
        known = bisect_right(self.positions, position)
        return StreamTail(self.first + known, self.positions[known:])


class Tail:
    """Where the newest records are, by stream and by id; and the ends of the streams in use."""

    def __init__(self, indexed: int) -> None:
        self.begins_at = indexed
        """The position up to which this process knows the index tables to be complete."""
        self.last = indexed
        """The position of the newest record known to this process."""
        self.size = 0
        self.streams: dict[int, StreamTail] = {}
        self.ids: dict[bytes, int] = {}
        """Positions by event id."""
        self.twins: dict[bytes, list[int]] = {}
        """Further positions of an event id: other streams may have the same id."""
        self.ends: dict[int, End] = {}

    def add(self, rows: Iterable[TailRow]) -> None:
        """Add committed records, ascending; records that are already known are skipped."""
        last, size, streams, ids, ends = self.last, self.size, self.streams, self.ids, self.ends
        for position, stream, version, event_id, time, hash_ in rows:
            if position <= last:
                continue
            last = position
            size += 1
            tail = streams.get(stream)
            if tail is None:
                tail = streams[stream] = StreamTail(version, [])
            tail.positions.append(position)
            if ids.setdefault(event_id, position) != position:
                self.twins.setdefault(event_id, []).append(position)
            ends[stream] = (version, hash_, position, time)
        self.last, self.size = last, size

    def succeed(self, older: Tail) -> None:
        """Copy the ends from an older tail, unless it lacks records that were merged since."""
        if older.last >= self.begins_at:
            self.ends = older.ends

    def unindexed(self, indexed: int) -> Iterator[tuple[int, int, str]]:
        """Yield the index rows of the records that the tables lack (after a position), sorted."""
        for stream in sorted(self.streams):
            tail = self.streams[stream].behind(indexed)
            yield from run_rows(stream, tail.first, tail.positions)

    def merged(self, indexed: int) -> None:
        """Remove the records up to a position, which the index tables now hold; the ends stay valid.

        Newer records may already be in the tail: readers add committed records without waiting for
        the writer.
        """
        self.begins_at = indexed
        rest = {stream: tail.behind(indexed) for stream, tail in self.streams.items()}
        self.streams = {stream: tail for stream, tail in rest.items() if tail.positions}
        self.size = sum(len(tail.positions) for tail in self.streams.values())
        placed = [*self.ids.items(), *((id_, at) for id_ in self.twins for at in self.twins[id_])]
        self.ids, self.twins = {}, {}
        for event_id, position in placed:
            if position > indexed and self.ids.setdefault(event_id, position) != position:
                self.twins.setdefault(event_id, []).append(position)
        if len(self.ends) > _ENDS_LIMIT:
            self.ends = {}

    def positions(self, stream: int, after: int, until: int) -> list[int]:
        """Return the positions of the stream's tail with ``after < version <= until``."""
        tail = self.streams.get(stream)
        if tail is None:
            return []
        start = max(0, after + 1 - tail.first)
        return tail.positions[start : max(start, until + 1 - tail.first)]

    def places(self, ids: Iterable[bytes]) -> list[int]:
        """Return the positions of the records with one of these event ids."""
        found = [self.ids[event_id] for event_id in self.ids.keys() & ids]
        for event_id in self.twins.keys() & ids:
            found += self.twins[event_id]
        return found

    def first_version(self, stream: int) -> int | None:
        """Return the lowest version of the stream in the tail."""
        tail = self.streams.get(stream)
        return None if tail is None else tail.first
