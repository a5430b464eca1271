"""Locks and full disks: typed errors, nothing half-done, and usable afterwards (P9, P10)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import Log, Message, StoreUnavailable
from eventlog.sqlite_driver import sqlite3
from eventlog.store import Store
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.conformance import draft

WRITES: dict[str, Callable[[Store], Any]] = {
    "append": lambda store: store.append([draft("s", 3, expected=2, entries=(("k", b"v"),))]),
    "put_blob": lambda store: store.put_blob("k", b"data"),
    "put_index": lambda store: store.put_index([("k", b"v")]),
}

each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    opened = SQLiteStore(tmp_path / "log.db", busy_timeout=0.01)
    opened.append([draft("s", 2)])
    yield opened
    opened.close()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the write lock as another program does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")


def contents(store: Store) -> tuple[Any, ...]:
    return list(store.read_all()), list(store.scan("", "~")), store.get_blob("k"), store.head("s")


# ---- locks ------------------------------------------------------------------------------------


@each_write
def test_a_locked_file_is_told_and_nothing_is_stored(
    store: SQLiteStore, tmp_path: Path, write: Callable[[Store], Any]
) -> None:
    before = contents(store)

    with locked(tmp_path / "log.db"):
        with pytest.raises(StoreUnavailable, match="locked by another process") as caught:
            write(store)
        assert contents(store) == before

    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert contents(store) == before
    write(store)
    assert contents(store) != before
    assert store.check() == []


def test_a_session_of_a_locked_file_goes_on_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with eventlog.open(f"sqlite:///{path}?busy_timeout=0.01") as log:
        session = log.session("s", create=True)
        session.append(Message.user("a"))
        with locked(path):
            for call in (lambda: session.append(Message.user("b")), session.commit, session.close):
                with pytest.raises(StoreUnavailable):
                    call()
            assert [message.text for message in session.tail()] == ["a"]

        session.append(Message.user("c"))
        assert [message.text for message in session.tail()] == ["a", "c"]
        assert log.verify("s") == []


def test_a_file_that_is_locked_while_it_is_made_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = wal").fetchall()
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            SQLiteStore(path, busy_timeout=0.01)
        raw.execute("ROLLBACK")

    SQLiteStore(path).close()


def test_closing_while_the_file_is_locked_loses_nothing(store: SQLiteStore, tmp_path: Path) -> None:
    with locked(tmp_path / "log.db"):
        store.close()

    again = SQLiteStore(tmp_path / "log.db")
    assert again.head("s").version == 2
    assert again.check() == []
    again.close()


def test_readers_are_not_hindered_by_a_writer(store: SQLiteStore, tmp_path: Path) -> None:
    with locked(tmp_path / "log.db"):
        assert len(list(store.read("s"))) == 2
        opened = SQLiteStore(tmp_path / "log.db", busy_timeout=0.01)
        assert opened.head("s").version == 2
        opened.close()


# ---- no room ----------------------------------------------------------------------------------

LARGE = b'{"text":"%s"}' % (b"x" * 100_000)


def test_a_full_disk_is_told_and_nothing_is_half_done(store: SQLiteStore) -> None:
    """The whole batch is refused; after room is made the same call succeeds."""
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages + 5}").fetchall()
    before = contents(store)
    batch = [draft("t", 1), draft("s", 1, expected=2, data=LARGE, entries=(("k", b"v"),))]

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="no space is left") as caught:
            store.append(batch)
        assert contents(store) == before
    assert "free some space and try again" in str(caught.value)

    store._writer.execute("PRAGMA max_page_count = 1000000").fetchall()
    store.append(batch)
    assert store.head("s").version == 3
    assert store.check() == []


def test_a_full_disk_refuses_blobs_and_keeps_the_old_ones(store: SQLiteStore) -> None:
    store.put_blob("k", b"old")
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages + 1}").fetchall()

    with pytest.raises(StoreUnavailable, match="no space is left"):
        store.put_blob("k", LARGE)

    found = store.get_blob("k")
    assert found is not None
    assert (found.data, found.revision) == (b"old", 1)


def test_a_session_survives_a_full_disk(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "log.db")
    with Log(store) as log:
        session = log.session("s", create=True)
        session.append(Message.user("small"))
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages + 5}").fetchall()
        with pytest.raises(StoreUnavailable):
            session.append(Message.user("x" * 100_000, id="large"))
        session.append(Message.user("still small"))
        store._writer.execute("PRAGMA max_page_count = 1000000").fetchall()
        session.append(Message.user("x" * 100_000, id="large"))

        assert [len(message.text) for message in session.tail()] == [5, 11, 100_000]
        assert log.verify("s") == []


LIMITED = """
import json, resource, sys
import eventlog
from eventlog import Message

log = eventlog.open("sqlite:///" + sys.argv[1])
session = log.session("s", create=True)
stored, refused = [], []
for number in range(200):
    if number == 20:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        session.append(Message.user("x" * 5_000, id=str(number)))
        stored.append(str(number))
    except eventlog.EventLogError as error:
        refused.append(type(error).__name__)
        if len(refused) == 3:
            break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
session.append(Message.user("after", id="after"))
stored.append("after")
tail = [message.id for message in session.tail()]
print(json.dumps({"stored": stored, "refused": refused, "tail": tail, "verify": log.verify("s")}))
"""
"""Appends until files may not grow any more, then gets room and appends again."""


def test_files_that_may_not_grow_refuse_and_lose_nothing(tmp_path: Path) -> None:
    """A real refusal by the system, in a separate process; to SQLite EFBIG is not ENOSPC."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "log.db")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    outcome = json.loads(result.stdout)

    assert set(outcome["refused"]) <= {"StoreUnavailable", "Indeterminate"}
    assert len(outcome["refused"]) == 3
    assert outcome["tail"] == outcome["stored"]
    assert outcome["verify"] == []
    with eventlog.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        assert [message.id for message in log.session("s").tail()] == outcome["stored"]
        assert log.store.check() == []
