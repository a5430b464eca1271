"""Read pages of records from a SQLite log: of one stream, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.store import sound_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.sqlite_driver import sqlite3
    from eventlog.store import Record
    from eventlog.stores.sqlite.lookup import Lookup

__all__ = ["Bounds", "log_page", "stream_page"]

_SPAN: Final = 4
"""How many pages of records are searched for one page of records of some types. SQLite passes over the
others in a tenth of the time that reading them would take."""

Bounds = tuple[int, int | None]
"""The versions to read, ``after < version <= until``; None means up to the last."""

_COLUMNS: Final = (
    "version, position, event_id, type, schema, time, CAST(data AS BLOB), "
    "CAST(metadata AS BLOB), hash"
)


def stream_page(
    connection: sqlite3.Connection,
    lookup: Lookup,
    stream: str,
    bounds: Bounds,
    size: int,
    *,
    reverse: bool,
    types: Sequence[str] = (),
) -> tuple[list[Record], Bounds | None]:
    """Read the first, or the last, ``size`` records within bounds; of some types if given.

    Returns them and the bounds of the rest, or None if nothing is left.
    """
    after, until = bounds
    stream_id = lookup.stream_id(connection, stream)
    if stream_id is None:
        return [], None
    with lookup.lock:
        last = lookup.end(connection, stream_id)[0]
    until = last if until is None else min(until, last)
    span = size * _SPAN if types else size
    low, high = (max(after, until - span), until) if reverse else (after, min(until, after + span))
    places = lookup.places(connection, stream_id, low, high)
    rows = _at(connection, stream, places, types, size, reverse=reverse)
    records = sound_records(rows)
    if len(records) < len(rows) or (types and len(rows) == size):
        # Reading goes on behind the last record; if damage follows it, that raises.
        before = low + places.index(records[-1].position)
        left = (after, before) if reverse else (before + 1, until)
    else:
        left = (after, low) if reverse else (high, until)
    return records, left if left[0] < left[1] else None


def _at(
    connection: sqlite3.Connection,
    stream: str,
    places: list[int],
    types: Sequence[str],
    size: int,
    *,
    reverse: bool,
) -> list[tuple[Any, ...]]:
    """Read the rows at places, ascending or descending; the first ``size`` of some types if given."""
    if not places:
        return []
    only = _only(types)
    if places[-1] - places[0] == len(places) - 1:
        rows = connection.execute(
            f"SELECT ?, {_COLUMNS} FROM records WHERE position BETWEEN ? AND ? {only}"
            f"ORDER BY position {'DESC' if reverse else 'ASC'} LIMIT ?",
            (stream, places[0], places[-1], *types, size),
        )
    else:
        # The order is that of the array: SQLite never reorders a CROSS JOIN.
        rows = connection.execute(
            f"SELECT ?, {_COLUMNS} FROM (SELECT value AS place FROM json_each(?)) "
            f"CROSS JOIN records ON position = place {only} LIMIT ?",
            (stream, str(places[::-1] if reverse else places), *types, size),
        )
    return rows.fetchall()


def _only(types: Sequence[str]) -> str:
    """Return the condition that a record is of one of these types; there is none without types."""
    return f"AND type IN ({','.join('?' * len(types))}) " if types else ""


def log_page(
    connection: sqlite3.Connection, after: int, types: Sequence[str], size: int
) -> tuple[list[Record], bool]:
    """Read the first ``size`` records of all streams after a position, of some types if given.

    Returns them, and whether more may follow. If damage cut the page short, reading on raises.
    """
    rows = connection.execute(
        f"SELECT name, {_COLUMNS} FROM records JOIN streams USING (stream) "
        f"WHERE position > ? {_only(types)}ORDER BY position LIMIT ?",
        (after, *types, size),
    ).fetchall()
    records = sound_records(rows)
    return records, len(rows) == size or len(records) < len(rows)
