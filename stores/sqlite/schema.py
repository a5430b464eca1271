"""Create and migrate the tables of a SQLite store, through sqlite-utils.

A file is ours if its ``application_id`` says so; its ``user_version`` is the number of its schema.
Migrations run inside one ``BEGIN IMMEDIATE``: if several processes open a new file at once, one
creates the tables and the others find them.
"""

from __future__ import annotations

from importlib.resources import files
from itertools import groupby
from operator import itemgetter
from typing import Final

from eventlog.errors import UnsupportedStore
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite.tail import INSERT_RUN, run_rows

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "ensure_schema",
    "refuse_foreign",
    "refuse_older",
]

APPLICATION_ID: Final = 0x45764C67
"""``EvLg`` in ASCII."""

SCHEMA_VERSION: Final = 2


def ensure_schema(connection: sqlite3.Connection, path: str) -> None:
    """Migrate the file to the current schema; raise `UnsupportedStore` if it is not one of ours."""
    if _is_current(connection, path):
        return
    connection.execute("BEGIN IMMEDIATE").fetchall()
    try:
        if not _is_current(connection, path):
            _migrate(connection)
        connection.execute("COMMIT").fetchall()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK").fetchall()
        raise


def refuse_older(connection: sqlite3.Connection, path: str) -> None:
    """Raise `UnsupportedStore` for a file that would have to be changed before it can be read."""
    if not _is_current(connection, path):
        raise UnsupportedStore(
            f"{path} has an older schema, or no log in it; open a copy of it once without ?mode=ro"
        )


def refuse_foreign(connection: sqlite3.Connection, path: str) -> None:
    """Raise `UnsupportedStore` for a database of another program or a newer eventlog.

    Only reads: a file that is not ours must not be changed, not even its journal mode.
    """
    _is_current(connection, path)


def _is_current(connection: sqlite3.Connection, path: str) -> bool:
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        raise UnsupportedStore(
            f"{path} has schema {version}, and this eventlog knows up to {SCHEMA_VERSION}; upgrade it"
        )
    if application == APPLICATION_ID and version == SCHEMA_VERSION:
        return True
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (application or version or tables):
        raise UnsupportedStore(
            f"{path} is a database of another program; choose another file for the log"
        )
    return False


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Run the statements of a script, separated by empty lines, inside the transaction."""
    for statement in (
        files("eventlog.stores.sqlite").joinpath(script).read_text("utf-8").split(";\n\n")
    ):
        connection.execute(statement).fetchall()


def _migrate(connection: sqlite3.Connection) -> None:
    # Imported here: sqlite-utils takes longer to import than opening an existing file does.
    from sqlite_utils import Database, Migrations

    migrations = Migrations("eventlog")

    @migrations(name="1_log")
    def _(database: Database) -> None:
        _execute(database.conn, "1_log.sql")

    @migrations(name="2_runs")
    def _(database: Database) -> None:
        _execute(database.conn, "2_runs.sql")
        places = database.conn.execute(
            "SELECT stream, version, position FROM record_versions ORDER BY stream, version"
        )
        for stream, of_stream in groupby(places, key=itemgetter(0)):
            (_, first, position), *rest = of_stream
            positions = [position, *(position for _, _, position in rest)]
            database.conn.executemany(INSERT_RUN, run_rows(stream, first, positions))
        database.conn.execute("DROP TABLE record_versions").fetchall()

    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}").fetchall()
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}").fetchall()
