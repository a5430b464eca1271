"""The appends of one transaction of a SQLite store: the checks, the rows, the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from eventlog.errors import DuplicateEvent, VersionConflict
from eventlog.records import Appended, Position

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from eventlog.errors import EventLogError
    from eventlog.records import Append
    from eventlog.stores.sqlite_lookup import Lookup
    from eventlog.stores.sqlite_tail import TailRow

__all__ = ["Batch", "put_entries"]

_INSERT: Final = (
    "INSERT INTO records (position, stream, version, event_id, type, schema, time, hash, "
    "metadata, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Batch:
    """The appends of one transaction, each answered by itself, each seeing those before it."""

    def __init__(
        self, lookup: Lookup, connection: sqlite3.Connection, appends: Sequence[Append]
    ) -> None:
        self._lookup = lookup
        self._connection = connection
        self._appends = appends
        self._shared = len(appends) > 1
        self._ends: dict[int, tuple[int, bytes]] = {}
        self._staged: dict[int, dict[bytes, int]] = {}
        self.new_streams: dict[str, int] = {}
        self.rows: list[TailRow] = []
        self.last = lookup.tail.last

    def run(self) -> list[Appended | EventLogError]:
        known, unknown = self._lookup.streams, self._stream_id
        wanted = [
            (
                known.get(append.stream) or unknown(append.stream),
                [record.event_id for record in append.records],
            )
            for append in self._appends
        ]
        stored = self._lookup.stored(self._connection, wanted)
        staged = self._staged
        answers: list[Appended | EventLogError] = []
        for (stream_id, ids), append in zip(wanted, self._appends, strict=True):
            earlier = staged.get(stream_id)
            if stored or (earlier is not None and not earlier.keys().isdisjoint(ids)):
                # Rare enough to look closely.
                versions = [stored.get((stream_id, id_)) or (earlier or {}).get(id_) for id_ in ids]
                if any(versions):
                    answers.append(self._repeated(append, versions))
                    continue
            if len(ids) > 1 and len(set(ids)) < len(ids):
                answers.append(DuplicateEvent(append.stream, "one batch has an event id twice"))
            else:
                answers.append(self._add(stream_id, append))
        if len(self.rows) == 1:
            self._connection.execute(_INSERT, self.rows[0])
        elif self.rows:
            self._connection.executemany(_INSERT, self.rows)
        return answers

    def _stream_id(self, stream: str) -> int:
        # New ones are looked at first: the store must not remember ids that may be rolled back.
        known = self.new_streams.get(stream) or self._lookup.stream_id(self._connection, stream)
        if known is not None:
            return known
        cursor = self._connection.execute("INSERT INTO streams (name) VALUES (?)", (stream,))
        created = self.new_streams[stream] = int(cursor.lastrowid or 0)
        return created

    def _add(self, stream_id: int, append: Append) -> Appended | EventLogError:
        stream, expected, records, entries, previous = append
        end = self._ends.get(stream_id)
        if end is None:
            end = self._lookup.head(self._connection, stream_id)[:2]
        actual, last = end
        if actual != expected or (previous is not None and previous != last):
            return VersionConflict(stream, expected, actual)
        version = actual
        staged = self._staged.setdefault(stream_id, {}) if self._shared else {}
        position = self.last
        versions: list[int] = []
        positions: list[Position] = []
        for record in records:
            _, version, _, event_id, type_, schema, time, data, metadata, hash_ = record
            position += 1
            self.rows.append(
                (
                    position,
                    stream_id,
                    version,
                    event_id,
                    type_,
                    schema,
                    time,
                    hash_,
                    metadata.decode(),
                    data.decode(),
                )
            )
            staged[event_id] = version
            versions.append(version)
            positions.append(Position(position))
        self.last = position
        self._ends[stream_id] = (version, records[-1].hash)
        if entries:
            put_entries(self._connection, entries)
        return Appended(tuple(versions), tuple(positions))

    @staticmethod
    def _repeated(append: Append, versions: Sequence[int | None]) -> Appended | EventLogError:
        """Answer an append of which ids are stored already: all of them in order, or refuse."""
        first = versions[0]
        if first is None or list(versions) != list(range(first, first + len(versions))):
            return DuplicateEvent(
                append.stream,
                f"some of the {len(versions)} event ids are stored already, or in another order; "
                "repeat the whole batch as it was, or leave out what is stored",
            )
        return Appended(tuple(cast("Sequence[int]", versions)), (), replayed=True)


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
