"""Pages of records of some types: SQLite passes over the others, and no record is missed or read twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from eventlog import CorruptLog
from eventlog.records import Record
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.conformance import draft

LENGTH, PAGE = 90, 4
TYPES = ("acme.wanted", "acme.too", "acme.other")


@pytest.fixture(params=["alone", "among others"])
def store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[SQLiteStore]:
    """A session with dense and sparse stretches of each type; beside another its places have gaps."""
    monkeypatch.setattr("eventlog.store.PAGE_SIZE", PAGE)
    drawn = random.Random(20)
    store = SQLiteStore(tmp_path / "log.db", synchronous="off")
    for version in range(LENGTH):
        weights = (9, 1, 1) if version // 30 == 1 else (1, 1, 9)
        (type_,) = drawn.choices(TYPES, weights)
        store.append([draft("s", 1, expected=version, type=type_)])
        if request.param == "among others":
            store.append([draft("t", 1, expected=version, type=TYPES[0])])
    yield store
    store.close()


def test_pages_of_some_types_are_those_of_all_records_without_the_others(
    store: SQLiteStore,
) -> None:
    everything = list(store.read("s"))
    assert len(everything) == LENGTH
    bounds = product((0, 29, 61), (None, 30, LENGTH), (None, 1, 2 * PAGE), (False, True))
    for (after, until, limit, reverse), types in product(bounds, (TYPES[:1], TYPES[:2], TYPES)):
        within = [
            record
            for record in everything
            if after < record.version <= (until or LENGTH) and record.type in types
        ]
        expected = (within[::-1] if reverse else within)[:limit]
        found = store.read("s", after=after, until=until, limit=limit, reverse=reverse, types=types)
        assert list(found) == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_what_comes_before_damage_is_read_and_then_the_damage_is_named(
    store: SQLiteStore, reverse: bool
) -> None:
    wanted = [record for record in store.read("s") if record.type == TYPES[0]]
    for place, record in enumerate(wanted):
        _set_time(store, record, "damaged")
        reading = store.read("s", reverse=reverse, types=TYPES[:1])
        expected = wanted[:place:-1] if reverse else wanted[:place]
        assert [next(reading) for _ in expected] == expected
        with pytest.raises(CorruptLog, match=f"version {record.version}:"):
            next(reading)
        _set_time(store, record, record.time)


def _set_time(store: SQLiteStore, record: Record, time: object) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as raw:
        raw.execute("UPDATE records SET time = ? WHERE position = ?", (time, record.position))
