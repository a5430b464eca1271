"""Rows that hold what no record has are typed errors, and what is before them is read (G9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import eventlog
from eventlog import CorruptLog, Message
from eventlog.engine.opening import open_store

Query = Callable[..., list[tuple[object, ...]]]


@pytest.mark.parametrize("column", ["time", "schema"])
def test_a_number_that_no_record_has_is_damage(postgres_url: str, ask: Query, column: str) -> None:
    with eventlog.open(postgres_url) as log:
        session = log.session("s", create=True)
        for number in range(5):
            session.append(Message.user(f"{number}"))
    ask(f"UPDATE {{schema}}.records SET {column} = -1 WHERE version = 4")

    store = open_store(postgres_url)
    forwards, backwards, all_ = store.read("s"), store.read("s", reverse=True), store.read_all()
    assert [next(forwards).version for _ in range(3)] == [1, 2, 3]
    assert [next(backwards).version for _ in range(2)] == [6, 5]
    assert [next(all_).version for _ in range(3)] == [1, 2, 3]
    for reading in (forwards, backwards, all_):
        with pytest.raises(CorruptLog, match="session 's', version 4") as raised:
            next(reading)
        assert (raised.value.stream, raised.value.version) == ("s", 4)
    store.close()
    with eventlog.open(postgres_url) as log:
        assert log.verify("s")
