"""Check a PostgreSQL store, and read its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.store import Finding
from eventlog.stores.postgres.connections import SETTINGS
from eventlog.stores.postgres.schema import newest_migration

if TYPE_CHECKING:
    from psycopg import Connection

    from eventlog.stores.postgres.schema import Statements

__all__ = ["findings", "server_settings"]

_HEADS: Final = """
SELECT coalesce(s.name, 'number ' || r.stream), r.newest,
       concat_ws(', ',
           CASE WHEN r.records <> r.newest THEN 'versions are missing' END,
           CASE WHEN r.disordered THEN 'positions do not ascend with versions' END,
           CASE WHEN (s.version, s.hash, s.position, s.time)
               IS DISTINCT FROM (l.version, l.hash, l.position, l.time)
               THEN 'the head is not that of the last record' END)
FROM (
    SELECT stream, count(*) AS records, max(version) AS newest, bool_or(position < before)
        AS disordered
    FROM (
        SELECT stream, version, position,
               lag(position) OVER (PARTITION BY stream ORDER BY version) AS before
        FROM {schema}.records
    ) AS ordered GROUP BY stream
) AS r
JOIN {schema}.records AS l ON l.stream = r.stream AND l.version = r.newest
FULL JOIN {schema}.streams AS s ON s.stream = r.stream
WHERE coalesce(r.records, 0) <> coalesce(r.newest, 0) OR r.disordered
    OR (s.version, s.hash, s.position, s.time)
        IS DISTINCT FROM (l.version, l.hash, l.position, l.time) AND coalesce(s.version, 1) > 0
"""
"""Streams whose records and head do not agree. A stream may be empty: its first append was refused."""

_INDEXES: Final = """
SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND NOT (i.indisvalid AND i.indisready)
"""
_CHECKSUMS: Final = """
SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()
"""
_FEED: Final = """
SELECT (SELECT count(*) FROM {schema}.records WHERE position >= (SELECT {schema}.horizon())),
       pg_snapshot_xmin(pg_current_snapshot())::text,
       (SELECT format('process %s (%s, %s, open for %s s)', pid, usename, state,
                      round(extract(epoch FROM clock_timestamp() - xact_start)))
        FROM pg_stat_activity
        WHERE backend_xid = pg_snapshot_xmin(pg_current_snapshot())::xid LIMIT 1)
"""
_SERVER: Final = """
SELECT current_setting('server_version'), current_database(),
       current_setting('synchronous_standby_names'), current_setting('data_checksums')
"""

FEED_IS_WHOLE: Final = "nothing is held back"


def findings(connection: Connection[Any], statements: Statements) -> list[Finding]:
    """Compare heads with records, and ask the engine for broken indexes and pages."""
    found = [
        Finding(str(stream), version, "index", f"{problem} of the stream")
        for stream, version, problem in connection.execute(statements[_HEADS])
    ]
    for (name,) in connection.execute(_INDEXES, (statements.schema,)):
        found.append(Finding(None, None, "storage", f"the index {name} is invalid; REINDEX it"))
    row = connection.execute(_CHECKSUMS).fetchone()
    if row and row[0]:
        found.append(
            Finding(None, None, "storage", f"{row[0]} pages of this database failed their checksum")
        )
    return found


def server_settings(connection: Connection[Any], statements: Statements) -> dict[str, str]:
    """Return the server's settings, and how far the feed is behind."""
    version, database, standbys, checksums = connection.execute(_SERVER).fetchone() or ("",) * 4
    settings = {
        "postgresql": version,
        "server": f"{connection.info.host}:{connection.info.port}",
        "database": database,
        "schema": f"{statements.schema}, migration {newest_migration()}",
    }
    for name in SETTINGS:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
        settings[name] = row[0] if row else ""
    settings["synchronous_standby_names"] = standbys or "none"
    settings["data_checksums"] = checksums
    settings["feed"] = _feed(connection, statements)
    return settings


def _feed(connection: Connection[Any], statements: Statements) -> str:
    hidden, transaction, who = connection.execute(statements[_FEED]).fetchone() or (0, "", None)
    if not hidden:
        return FEED_IS_WHOLE
    return (
        f"{hidden} records are held back by transaction {transaction} of "
        f"{who or 'a process or prepared transaction that this role may not see'}"
    )
