"""Look up records in a SQLite log: by stream and version, by event id, and the heads.

Answers combine the index tables with the tail of records that the tables lack (`tail`). The caller
passes a connection that has caught up. Readers hold ``lock`` during a look-up; the writer need not,
because nothing can be added while it holds SQLite's write lock.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import from_json

from eventlog.errors import CorruptLog
from eventlog.store import EMPTY_HEAD, Head
from eventlog.stores.sqlite.tail import INSERT_RUN, MERGE_AT, End, Tail, TailRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventlog.sqlite_driver import sqlite3

__all__ = ["Lookup"]

_FIND: Final = {
    size: "SELECT stream, event_id, version FROM record_ids WHERE event_id IN "
    f"({','.join('?' * size)})"
    for size in (1, 4, 16, 64, 256)
}
"""Ids are looked up in lists of a few fixed sizes, so that statements are prepared once."""


class Lookup:
    """One process's knowledge of where records are."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.lock = threading.Lock()
        self.streams: dict[str, int] = {}
        """The numbers of streams by name, for those that were looked up."""
        self.tail = Tail(_indexed(connection))
        self._path = path

    def catch_up(self, connection: sqlite3.Connection) -> bool:
        """Add the records that other processes appended, or that were there before this one opened.

        Returns whether there were any.
        """
        last = self.tail.last
        newest = connection.execute("SELECT max(position) FROM records").fetchone()[0] or 0
        if newest == last:
            return False
        if newest < last:
            raise CorruptLog(
                f"{self._path} ends at position {newest}, but position {last} was seen in it "
                "before: the file was replaced or cut; close the log and look"
            )
        with self.lock:
            if self.tail.size > 2 * MERGE_AT:
                older = self.tail
                self.tail = Tail(_indexed(connection))
                self.tail.succeed(older)
            rows = connection.execute(
                "SELECT position, stream, version, event_id, time, hash FROM records "
                "WHERE position > ? ORDER BY position",
                (self.tail.last,),
            )
            self.tail.add(map(_legible, rows))
        return True

    def merge(self, connection: sqlite3.Connection) -> int:
        """Bring the index tables up to the end of the tail; return its position."""
        tail, indexed = self.tail, _indexed(connection)
        connection.executemany(INSERT_RUN, tail.unindexed(indexed))
        connection.execute(
            "INSERT INTO record_ids SELECT event_id, stream, version FROM records "
            "WHERE position > ? AND position <= ? ORDER BY event_id, stream",
            (indexed, tail.last),
        )
        connection.execute("UPDATE progress SET position = ? WHERE name = 'indexed'", (tail.last,))
        return tail.last

    def stream_id(self, connection: sqlite3.Connection, stream: str) -> int | None:
        """Return a stream's number, or None if it has no record."""
        found = self.streams.get(stream)
        if found is None:
            row = connection.execute(
                "SELECT stream FROM streams WHERE name = ?", (stream,)
            ).fetchone()
            if row is None:
                return None
            found = self.streams[stream] = int(row[0])
        return found

    def end(self, connection: sqlite3.Connection, stream_id: int) -> End:
        """Return the version, hash, position and time of a stream's last record."""
        found = self.tail.ends.get(stream_id)
        if found is None:
            found = self.tail.ends.setdefault(stream_id, _indexed_end(connection, stream_id))
        return found

    def heads(self, connection: sqlite3.Connection, streams: Sequence[str]) -> list[Head]:
        """Return the heads of streams: in three statements, and nothing of them is kept."""
        numbers = dict(
            connection.execute(
                "SELECT name, stream FROM streams WHERE name IN (SELECT value FROM json_each(?))",
                (json.dumps(streams),),
            )
        )
        with self.lock:
            ends = {number: self.tail.ends.get(number) for number in numbers.values()}
        indexed = [number for number, end in ends.items() if end is None]
        ends.update(_indexed_ends(connection, indexed))
        return [Head._make(ends.get(numbers.get(name, 0)) or EMPTY_HEAD) for name in streams]

    def places(
        self, connection: sqlite3.Connection, stream_id: int, after: int, until: int
    ) -> list[int]:
        """Return the positions of the records with ``after < version <= until``, ascending."""
        with self.lock:
            first = self.tail.first_version(stream_id)
            in_tail = self.tail.positions(stream_id, after, until)
        indexed = until if first is None else min(until, first - 1)
        return _indexed_places(connection, stream_id, after, indexed) + in_tail

    def stored(
        self, connection: sqlite3.Connection, ids: Sequence[bytes]
    ) -> dict[tuple[int, bytes], int]:
        """Return the versions of the records with one of these event ids; usually there are none."""
        tail = self.tail
        found: dict[tuple[int, bytes], int] = {}
        if not tail.ids.keys().isdisjoint(ids):
            rows = connection.execute(
                "SELECT stream, event_id, version FROM records "
                "WHERE position IN (SELECT value FROM json_each(?))",
                (str(tail.places(ids)),),
            )
            found.update(_versions(rows))
        if not tail.begins_at:
            return found  # The index tables are still empty.
        for start in range(0, len(ids), 256):
            page = ids[start : start + 256]
            size = next(size for size in _FIND if size >= len(page))
            rows = connection.execute(_FIND[size], (*page, *[b""] * (size - len(page))))
            found.update(_versions(rows))
        return found


def _versions(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[int, bytes], int]]:
    for stream, event_id, version in rows:
        if not isinstance(version, int):
            raise CorruptLog(
                f"the record with the event id {event_id!r:.60} says version {version!r:.40}; "
                "`eventlog verify` and `eventlog doctor` name what else is wrong"
            )
        yield (stream, event_id), version


def _legible(row: tuple[Any, ...]) -> TailRow:
    """Return a row of `records` with a value of the right type in every column.

    Damage is reported when the record itself is read; here it must not hide the records of
    other streams.
    """
    position, stream, version, event_id, time, hash_ = row
    return (
        position,
        stream if isinstance(stream, int) else 0,
        version if isinstance(version, int) else 0,
        event_id if isinstance(event_id, bytes) else b"",
        time if isinstance(time, int) else 0,
        hash_ if isinstance(hash_, bytes) else b"",
    )


def _indexed_end(connection: sqlite3.Connection, stream_id: int) -> End:
    run = connection.execute(
        "SELECT positions FROM record_runs WHERE stream = ? ORDER BY first DESC LIMIT 1",
        (stream_id,),
    ).fetchone()
    if run is None:
        return EMPTY_HEAD
    last = _read_run(run[0])[-1]
    found: End | None = connection.execute(
        "SELECT version, hash, position, time FROM records WHERE position = ?", (last,)
    ).fetchone()
    if found is not None and tuple(map(type, found)) != (int, bytes, int, int):
        raise CorruptLog(
            f"the record at position {last} is damaged: its version, hash or time has the wrong "
            "type; `eventlog verify` names what else is wrong"
        )
    if found is None:
        raise CorruptLog(
            f"the table record_runs names position {last}, which has no record; `eventlog doctor` "
            "names what else is wrong"
        )
    return found


def _indexed_ends(connection: sqlite3.Connection, stream_ids: Sequence[int]) -> dict[int, End]:
    """Return the ends of streams by their numbers; one that looks damaged is read by itself."""
    runs = connection.execute(
        # Beside max() SQLite gives the columns of the row that has it.
        "SELECT stream, max(first), positions FROM record_runs "
        "WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream",
        (str(list(stream_ids)),),
    )
    last = {_read_run(positions)[-1]: stream for stream, _, positions in runs}
    rows = connection.execute(
        "SELECT stream, version, hash, position, time FROM records "
        "WHERE position IN (SELECT value FROM json_each(?))",
        (str(list(last)),),
    )
    found: dict[int, End] = {
        stream: (version, hash_, position, time)
        for stream, version, hash_, position, time in rows
        if (type(version), type(hash_), type(time)) == (int, bytes, int)
        and last[position] == stream
    }
    for stream in last.values():
        if stream not in found:
            found[stream] = _indexed_end(connection, stream)
    return found


def _indexed_places(
    connection: sqlite3.Connection, stream_id: int, after: int, until: int
) -> list[int]:
    found: list[int] = []
    if after >= until:
        return found
    runs = connection.execute(
        "SELECT first, positions FROM record_runs WHERE stream = ? AND first <= ? "
        "ORDER BY first DESC",
        (stream_id, until),
    )
    for first, positions in runs:
        if not isinstance(first, int):
            raise CorruptLog(
                f"the table record_runs begins a run at {first!r:.40}, which is not a version; "
                "`eventlog doctor` names what else is wrong"
            )
        found[:0] = _read_run(positions)[max(0, after + 1 - first) : until + 1 - first]
        if first <= after + 1:
            break
    runs.close()
    return found


def _read_run(positions: str) -> list[int]:
    try:
        found = from_json(positions)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, list) or set(map(type, cast("list[object]", found))) != {int}:
        raise CorruptLog(
            f"the table record_runs has {positions!r:.40} where an array of positions belongs; "
            "`eventlog doctor` names what else is wrong"
        )
    return cast("list[int]", found)


def _indexed(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT position FROM progress WHERE name = 'indexed'").fetchone()
    if row is None or not isinstance(row[0], int):
        raise CorruptLog(
            "the table progress does not say how far the log is indexed; restore the file from a "
            "backup"
        )
    return row[0]
