"""``materialize`` and ``heal``: the files of a session, from the command line (O1, O3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message
from eventlog.projections.folder_files import folder_files

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.fixture
def talk(run: CommandLine) -> CommandLine:
    """A session with an archive and a live message."""
    with eventlog.open(run.store) as log:
        session = log.session("chat", create=True)
        session.extend([Message.user(f"message {number}", id=f"m{number}") for number in range(3)])
        session.commit(keep_recent=1)
    return run


def test_a_folder_is_materialized_and_healthy(talk: CommandLine, tmp_path: Path) -> None:
    answer = talk("materialize", "chat", str(tmp_path / "out"))
    assert answer.code == 0
    assert answer.stdout == f"{tmp_path / 'out'}: 5 files written\n"

    again = talk("materialize", "chat", str(tmp_path / "out"))
    assert again.stdout == f"{tmp_path / 'out'}: all files were up to date\n"
    healthy = talk("heal", "chat", str(tmp_path / "out"))
    assert (healthy.code, healthy.stdout) == (
        0,
        f"{tmp_path / 'out'}: every file agrees with version 6\n",
    )
    with eventlog.open(talk.store) as log:
        for path, content in folder_files(log.read("chat")).items():
            assert (tmp_path / "out" / path).read_bytes() == content


def test_a_check_exits_with_1_and_changes_nothing(talk: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    talk("materialize", "chat", str(folder))
    stranger = b'{"id": "x", "role": "user", "parts": []}\n'
    (folder / "messages.jsonl").write_bytes(stranger)
    (folder / ".meta.json").unlink()

    answer = talk("heal", "chat", str(folder), "--check")

    assert answer.code == 1
    assert "messages.jsonl" in answer.stdout
    assert "2 files not what the log says; `eventlog heal` mends that" in answer.stdout
    assert (folder / "messages.jsonl").read_bytes() == stranger
    assert not (folder / ".meta.json").exists()

    healed = talk.json("heal", "chat", str(folder))
    assert healed["healed"]
    assert [(found["path"], found["dropped"]) for found in healed["findings"]] == [
        (".meta.json", 0),
        ("messages.jsonl", 1),
    ]
    assert (folder / healed["findings"][1]["quarantine"]).read_bytes() == stranger
    assert talk("heal", "chat", str(folder), "--check").code == 0


def test_looking_leaves_an_attached_folder_as_it_is(talk: CommandLine, tmp_path: Path) -> None:
    """Only what writes the session brings its folder up to date."""
    folder = tmp_path / "out"
    with eventlog.open(talk.store) as log:
        log.session("chat").attach_folder(folder)
    (folder / "messages.jsonl").unlink()

    assert talk("show", "chat").code == 0
    assert talk("ls").code == 0
    assert talk("heal", "chat", str(folder), "--check").code == 1
    assert not (folder / "messages.jsonl").exists()

    assert talk("append", "chat", "hello").code == 0
    assert (folder / "messages.jsonl").read_bytes().count(b"\n") == 2


def test_what_is_not_there_is_said(talk: CommandLine, tmp_path: Path) -> None:
    assert talk("heal", "nobody", str(tmp_path)).code == 3
    assert talk("materialize", "nobody", str(tmp_path / "out")).code == 3
    missing = talk("heal", "chat", str(tmp_path / "missing"))
    assert missing.code == 2
    assert "does not exist" in missing.stderr
    assert not (tmp_path / "missing").exists()


def test_a_folder_of_another_session_is_refused(talk: CommandLine, tmp_path: Path) -> None:
    with eventlog.open(talk.store) as log:
        log.session("other", create=True).append(Message.user("hello"))
    talk("materialize", "other", str(tmp_path / "out"))

    for name in ("heal", "materialize"):
        answer = talk(name, "chat", str(tmp_path / "out"))
        assert answer.code == 2
        assert "belongs to session 'other'" in answer.stderr
