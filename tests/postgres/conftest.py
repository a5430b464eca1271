"""Shared by the tests of the PostgreSQL store: a log on each version, and plain connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from eventlog.engine.opening import open_store
from eventlog.store import Store

Query = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    """An empty log."""
    store = open_store(postgres_url)
    yield store
    store.close()


@pytest.fixture
def schema(postgres_url: str) -> str:
    """The schema of the test's log."""
    return parse_qs(urlsplit(postgres_url).query)["schema"][0]


@pytest.fixture
def plain(postgres: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection past the store, in autocommit mode."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ask(plain: psycopg.Connection[tuple[object, ...]], schema: str) -> Query:
    """Run a statement past the store; ``{schema}`` stands for the log's."""

    def ask(statement: str, *arguments: object) -> list[tuple[object, ...]]:
        text = statement.replace("{schema}", f'"{schema}"').encode()
        cursor = plain.execute(text, arguments or None)
        return cursor.fetchall() if cursor.description else []

    return ask
