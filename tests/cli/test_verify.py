"""``verify`` and ``doctor`` on logs that somebody has changed behind the library's back (A1, L14)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Message
from eventlog.sqlite_driver import sqlite3

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.fixture
def talk(run: CommandLine) -> CommandLine:
    """Two sessions of four events each, one of them committed."""
    with eventlog.open(run.store) as log:
        for name in ("a", "b"):
            session = log.session(name, create=True, workspace="shop")
            session.extend([Message.user(f"message {number}") for number in range(3)])
        session.commit()
    return run


def change(run: CommandLine, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(run.database())) as connection, connection:
        assert connection.execute(statement, values).rowcount >= 1


# ---- verify -----------------------------------------------------------------------------------


def test_a_sound_log_verifies(talk: CommandLine) -> None:
    assert talk.json("verify") == {"sessions": 2, "events": 10, "findings": []}
    assert talk.json("verify", "a") == {"sessions": 1, "events": 4, "findings": []}
    assert "2 sessions, 10 events: every hash and every step is right" in talk("verify").stdout


def test_a_changed_record_is_found_with_its_version(talk: CommandLine) -> None:
    change(
        talk,
        "UPDATE records SET data = replace(data, 'message 1', 'message 9') "
        "WHERE version = 3 AND stream = 1",
    )
    answer = talk("verify", "--json")
    assert answer.code == 1
    (finding,) = answer.document["findings"]
    assert (finding["session_id"], finding["version"], finding["kind"]) == ("a", 3, "changed")
    shown = talk("verify")
    assert shown.code == 1
    assert "changed" in shown.stdout
    assert "1 finding" in shown.stdout
    assert talk("verify", "b").code == 0


def test_a_session_that_the_index_forgot_is_verified_all_the_same(talk: CommandLine) -> None:
    change(talk, "DELETE FROM entries WHERE key = 'session/a'")
    change(talk, "UPDATE records SET time = time + 1 WHERE version = 2 AND stream = 1")
    answer = talk("verify", "--json")
    assert answer.code == 1
    assert answer.document["findings"][0]["session_id"] == "a"


def test_a_session_whose_records_are_gone_is_found(talk: CommandLine) -> None:
    for table in ("records", "record_runs", "record_ids"):
        change(talk, f"DELETE FROM {table} WHERE stream = 1")
    answer = talk("verify", "--json")
    assert answer.code == 1
    (finding,) = answer.document["findings"]
    assert (finding["session_id"], finding["kind"]) == ("a", "missing")


# ---- doctor -----------------------------------------------------------------------------------


def test_doctor_tells_the_settings_and_that_all_is_well(talk: CommandLine) -> None:
    document = talk.json("doctor")
    assert document["durability"] == "power"
    assert document["settings"]["synchronous"] == "full"
    assert document["settings"]["sqlite"] == sqlite3.sqlite_version
    assert (document["findings"], document["index"]["differences"]) == ([], [])
    assert "the storage is sound" in talk("doctor").stdout


@pytest.mark.parametrize(("version", "warned"), [("3.51.2", True), ("3.51.3", False)])
def test_doctor_warns_of_an_sqlite_that_may_corrupt_files(
    talk: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", version)
    warnings = talk.json("doctor")["warnings"]
    assert any("two connections" in warning for warning in warnings) == warned


def test_doctor_warns_of_a_store_that_power_loss_may_shorten(talk: CommandLine) -> None:
    answer = talk("--store", f"{talk.store}?synchronous=normal", "doctor", "--json")
    assert any("power fails" in warning for warning in answer.document["warnings"])


@pytest.mark.parametrize(
    ("statement", "key", "word"),
    [
        ("DELETE FROM entries WHERE key = 'session/a'", "session/a", "missing"),
        ("UPDATE entries SET value = '{}' WHERE key = 'session/b'", "session/b", "different"),
        ("INSERT INTO entries VALUES ('session/ghost', '{}')", "session/ghost", "stale"),
    ],
)
def test_a_wrong_index_is_found_and_rebuilt(
    talk: CommandLine, statement: str, key: str, word: str
) -> None:
    """L14."""
    change(talk, statement)
    answer = talk("doctor", "--json")
    assert answer.code == 1
    assert [entry["key"] for entry in answer.document["index"]["differences"]] == [key]
    shown = talk("doctor")
    assert f"{word}: {key}" in shown.stdout
    assert "eventlog doctor --rebuild-index" in shown.stdout
    assert talk("doctor", "--rebuild-index").code == 0
    assert talk.json("doctor")["index"]["differences"] == []
    assert [entry["session_id"] for entry in talk.json("ls")] == ["a", "b"]


def test_doctor_reports_what_the_engine_finds(talk: CommandLine) -> None:
    change(talk, "UPDATE record_runs SET positions = json_set(positions, '$[1]', 99)")
    answer = talk("doctor", "--json")
    assert answer.code == 1
    assert answer.document["findings"][0]["kind"] == "index"
