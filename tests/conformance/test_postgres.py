"""The PostgreSQL store keeps the contract of a store, on the oldest and the newest server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from eventlog.engine.opening import open_store
from eventlog.store import Store
from eventlog.stores.postgres import PostgresStore
from eventlog.testing.conformance import (
    ScaleConformance,
    SharedConformance,
    StoreConformance,
)
from tests.shares import rounds


class TestPostgresStore(StoreConformance, SharedConformance, ScaleConformance):
    one_range_in = rounds(7, 1)
    programs = rounds(20, 60)

    @pytest.fixture(autouse=True)
    def _database(self, postgres: str, postgres_schema: Callable[[str, object], str]) -> None:
        self.database, self.in_schema = postgres, postgres_schema

    def make_store(self, folder: Path) -> Store:
        return open_store(self.in_schema(self.database, folder))

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes]:
        """Read with plain psycopg, while the store is open."""
        assert isinstance(store, PostgresStore)
        schema = store.schema
        with psycopg.connect(self.database) as connection:
            rows = connection.execute(
                f'SELECT data FROM "{schema}".records JOIN "{schema}".streams USING (stream) '
                "WHERE name = %s ORDER BY records.version".encode(),
                (stream,),
            ).fetchall()
        return [data for (data,) in rows]
