"""The SQLite store keeps the contract of a store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from eventlog.sqlite_driver import sqlite3
from eventlog.store import Store
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.conformance import (
    ScaleConformance,
    SharedConformance,
    StoreConformance,
)


class TestSQLiteStore(StoreConformance, SharedConformance, ScaleConformance):
    def make_store(self, folder: Path) -> SQLiteStore:
        return SQLiteStore(folder / "log.db")

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes]:
        """Read with plain sqlite3, while the store is open."""
        with closing(sqlite3.connect(folder / "log.db")) as connection:
            rows = connection.execute(
                "SELECT CAST(r.data AS BLOB) FROM records r JOIN streams s USING (stream) "
                "WHERE s.name = ? ORDER BY version",
                (stream,),
            ).fetchall()
        return [data for (data,) in rows]
