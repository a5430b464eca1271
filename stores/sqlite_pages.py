"""Pages of records as they are read from a SQLite log: of one stream, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.records import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from eventlog.stores.sqlite_lookup import Lookup

__all__ = ["log_page", "stream_page"]

_COLUMNS: Final = (
    "version, position, event_id, type, schema, time, CAST(data AS BLOB), "
    "CAST(metadata AS BLOB), hash"
)


def stream_page(
    connection: sqlite3.Connection,
    lookup: Lookup,
    stream: str,
    after: int,
    until: int | None,
    size: int,
    *,
    reverse: bool,
) -> list[Record]:
    """Read the first, or the last, ``size`` records with ``after < version <= until``."""
    stream_id = lookup.stream_id(connection, stream)
    if stream_id is None:
        return []
    with lookup.lock:
        last = lookup.end(connection, stream_id)[0]
        until = last if until is None else min(until, last)
        first = lookup.tail.first_version(stream_id)
        tail = lookup.tail.positions(stream_id, after, until)
    indexed = until if first is None else min(until, first - 1)
    if reverse:
        rows = _tail_rows(connection, stream, tail[-size:])[::-1]
        if len(rows) < size and indexed > after:
            left = size - len(rows)
            rows += _indexed_rows(connection, stream, stream_id, after, indexed, left, "DESC")
    else:
        rows = []
        if indexed > after:
            rows = _indexed_rows(connection, stream, stream_id, after, indexed, size, "ASC")
        if len(rows) < size:
            rows += _tail_rows(connection, stream, tail[: size - len(rows)])
    return list(map(Record._make, rows))


def log_page(
    connection: sqlite3.Connection, after: int, types: Sequence[str], size: int
) -> list[Record]:
    """Read the first ``size`` records of all streams behind a position, of some types if given."""
    only = f"AND type IN ({','.join('?' * len(types))}) " if types else ""
    rows = connection.execute(
        f"SELECT name, {_COLUMNS} FROM records JOIN streams USING (stream) "
        f"WHERE position > ? {only}ORDER BY position LIMIT ?",
        (after, *types, size),
    ).fetchall()
    return list(map(Record._make, rows))


def _indexed_rows(
    connection: sqlite3.Connection,
    stream: str,
    stream_id: int,
    after: int,
    until: int,
    limit: int,
    order: str,
) -> list[Any]:
    columns = _COLUMNS.replace("version, position", "r.version, r.position")
    return connection.execute(
        f"SELECT ?, {columns} FROM record_versions AS v "
        "JOIN records AS r ON r.position = v.position "
        "WHERE v.stream = ? AND v.version > ? AND v.version <= ? "
        f"ORDER BY v.version {order} LIMIT ?",
        (stream, stream_id, after, until, limit),
    ).fetchall()


def _tail_rows(connection: sqlite3.Connection, stream: str, positions: Sequence[int]) -> list[Any]:
    if not positions:
        return []
    return connection.execute(
        f"SELECT ?, {_COLUMNS} FROM records WHERE position IN "
        "(SELECT value FROM json_each(?)) ORDER BY position",
        (stream, str(list(positions))),
    ).fetchall()
