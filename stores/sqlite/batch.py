"""The appends of one SQLite transaction: checks, rows and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.errors import DuplicateEvent, VersionConflict
from eventlog.store import Appended, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.errors import EventLogError
    from eventlog.sqlite_driver import sqlite3
    from eventlog.store import Append, Position
    from eventlog.stores.sqlite.lookup import Lookup
    from eventlog.stores.sqlite.tail import End, TailRow

__all__ = ["Batch", "put_entries"]

_WIDTH: Final = 9
_ROW: Final = f"({', '.join('?' * _WIDTH)})"
_INSERT: Final = {
    size: "INSERT INTO records (stream, version, event_id, type, schema, time, hash, metadata, "
    f"data) VALUES {', '.join([_ROW] * size)}"
    for size in (64, 16, 1)
}
"""Rows per insert statement, in a few fixed sizes: a statement of 64 rows saves a fifth of the cost."""


class Batch:
    """The appends of one transaction: each sees the earlier ones and gets its own answer."""

    def __init__(
        self, lookup: Lookup, connection: sqlite3.Connection, appends: Sequence[Append]
    ) -> None:
        self._lookup = lookup
        self._connection = connection
        self._appends = appends
        self._ends: dict[int, End] = {}
        self._doubled = False
        self._stored: dict[tuple[int, bytes], int] = {}
        self.new_streams: dict[str, int] = {}
        self.rows: list[TailRow] = []
        self._values: list[Any] = []
        """The columns of all rows, row after row."""
        self.last = lookup.tail.last
        self.is_current = False
        """Whether the log ended where the tail does; if not, the answers may be wrong."""

    def run(self) -> list[Appended | EventLogError]:
        ids = [record.event_id for append in self._appends for record in append.records]
        self._stored = self._lookup.stored(self._connection, ids)
        self._doubled = len(set(ids)) < len(ids)
        if self._stored or self._doubled:
            # Rare enough for the slow, exact check.
            answers = [self._repeated(append) or self._add(append) for append in self._appends]
        else:
            answers = [self._add(append) for append in self._appends]
        self.is_current = self._insert() == self.last
        return answers

    def _add(self, append: Append) -> Appended | EventLogError:
        stream, expected, records, entries, previous = append
        stream_id = self._lookup.streams.get(stream) or self._stream_id(stream)
        end = self._ends.get(stream_id) or self._lookup.end(self._connection, stream_id)
        actual, last, _, _ = end
        if actual != expected or (previous is not None and previous != last):
            return VersionConflict(stream, expected, actual)
        position, rows, values = self.last, self.rows, self._values
        for _, version, _, event_id, type_, schema, time, data, metadata, hash_ in records:
            position += 1
            rows.append((position, stream_id, version, event_id, time, hash_))
            text, about = data.decode(), metadata.decode()
            values += (stream_id, version, event_id, type_, schema, time, hash_, about, text)
        first, self.last = self.last + 1, position
        _, _, version, _, time, hash_ = rows[-1]
        self._ends[stream_id] = (version, hash_, position, time)
        if entries:
            put_entries(self._connection, entries)
        positions = cast("Sequence[Position]", range(first, position + 1))
        return Appended(tuple(range(expected + 1, expected + 1 + len(records))), tuple(positions))

    def _insert(self) -> int | None:
        """Insert the rows; return the position that SQLite gave to the last one."""
        values, done, last = self._values, 0, None
        for size in _INSERT:
            width = size * _WIDTH
            while len(values) - done >= width:
                some = values[done : done + width]
                last = self._connection.execute(_INSERT[size], some).lastrowid
                done += width
        return last

    def _stream_id(self, stream: str) -> int:
        # New streams come first: the store must not remember ids that may be rolled back.
        known = self.new_streams.get(stream) or self._lookup.stream_id(self._connection, stream)
        if known is not None:
            return known
        cursor = self._connection.execute("INSERT INTO streams (name) VALUES (?)", (stream,))
        created = self.new_streams[stream] = int(cursor.lastrowid or 0)
        return created

    def _repeated(self, append: Append) -> Appended | EventLogError | None:
        """Answer an append with ids that are already stored: a replay if all are, in order; else refuse."""
        ids = [record.event_id for record in append.records]
        stream_id = self._stream_id(append.stream)
        rows = self.rows if self._doubled else []
        staged = {row[3]: row[2] for row in rows if row[1] == stream_id}
        versions = [self._stored.get((stream_id, id_)) or staged.get(id_) for id_ in ids]
        if any(versions):
            return repeated(append, versions)
        if len(set(ids)) < len(ids):
            return DuplicateEvent(append.stream, "one batch has an event id twice")
        return None


def put_entries(
    connection: sqlite3.Connection, entries: Sequence[tuple[str, bytes | None]]
) -> None:
    """Store or remove index entries."""
    removed = [(key,) for key, value in entries if value is None]
    stored = [(key, value.decode()) for key, value in entries if value is not None]
    if removed:
        connection.executemany("DELETE FROM entries WHERE key = ?", removed)
    if stored:
        connection.executemany(
            "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE "
            "SET value = excluded.value",
            stored,
        )
