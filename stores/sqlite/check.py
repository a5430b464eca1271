"""Is a SQLite log sound: the file itself, and the index tables against the records?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.store import Finding

if TYPE_CHECKING:
    import sqlite3

__all__ = ["check_tables"]

_PLACES: Final = (
    "WITH places AS MATERIALIZED (SELECT stream, CAST(first + key AS INTEGER) AS version, "
    "CAST(value AS INTEGER) AS position "
    "FROM record_runs, json_each(CASE WHEN json_valid(positions) THEN positions ELSE '[]' END)) "
)
"""What the runs say, a row per record. Without the casts the columns would have no affinity, SQLite
would not index them for the joins, and each record would be held against all the others."""

_INDEX_CHECKS: Final = (
    # Records that the index tables should hold, and do not, or at another place.
    (
        f"{_PLACES} SELECT count(*) FROM records AS r LEFT JOIN places AS p "
        "ON p.stream = r.stream AND p.version = r.version "
        "LEFT JOIN record_ids AS i ON i.event_id = r.event_id AND i.stream = r.stream "
        "WHERE r.position <= (SELECT position FROM progress WHERE name = 'indexed') "
        "AND (p.position IS NOT r.position OR i.version IS NOT r.version)"
    ),
    # Entries of records that do not exist, or are others.
    (
        f"{_PLACES} SELECT count(*) FROM places AS p LEFT JOIN records AS r "
        "ON r.position = p.position "
        "WHERE r.stream IS NOT p.stream OR r.version IS NOT p.version"
    ),
    (
        f"{_PLACES} SELECT count(*) FROM record_ids AS i LEFT JOIN places AS p "
        "ON p.stream = i.stream AND p.version = i.version "
        "LEFT JOIN records AS r ON r.position = p.position WHERE r.event_id IS NOT i.event_id"
    ),
)


def check_tables(connection: sqlite3.Connection) -> list[Finding]:
    """Return what is wrong with the file and with the index tables."""
    findings = [
        Finding(None, None, "storage", str(line))
        for (line,) in connection.execute("PRAGMA quick_check").fetchall()
        if line != "ok"
    ]
    wrong = sum(connection.execute(query).fetchone()[0] for query in _INDEX_CHECKS)
    if wrong:
        findings.append(
            Finding(None, None, "index", f"{wrong} entries are wrong in the index tables")
        )
    return findings
