"""Create and migrate the tables of a PostgreSQL store, and refuse what is not ours.

A log has a schema to itself. Its migrations are the files ``<number>_<name>.sql`` beside this module;
the table `migrations` lists those that were applied, and marks a schema as one of ours. A
transaction-level advisory lock makes processes that open a new log at the same moment take turns: one
creates it, the others find it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from psycopg import sql

from eventlog.errors import InvalidArgument, StoreUnavailable, UnsupportedStore

if TYPE_CHECKING:
    from typing import Any

    from psycopg import Connection

__all__ = [
    "Statements",
    "applied_migrations",
    "ensure_schema",
    "newest_migration",
    "require_schema",
]

LOCK: Final = 0x45764C67
"""The first half of the advisory lock's key, ``EvLg`` in ASCII; the second is the schema's."""

_FILE: Final = re.compile(r"(\d+)_(\w+)\.sql")


class Statements(dict[str, bytes]):
    """Statements by their text, with the log's schema in place of ``{schema}``."""

    def __init__(self, schema: str) -> None:
        super().__init__()
        if not 1 <= len(schema.encode(errors="replace")) <= 63 or any(
            part in schema for part in ("%", "$$", "\0")
        ):
            raise InvalidArgument(
                f"schema={schema!r}: take a name of 1 to 63 bytes without %, $$ and NUL"
            )
        self.schema = schema
        self.quoted = sql.Identifier(schema).as_string(None)

    def __missing__(self, text: str) -> bytes:
        return self.setdefault(text, text.replace("{schema}", self.quoted).encode())


def ensure_schema(connection: Connection[Any], statements: Statements, where: str) -> None:
    """Migrate the log to the current schema; raise `UnsupportedStore` if it is not one of ours."""
    if _pending(connection, statements, where):
        with connection.transaction():
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK, statements.schema)
            )
            for number, name, text in _pending(connection, statements, where):
                if number == 1:
                    _create(connection, statements)
                connection.execute(statements[text])
                connection.execute(
                    statements["INSERT INTO {schema}.migrations (number, name) VALUES (%s, %s)"],
                    (number, name),
                )
    _keep_ascending(connection, statements)


def require_schema(connection: Connection[Any], statements: Statements, where: str) -> None:
    """Raise `StoreUnavailable` if there is no log, and `UnsupportedStore` for one of another schema."""
    applied = applied_migrations(connection, statements, where)
    if not applied:
        raise StoreUnavailable(
            f"{where}: there is no log in the schema {statements.schema!r}; check ?schema=NAME"
        )
    if _pending(connection, statements, where):
        raise UnsupportedStore(
            f"{where} has schema {applied}, and this eventlog reads {newest_migration()}; open it "
            "once without mode=ro, which migrates it"
        )


def newest_migration() -> int:
    """Return the number of the newest migration that this library knows."""
    return max(number for number, _, _ in _migrations())


def _create(connection: Connection[Any], statements: Statements) -> None:
    # IF NOT EXISTS would need the right to create schemas even if an administrator made it.
    known = "SELECT FROM pg_namespace WHERE nspname = %s"
    if connection.execute(known, (statements.schema,)).fetchone() is None:
        connection.execute(statements["CREATE SCHEMA {schema}"])
    connection.execute(
        statements[
            "CREATE TABLE {schema}.migrations (number integer PRIMARY KEY, name text NOT NULL, "
            "applied timestamptz NOT NULL DEFAULT now())"
        ]
    )


def _migrations() -> list[tuple[int, str, str]]:
    """Return the migrations of this library: number, name and text, ascending."""
    found: list[tuple[int, str, str]] = []
    for file in files("eventlog.stores.postgres").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append((int(match[1]), match[2], file.read_text("utf-8")))
    return sorted(found)


def _pending(
    connection: Connection[Any], statements: Statements, where: str
) -> list[tuple[int, str, str]]:
    """Return the migrations that are still to be applied."""
    applied = applied_migrations(connection, statements, where)
    known = _migrations()
    if applied > known[-1][0]:
        raise UnsupportedStore(
            f"{where} has schema {applied}, and this eventlog knows up to {known[-1][0]}; upgrade it"
        )
    return [migration for migration in known if migration[0] > applied]


def applied_migrations(connection: Connection[Any], statements: Statements, where: str) -> int:
    """Return the number of the newest migration in the schema, or 0 for an empty one.

    Raises `UnsupportedStore` if the schema has tables that are not an eventlog's.
    """
    tables = {
        str(name)
        for (name,) in connection.execute(
            "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s",
            (statements.schema,),
        )
    }
    if not tables:
        return 0
    if not {"migrations", "epoch", "streams", "records"} <= tables:
        raise UnsupportedStore(
            f"{where}: the schema {statements.schema!r} holds {min(tables)!r} and others that are "
            "not an eventlog's; choose another schema for the log with ?schema=NAME"
        )
    row = connection.execute(
        statements["SELECT coalesce(max(number), 0) FROM {schema}.migrations"]
    ).fetchone()
    return int(row[0]) if row else 0


def _keep_ascending(connection: Connection[Any], statements: Statements) -> None:
    """Shift new positions so that they come after the existing ones.

    A position begins with the number of its transaction. In a dump that is restored into a younger
    cluster, these numbers are greater than those the cluster will assign for a long time.
    """
    behind = statements[
        "SELECT (SELECT max(position) FROM {schema}.records) >= "
        "{schema}.first_position(pg_snapshot_xmax(pg_current_snapshot()))"
    ]
    if connection.execute(behind).fetchone() == (True,):
        with connection.transaction():
            # Every append reads the shift, so this waits for running ones and blocks new ones.
            connection.execute(statements["LOCK TABLE {schema}.epoch"])
            connection.execute(
                statements[
                    "UPDATE {schema}.epoch SET shift = "
                    "(SELECT max(position) >> 20 FROM {schema}.records)"
                ]
            )
