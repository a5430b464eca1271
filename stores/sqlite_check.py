"""Is a SQLite log sound: the file itself, and the index tables against the records?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.store import Finding

if TYPE_CHECKING:
    import sqlite3

__all__ = ["check_tables"]

_INDEX_CHECKS: Final = (
    # Records that the index tables should hold, and do not, or at another place.
    (
        "SELECT count(*) FROM records AS r LEFT JOIN record_versions AS v "
        "ON v.stream = r.stream AND v.version = r.version "
        "LEFT JOIN record_ids AS i ON i.event_id = r.event_id AND i.stream = r.stream "
        "WHERE r.position <= (SELECT position FROM progress WHERE name = 'indexed') "
        "AND (v.position IS NOT r.position OR i.version IS NOT r.version)"
    ),
    # Entries of records that do not exist, or are others.
    (
        "SELECT count(*) FROM record_versions AS v LEFT JOIN records AS r ON r.position = v.position "
        "WHERE r.stream IS NOT v.stream OR r.version IS NOT v.version"
    ),
    (
        "SELECT count(*) FROM record_ids AS i LEFT JOIN record_versions AS v "
        "ON v.stream = i.stream AND v.version = i.version "
        "LEFT JOIN records AS r ON r.position = v.position WHERE r.event_id IS NOT i.event_id"
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
