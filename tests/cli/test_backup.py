"""``eventlog backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import Message

CommandLine = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_log_is_backed_up_and_the_backup_is_verified(run: CommandLine) -> None:
    with eventlog.open(run.store) as log:
        log.session("a", create=True).append(Message.user("hello"))

    answer = run("backup", "monday.db")

    assert answer.code == 0
    assert answer.stdout.startswith("monday.db: 1 session, 2 events, 0.1 MB in ")
    assert run("--store", "sqlite:///monday.db?mode=ro", "verify").code == 0
    listed = run.json("--store", "sqlite:///monday.db", "ls")
    assert [line["session_id"] for line in listed] == ["a"]


def test_the_document_names_the_new_log(run: CommandLine) -> None:
    with eventlog.open(run.store) as log:
        log.session("a", create=True).append(Message.user("hello"))

    document = run.json("backup", "monday.db")

    assert {"path", "log_id", "sessions", "records", "bytes", "seconds"} == set(document)
    assert (document["sessions"], document["records"]) == (1, 2)


def test_what_is_there_and_what_is_a_url_is_refused(run: CommandLine, tmp_path: Path) -> None:
    with eventlog.open(run.store) as log:
        log.session("a", create=True).append(Message.user("hello"))
    (tmp_path / "monday.db").write_text("precious")

    there = run("backup", "monday.db")
    url = run("backup", "sqlite:///monday.db")

    assert (there.code, url.code) == (2, 2)
    assert "is there already" in there.stderr
    assert "eventlog copy SRC DST" in url.stderr
    assert (tmp_path / "monday.db").read_text() == "precious"


def test_a_log_that_is_not_there_has_no_backup(run: CommandLine, tmp_path: Path) -> None:
    answer = run("--store", "sqlite:///nothing.db", "backup", "monday.db")

    assert answer.code == 3
    assert not (tmp_path / "monday.db").exists()
