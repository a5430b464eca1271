"""Files that are no log, or no longer one: typed errors, and not a byte changed (P9, P10)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import eventlog
from eventlog import (
    CorruptError,
    CorruptLog,
    InvalidArgument,
    Message,
    StoreUnavailable,
    UnsupportedStore,
)
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite import SQLiteStore
from eventlog.stores.sqlite.check import check_tables
from eventlog.stores.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from eventlog.testing.conformance import draft

# ---- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "durability"),
    [("off", "process"), ("normal", "process"), ("full", "power"), ("extra", "power")],
)
def test_each_level_declares_what_it_keeps_and_is_read_back(
    tmp_path: Path, level: str, durability: str
) -> None:
    """P9: on every connection, those of readers included."""
    store = SQLiteStore(tmp_path / "log.db", synchronous=level)
    store.append([draft("s")])
    list(store.read("s"))

    assert store.durability == durability
    assert store.settings()["journal_mode"] == "wal"
    assert store.settings()["synchronous"] == level
    assert store.settings()["file"] == str(tmp_path / "log.db")
    numbers = {"off": 0, "normal": 1, "full": 2, "extra": 3}
    for connection in (store._writer, *store._idle_readers):
        assert connection.execute("PRAGMA synchronous").fetchone() == (numbers[level],)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_readers_cannot_write(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "log.db")
    assert store.tip() == 0

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._idle_readers[0].execute("INSERT INTO entries VALUES ('k', 'v')")
    store.close()


def test_a_file_is_ours_by_its_id_and_has_a_schema_number(tmp_path: Path) -> None:
    SQLiteStore(tmp_path / "log.db").close()

    with closing(sqlite3.connect(tmp_path / "log.db")) as raw:
        assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert APPLICATION_ID.to_bytes(4, "big") == b"EvLg"


def test_a_place_without_wal_is_refused() -> None:
    """P9: what cannot be set is not declared."""
    with pytest.raises(StoreUnavailable, match="keeps journal_mode at 'memory'"):
        SQLiteStore(":memory:")


@pytest.mark.parametrize("level", ["", "FULL", "2", "on"])
def test_an_unknown_level_is_refused(tmp_path: Path, level: str) -> None:
    with pytest.raises(InvalidArgument, match="choose one of off, normal, full, extra"):
        SQLiteStore(tmp_path / "log.db", synchronous=level)
    assert list(tmp_path.iterdir()) == []


# ---- files that are something else ------------------------------------------------------------


def _other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE theirs (x)")
        raw.execute("INSERT INTO theirs VALUES (1)")
        raw.commit()


def _other_id(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA application_id = 42")
        raw.commit()


def _other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 7")
        raw.commit()


def _newer(path: Path) -> None:
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        raw.commit()


def _text(path: Path) -> None:
    path.write_text("not a database at all, but long enough to look like one. " * 100)


def _image(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_other_program, "a database of another program"),
        (_other_id, "a database of another program"),
        (_other_version, "a database of another program"),
        (_newer, f"this eventlog knows up to {SCHEMA_VERSION}; upgrade it"),
        (_text, "not a SQLite database"),
        (_image, "not a SQLite database"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    """P10: byte for byte, and nothing put beside it."""
    path = tmp_path / "log.db"
    make(path)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}

    with pytest.raises(UnsupportedStore, match=reason):
        SQLiteStore(path)

    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()

    with eventlog.open(f"sqlite:///{path}") as log:
        log.session("s", create=True).append(Message.user("hello"))
    with eventlog.open(f"sqlite:///{path}") as log:
        assert len(log.session("s").tail()) == 1


# ---- damage -----------------------------------------------------------------------------------


def _filled(path: Path) -> bytes:
    """Return the bytes of a log of some pages, all of them in the main file."""
    store = SQLiteStore(path)
    store.append([draft("s", 300, data=b'{"text":"%s"}' % (b"x" * 200))])
    store.close()
    data = path.read_bytes()
    assert len(data) > 20 * 4096
    return data


def _read_everything(path: Path) -> int:
    store = SQLiteStore(path)
    try:
        findings = store.check()
        if findings:
            raise CorruptLog(findings[0].detail)
        return len(list(store.read_all())) + len(list(store.read("s")))
    finally:
        store.close()


@pytest.mark.parametrize("pages", [0.5, 1, 1.5, 2, 5, 10, 15])
def test_a_torn_file_is_told_as_such(tmp_path: Path, pages: float) -> None:
    """P10: a typed error, never an empty log."""
    path = tmp_path / "log.db"
    path.write_bytes(_filled(path)[: int(pages * 4096)])

    with pytest.raises((CorruptLog, UnsupportedStore)):
        _read_everything(path)


@pytest.mark.parametrize("page", [0, 1, 2, 3, 8, 14])
def test_a_page_of_rubbish_is_told_as_such(tmp_path: Path, page: int) -> None:
    path = tmp_path / "log.db"
    data = bytearray(_filled(path))
    data[page * 4096 : (page + 1) * 4096] = b"\x5a" * 4096
    path.write_bytes(data)

    with pytest.raises((CorruptLog, UnsupportedStore)):
        _read_everything(path)


def test_a_file_that_is_replaced_by_a_shorter_one_is_noticed(tmp_path: Path) -> None:
    """A backup restored under a running service must not be taken for the log that it knows."""
    path, backup = tmp_path / "log.db", tmp_path / "backup.db"
    store = SQLiteStore(path)
    store.append([draft("s", 2)])
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    store.append([draft("s", 3, expected=2)])
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)

    for call in (
        lambda: list(store.read("s")),
        lambda: store.head("s"),
        lambda: store.append([draft("s", 1, expected=5)]),
    ):
        with pytest.raises(CorruptLog, match="the file was replaced or cut"):
            call()
    store.close()
    again = SQLiteStore(path)
    assert again.head("s").version == 2
    again.close()


# ---- the index tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE record_runs SET positions = json_remove(positions, '$[2]')",
        "DELETE FROM record_ids WHERE version = 3",
        "UPDATE record_runs SET positions = json_set(positions, '$[2]', 1)",
        "UPDATE record_runs SET first = 2",
        "UPDATE record_runs SET positions = 'no array'",
        "UPDATE record_ids SET version = 7 WHERE version = 3",
        "DELETE FROM record_runs",
        "UPDATE records SET version = 99 WHERE position = 3",
        "UPDATE records SET event_id = x'00' WHERE position = 3",
    ],
)
def test_an_index_table_that_disagrees_with_the_log_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "log.db"
    store = SQLiteStore(path)
    store.append([draft("s", 5)])
    assert store.check() == []
    store.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(damage)
        raw.commit()

    store = SQLiteStore(path)
    findings = store.check()
    store.close()

    assert [finding.kind for finding in findings] == ["index"]
    assert "wrong in the index tables" in findings[0].detail


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO record_runs VALUES (1, 99, '[1]')",
        "INSERT INTO record_ids VALUES (x'00', 1, 1)",
        "DELETE FROM records WHERE position = 3",
    ],
)
def test_an_index_table_that_names_what_is_not_there_is_found(tmp_path: Path, damage: str) -> None:
    test_an_index_table_that_disagrees_with_the_log_is_found(tmp_path, damage)


def _steps_of_a_check(path: Path, records: int) -> int:
    """Return how many thousands of SQLite's instructions checking so long a log takes."""
    store = SQLiteStore(path)
    store.append([draft("s", records)])
    store.close()
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(path)) as raw:
        raw.set_progress_handler(step, 1_000)
        assert check_tables(raw) == []
    return steps


def test_the_work_of_a_check_grows_with_the_log_and_not_faster(tmp_path: Path) -> None:
    short = _steps_of_a_check(tmp_path / "short.db", 2_000)

    assert _steps_of_a_check(tmp_path / "long.db", 8_000) < 5 * short


def test_a_run_that_is_no_array_is_told_to_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SQLiteStore(path)
    store.append([draft("s", 5)])
    store.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE record_runs SET positions = '7'")
        raw.commit()

    store = SQLiteStore(path)
    for reverse in (False, True):
        with pytest.raises(CorruptLog, match="has '7' where an array of positions belongs"):
            list(store.read("s", reverse=reverse))
    store.close()


# ---- an older schema --------------------------------------------------------------------------


def _as_schema_1(path: Path) -> None:
    """Give a file the tables that it had before there were runs."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(
            "CREATE TABLE record_versions (stream INTEGER NOT NULL, version INTEGER NOT NULL, "
            "position INTEGER NOT NULL, PRIMARY KEY (stream, version)) WITHOUT ROWID"
        )
        raw.execute(
            "INSERT INTO record_versions SELECT stream, version, position FROM records "
            "WHERE position <= (SELECT position FROM progress)"
        )
        raw.execute("DROP TABLE record_runs")
        raw.execute("DELETE FROM _sqlite_migrations WHERE name = '2_runs'")
        raw.execute("PRAGMA user_version = 1")
        raw.commit()


def test_a_file_of_schema_1_is_migrated_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SQLiteStore(path)
    for number in range(100):
        store.append([draft("s", 2, expected=2 * number), draft(f"s{number}", 1)])
    before = list(store.read_all())
    store.close()
    _as_schema_1(path)

    store = SQLiteStore(path)
    store.append([draft("s", 1, expected=200)])

    assert list(store.read_all())[:-1] == before
    for stream in ("s", "s0", "s99"):
        of_stream = [record for record in store.read_all() if record.stream == stream]
        assert list(store.read(stream)) == of_stream
        assert list(store.read(stream, reverse=True)) == of_stream[::-1]
    assert [record.version for record in store.read("s", after=63, until=66)] == [64, 65, 66]
    assert store.check() == []
    store.close()


# ---- places -----------------------------------------------------------------------------------


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="check that its folder exists"):
        SQLiteStore(tmp_path / "nowhere" / "log.db")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedStore, match="is a folder; name a file"):
        SQLiteStore(tmp_path)


def test_a_file_that_may_not_be_written_is_told(unprivileged_folder: Path) -> None:
    """P10: by a process that is not root, since root may write everything."""
    path = unprivileged_folder / "log.db"
    SQLiteStore(path).close()
    path.chmod(0o444)
    unprivileged_folder.chmod(0o555)
    before = path.read_bytes()

    answer = _open_as_nobody(path)

    assert answer.startswith("StoreUnavailable")
    assert path.read_bytes() == before


NOBODY = """
import os, sys
import eventlog
import eventlog.stores.sqlite.store
if os.geteuid() == 0:
    os.setuid(65534)
try:
    log = eventlog.open("sqlite:///" + sys.argv[1])
    log.session("s", create=True).append(eventlog.Message.user("a"))
except eventlog.EventLogError as error:
    print(type(error).__name__, error)
"""
"""Opens a log and appends to it, without the privileges of root."""


def _open_as_nobody(path: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", NOBODY, str(path)], capture_output=True, text=True, check=True
    )
    return result.stdout


# ---- reading with other tools -----------------------------------------------------------------


def test_plain_sql_and_sqlite_utils_read_the_events(tmp_path: Path) -> None:
    """Promised to people: JSON stays readable, while the log is open."""
    import sqlite_utils

    path = tmp_path / "log.db"
    with eventlog.open(f"sqlite:///{path}", clock=lambda: 1_767_225_600_123_456) as log:
        log.session("chat \u4f1a", create=True).append(
            Message.user("hello \U0001f600", id="m"), actor="ada"
        )
        with closing(sqlite3.connect(path)) as raw:
            found = raw.execute(
                "SELECT session, version, type, time, json_extract(data, '$.message.id'), "
                "json_extract(metadata, '$.actor'), typeof(data) FROM events ORDER BY position"
            ).fetchall()
        rows = list(sqlite_utils.Database(path).query("SELECT * FROM events"))

    time = "2026-01-01T00:00:00.123Z"
    assert found == [
        ("chat \u4f1a", 1, "session_created", time, None, "ada", "text"),
        ("chat \u4f1a", 2, "message_appended", time, "m", "ada", "text"),
    ]
    assert [row["version"] for row in rows] == [1, 2]
    assert "hello \U0001f600" in rows[1]["data"]


@pytest.mark.parametrize("name", ["with space.db", "caf\u00e9.db", "a%b#c?.db", "x.y"])
def test_any_file_name_can_be_opened(tmp_path: Path, name: str) -> None:
    from urllib.parse import quote

    with eventlog.open(f"sqlite:///{quote(str(tmp_path / name))}") as log:
        log.session("s", create=True).append(Message.user("hello"))

    assert (tmp_path / name).exists()


def test_corrupt_is_a_kind_of_its_own() -> None:
    assert issubclass(CorruptLog, CorruptError)
    assert not issubclass(UnsupportedStore, CorruptError)
