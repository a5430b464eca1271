"""``eventlog report``: the file, stdout, what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import eventlog
from eventlog import Message
from tests.cli.conftest import CommandLine
from tests.report.conftest import said_in


def fill(run: CommandLine) -> Path:
    """Fill a store with two sessions; return where a report may go."""
    with eventlog.open(run.store) as log:
        for name in ("chat-42", "bot-7"):
            log.session(name, create=True).append(Message.user("key sk-abcdefghijklmnop1234"))
    return run.folder / "case.html"


def test_a_report_is_written_and_replaced(run: CommandLine) -> None:
    path = fill(run)

    said = run("report", "chat-42", "bot-7", "-o", str(path))
    again = run("report", "chat-42", "-o", str(path), "--json")

    assert said.code == 0
    assert said.stdout.startswith(f"{path}: 2 sessions, 4 events, 0.1 MB")
    assert json.loads(again.stdout) == {
        "path": str(path),
        "redaction": "secrets",
        "sessions": 1,
        "events": 2,
        "is_sound": True,
        "bytes": path.stat().st_size,
    }
    assert [entry.name for entry in run.folder.iterdir() if ".db" not in entry.name] == [
        "case.html"
    ]


def test_a_report_goes_to_stdout_for_a_machine_without_a_screen(run: CommandLine) -> None:
    fill(run)

    page = run("report", "chat-42", "-o", "-")
    bare = run("report", "chat-42", "-o", "-", "--redact", "nothing")

    assert page.stdout.startswith("<!doctype html>")
    assert page.stdout.endswith("</html>\n")
    assert "sk-abcdefghijklmnop1234" not in said_in(page.stdout)
    assert "sk-abcdefghijklmnop1234" in said_in(bare.stdout)


def test_what_cannot_be_reported_is_one_line(run: CommandLine) -> None:
    path = str(fill(run))

    nobody = run("report", "nobody", "-o", path)
    beyond = run("report", "chat-42", "-o", path, "--until", "99")
    nowhere = run("report", "chat-42", "-o", str(run.folder / "no" / "a.html"))
    twice = run("report", "chat-42", "-o", "-", "--json")

    assert [answer.code for answer in (nobody, beyond, twice)] == [3, 2, 2]
    assert nowhere.code == 6
    for answer in (nobody, beyond, nowhere, twice):
        assert len(answer.stderr.splitlines()) == 1
        assert answer.stdout == ""
