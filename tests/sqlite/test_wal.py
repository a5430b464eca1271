"""The WAL stays short beside readers that overlap, and after one that stays long (U2, B18)."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest

import eventlog
from eventlog import Message
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite import wal
from eventlog.stores.sqlite.store import SQLiteStore
from eventlog.stores.sqlite.wal import KEPT_BYTES, LARGE, LIMIT, WalKeeper

SIZE = 1024 * 1024


def blob(number: int) -> bytes:
    """Return a value that differs from the one before: SQLite writes no page that is the same."""
    return bytes([number]) * SIZE


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM blobs").fetchone()[0], flush=True)
sys.stdin.read()
"""
"""Another program that keeps a read transaction open until its input ends."""


class Overlapping:
    """Two readers that take turns, one beginning before the other ends."""

    def __init__(self, path: Path) -> None:
        self._connections = [
            sqlite3.connect(path, isolation_level=None, check_same_thread=False) for _ in range(2)
        ]
        self._begin(self._connections[0])

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN").fetchall()
        connection.execute("SELECT count(*) FROM blobs").fetchall()

    def turn(self) -> None:
        """Begin the next transaction, and then end the one before."""
        old, new = self._connections
        self._begin(new)
        old.execute("COMMIT").fetchall()
        self._connections = [new, old]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(path, synchronous="off")) as opened:
        opened.put_blob("before", blob(0))
        yield opened


def size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def most(store: SQLiteStore, path: Path, blobs: int) -> int:
    """Write many blobs beside readers that overlap; return the largest size of the WAL."""
    found = 0
    with closing(Overlapping(path)) as readers:
        for number in range(blobs):
            store.put_blob(f"blob/{number % 4}", blob(number))
            readers.turn()
            found = max(found, size(path))
    return found


@contextmanager
def reading(path: Path) -> Generator[subprocess.Popen[str]]:
    """Run another program that reads until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip()
        yield process
    finally:
        process.communicate("", timeout=60)


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no reader, and let no time pass between two attempts."""
    monkeypatch.setattr(wal, "PATIENCE_SECONDS", 0.0)


# ---- readers that overlap ---------------------------------------------------------------------


def test_readers_that_overlap_would_let_the_wal_grow_without_bound(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm rings: without the keeper the WAL holds all that was written."""
    monkeypatch.setattr(wal, "LIMIT", 1 << 60)

    assert most(store, path, 24) > 24 * SIZE


def test_the_wal_begins_anew_although_readers_overlap(store: SQLiteStore, path: Path) -> None:
    done = Event()

    def take_turns() -> None:
        while not done.is_set():
            readers.turn()

    with closing(Overlapping(path)) as readers, ThreadPoolExecutor(1) as pool:
        turning = pool.submit(take_turns)
        try:
            for number in range(12):
                store.put_blob(f"blob/{number % 4}", blob(number))
            assert store._wal._restart(store._writer, 60.0)
            store.put_blob("after", b"x")
            assert size(path) <= KEPT_BYTES
        finally:
            done.set()
        turning.result()


def test_a_log_beside_paging_readers_keeps_its_wal_short(path: Path) -> None:
    """Readers through the library, in threads: none fails, nor does a writer (B18 in small)."""
    done = Event()

    def read() -> int:
        count = 0
        with eventlog.open(f"sqlite:///{path}") as log:
            while not done.is_set():
                count += sum(1 for _ in log.read_all())
        return count

    def write(name: str) -> int:
        session = log.session(name, create=True)
        for _ in range(12):
            session.append(Message.user("x" * 200_000))
            sizes.append(size(path))
        return len(session.tail())

    sizes: list[int] = []
    with (
        eventlog.open(f"sqlite:///{path}?synchronous=off") as log,
        ThreadPoolExecutor(12) as pool,
    ):
        readers = [pool.submit(read) for _ in range(4)]
        try:
            written = [each.result() for each in [pool.submit(write, f"s{n}") for n in range(8)]]
        finally:
            done.set()
        assert all(reader.result() >= 0 for reader in readers)

    assert written == [12] * 8
    assert max(sizes) <= 64 * 1024 * 1024


# ---- a reader that stays ----------------------------------------------------------------------


def test_the_wal_shrinks_after_a_foreign_reader_ended(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    with reading(path) as reader:
        for number in range(12):
            store.put_blob(f"blob/{number % 4}", blob(number))
        assert size(path) > 12 * SIZE
        assert [each.split()[0] for each in store.wal().readers] == [str(reader.pid)]

    store.put_blob("after", b"x")
    store.put_blob("after", b"x")

    assert size(path) <= KEPT_BYTES
    assert store.wal().readers == ()


def test_a_reader_that_stays_is_logged_once(
    store: SQLiteStore,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    at_once(monkeypatch)
    with caplog.at_level(logging.WARNING, "eventlog"), reading(path) as reader:
        for number in range(LARGE // SIZE + 8):
            store.put_blob(f"blob/{number % 4}", blob(number))

    (line,) = [each for each in caplog.records if each.message.startswith("wal_held_by_readers")]
    assert vars(line)["readers"].split()[0] == str(reader.pid)


def test_between_two_attempts_in_vain_there_is_a_pause(store: SQLiteStore, path: Path) -> None:
    """A reader that stays for hours costs writers a tenth of their time at most."""
    now = 0.0
    keeper = WalKeeper(str(path), 5.0, now=lambda: now, size=lambda: 2 * LIMIT)
    asked: list[float] = []

    def restart(connection: sqlite3.Connection, patience: float) -> bool:
        asked.append(patience)
        return False

    keeper._restart = restart  # type: ignore[method-assign]
    for _ in range(9):
        keeper.look(store._writer)
        now += 0.125

    assert asked == [0.1, 0.1]


def test_waiting_for_readers_leaves_the_timeout_of_writers_as_it_was(store: SQLiteStore) -> None:
    store._wal._restart(store._writer, 0.0)

    assert store._writer.execute("PRAGMA busy_timeout").fetchone() == (5_000,)


def test_health_says_the_size_of_the_wal_and_who_holds_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    with eventlog.open(f"sqlite:///{path}?synchronous=off") as log:
        log.session("s", create=True).append(Message.user("hello"))
        calm = log.health()
        with reading(path) as reader:
            for number in range(10):
                log.store.put_blob(f"blob/{number % 4}", blob(number))
            held = log.health()

    assert calm.wal_bytes is not None
    assert 0 < calm.wal_bytes <= KEPT_BYTES
    assert calm.wal_readers == ()
    assert held.wal_bytes is not None
    assert held.wal_bytes > LIMIT
    assert [each.split()[0] for each in held.wal_readers] == [str(reader.pid)]


def test_a_log_in_memory_has_no_wal() -> None:
    with eventlog.open("memory:") as log:
        assert log.health().wal_bytes is None


def test_a_disk_without_room_is_a_line_in_the_log_and_harms_no_append(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is done when the WAL is looked at."""

    class Full:
        def execute(self, statement: str) -> sqlite3.Cursor:
            if "wal_checkpoint" in statement:
                raise sqlite3.OperationalError("database or disk is full")
            return store._writer.execute(statement)

    monkeypatch.setattr(store._wal, "_size", lambda: 2 * LIMIT)
    with caplog.at_level(logging.WARNING, "eventlog"):
        store._wal.look(Full())  # type: ignore[arg-type]

    assert [each.split()[0] for each in caplog.messages] == ["wal_not_checkpointed"]
