"""Check a SQLite log: the file itself, and the index tables against the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.store import Finding

if TYPE_CHECKING:
    from eventlog.sqlite_driver import sqlite3

__all__ = ["check_tables"]

_PLACES: Final = (
    "WITH places AS MATERIALIZED (SELECT stream, CAST(first + key AS INTEGER) AS version, "
    "CAST(value AS INTEGER) AS position "
    "FROM record_runs, json_each(CASE WHEN json_valid(positions) THEN positions ELSE '[]' END)) "
)
"""The content of the runs, a row per record. Without the casts the columns would have no affinity, so
SQLite would build no index for the joins and compare each record with all others."""

_INDEX_CHECKS: Final = (
    # Records that are missing in the index tables, or have another place there.
    (
        f"{_PLACES} SELECT count(*) FROM records AS r LEFT JOIN places AS p "
        "ON p.stream = r.stream AND p.version = r.version "
        "LEFT JOIN record_ids AS i ON i.event_id = r.event_id AND i.stream = r.stream "
        "WHERE r.position <= (SELECT position FROM progress WHERE name = 'indexed') "
        "AND (p.position IS NOT r.position OR i.version IS NOT r.version)"
    ),
    # Entries for records that do not exist, or that are different.
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
    """Return the findings about the file and its index tables."""
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
