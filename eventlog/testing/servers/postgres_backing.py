"""A log on PostgreSQL as storage for processes that crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from eventlog.engine.opening import open_store
from eventlog.stores.postgres.connections import split_conninfo
from eventlog.stores.postgres.schema import Statements
from eventlog.testing.crashing import CrashingStore, Steps

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["PostgresBacking"]

_TABLES: Final = ("streams", "records", "entries", "blobs")


class PostgresBacking:
    """A schema of a database as storage, emptied first; faults occur between a store's calls.

    `eventlog.testing.servers.wire` covers faults between the messages of one call.
    """

    def __init__(self, database: str, schema: str) -> None:
        self._database = database
        self._schema = schema
        self._watching = self._connect()
        self._opened: dict[Store, Store] = {}
        self._run(*(f"TRUNCATE {{schema}}.{table}" for table in _TABLES))

    def open(self, steps: Steps) -> Store:
        store = self._connect()
        stepped = CrashingStore(store, steps)
        self._opened[stepped] = store
        return stepped

    def watch(self) -> Store:
        return self._watching

    def kill(self, store: Store) -> None:
        """Close the connections: the server has nothing of the process but what it stored."""
        self._opened.pop(store).close()

    def image(self) -> PostgresBacking:
        copied = PostgresBacking(self._database, f"{self._schema}-image")
        source = Statements(self._schema).quoted
        copied._run(
            *(
                f"INSERT INTO {{schema}}.{table} OVERRIDING SYSTEM VALUE "
                f"SELECT * FROM {source}.{table}"
                for table in _TABLES
            ),
            "SELECT setval('{schema}.streams_stream_seq', max(stream)) FROM {schema}.streams",
        )
        return copied

    def close(self) -> None:
        self._watching.close()

    def _connect(self) -> Store:
        join = "&" if "?" in self._database else "?"
        return open_store(f"{self._database}{join}schema={self._schema}")

    def _run(self, *statements: str) -> None:
        rendered = Statements(self._schema)
        with psycopg.connect(split_conninfo(self._database)[0], autocommit=True) as connection:
            for statement in statements:
                connection.execute(rendered[statement])
