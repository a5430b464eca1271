"""The part of a SQLite log that its index tables do not hold yet, as each process keeps it.

Every append touches one leaf of a table that grows at its end. Indexing each record at once would
touch two more leaves at random places, and writing those pages costs more than all else together.
So the index tables lag behind: they hold the records up to the position in ``progress``, the rest
(`MERGE_AT` records at most) is this structure in the memory of each process, and from time to time
the writer merges that rest into the tables, sorted, in the transaction of an append.

The log is the truth for both: whoever finds the log longer than its tail reads the headers of what
is new. A tail may hold records that another process has merged already; that does no harm, since
records are never moved or removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.records import Head, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MERGE_AT", "Tail"]

MERGE_AT: Final = 4_096
"""Records in the tail at which it is merged: a few milliseconds of work, some MB of memory."""

_HEADS_LIMIT: Final = 65_536
"""Streams whose heads are remembered; beyond it they are looked up again."""

TailRow = tuple[int, int, int, bytes, int, bytes]
"""position, stream, version, event id, time, hash"""


class Tail:
    """Where the newest records are, by stream and by id; and the heads of the streams in use."""

    def __init__(self, indexed: int) -> None:
        self.last = indexed
        """The position of the newest record that is known here."""
        self.size = 0
        self.heads: dict[int, Head] = {}
        self._places: dict[int, list[tuple[int, int]]] = {}
        self._ids: dict[tuple[int, bytes], int] = {}

    def add(self, rows: Iterable[TailRow]) -> None:
        """Take committed records in, ascending; those that are known already are passed over."""
        last, places, ids, heads = self.last, self._places, self._ids, self.heads
        for position, stream, version, event_id, time, hash_ in rows:
            if position <= last:
                continue
            last = position
            known = places.get(stream)
            if known is None:
                places[stream] = [(version, position)]
            else:
                known.append((version, position))
            ids[stream, event_id] = version
            heads[stream] = Head(version, hash_, Position(position), time)
            self.size += 1
        self.last = last

    def merged(self) -> None:
        """Forget the records, which the index tables hold now; the heads stay true."""
        self.size = 0
        self._places = {}
        self._ids = {}
        if len(self.heads) > _HEADS_LIMIT:
            self.heads = {}

    def version_of(self, stream: int, event_id: bytes) -> int | None:
        """Return the version of a record in the tail by its id."""
        return self._ids.get((stream, event_id))

    def places(self, stream: int, after: int, until: int) -> list[tuple[int, int]]:
        """Return (version, position) of the stream's tail with ``after < version <= until``."""
        places = self._places.get(stream)
        if not places:
            return []
        first = places[0][0]
        start = max(0, after + 1 - first)
        return places[start : max(start, until + 1 - first)]

    def first_version(self, stream: int) -> int | None:
        """Return the lowest version of the stream in the tail."""
        places = self._places.get(stream)
        return places[0][0] if places else None
