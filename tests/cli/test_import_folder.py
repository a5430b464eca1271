"""``eventlog import DIR`` and ``eventlog doctor DIR``: session folders of other programs (O4, O5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def line(name: str) -> str:
    parts = [{"type": "text", "text": name}]
    return (
        json.dumps({"id": name, "role": "user", "parts": parts, "created_at": "2026-01-01"}) + "\n"
    )


@pytest.fixture
def foreign(run: CommandLine) -> Path:
    """A folder with a lost clear beside an archive, an orphan, and a torn line."""
    root = run.folder / "chat-7"
    files = {
        ".meta.json": '{"message_count": 1, "last_commit_at": "2026-01-01T00:00:00Z"}',
        "messages.jsonl": line("a") + line("b") + line("d") + '{"id": "e", ',
        "history/archive_001/messages.jsonl": line("a") + line("b"),
        "history/archive_001/.overview.md": "# So far",
        "history/archive_001/.done": "",
        "history/archive_002/messages.jsonl": line("c"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_folder_becomes_a_session(run: CommandLine, foreign: Path) -> None:
    document = run.json("import", str(foreign))

    assert (document["session_id"], document["status"]) == ("chat-7", "adopted")
    assert (document["imported"], document["already_there"], document["live"]) == (4, 0, 1)
    assert document["archives"] == [
        {"archive_id": "archive_001", "state": "completed", "messages": 2},
        {"archive_id": "archive_002", "state": "pending", "messages": 1},
    ]
    assert [(entry["rule"], entry["path"], entry["line"]) for entry in document["findings"]] == [
        ("orphan_archive", "history/archive_002", None),
        ("torn_line", "messages.jsonl", 4),
        ("archived_and_live", "messages.jsonl", 1),
    ]
    assert document["findings"][2]["message_ids"] == ["a", "b"]
    (kept,) = document["quarantined"]
    assert (foreign / kept).read_text("utf-8") == '{"id": "e", \n' + line("a") + line("b")
    shown: dict[str, Any] = run.json("show", "chat-7")
    assert [message["id"] for message in shown["tail"]] == ["d"]


def test_people_are_told_every_rule_with_its_line(run: CommandLine, foreign: Path) -> None:
    answer = run("import", str(foreign), "--session", "mine")

    assert answer.code == 0
    table, kept, summary = answer.stdout.split("\n")[:4], *answer.stdout.split("\n")[4:6]
    assert table[0].split() == ["rule", "file", "line", "found", "adopting"]
    assert table[3].split()[:3] == ["archived_and_live", "messages.jsonl", "1"]
    assert "2 messages that archive_001 has and did not retain" in table[3]
    assert kept.startswith("kept in quarantine: .quarantined-")
    assert summary == (
        "adopted as mine: 4 messages, 1 of them live; 2 archives (1 completed, 1 pending)"
    )


def test_importing_a_folder_again_changes_nothing(run: CommandLine, foreign: Path) -> None:
    first = run.json("import", str(foreign))
    again = run.json("import", str(foreign))

    assert (again["status"], again["imported"], again["already_there"]) == ("already_adopted", 0, 4)
    assert again["version"] == first["version"]
    assert "already adopted as chat-7" in run("import", str(foreign)).stdout


def test_a_folder_that_changed_is_a_conflict(run: CommandLine, foreign: Path) -> None:
    run.json("import", str(foreign))
    (foreign / "messages.jsonl").write_text(line("z"), "utf-8")

    answer = run("import", str(foreign))

    assert answer.code == 4
    assert "changed: messages.jsonl" in answer.stderr
    assert "--session" in answer.stderr


def test_a_bad_line_is_named_and_creates_no_log(run: CommandLine, foreign: Path) -> None:
    path = foreign / "history/archive_001/messages.jsonl"
    path.write_text(line("a") + "oops\n" + line("b"), "utf-8")

    answer = run("import", str(foreign))

    assert answer.code == 5
    assert "history/archive_001/messages.jsonl, line 2" in answer.stderr
    assert "--quarantine" in answer.stderr
    assert not run.database().exists()
    assert run.json("import", str(foreign), "--quarantine")["imported"] == 4


def test_the_doctor_tells_beforehand_and_changes_nothing(run: CommandLine, foreign: Path) -> None:
    """It needs no store."""
    before = files_in(foreign)

    answer = run("doctor", str(foreign), "--json")

    assert answer.code == 1
    assert answer.document["findings"] == run.json("import", str(foreign))["findings"]
    assert {name: files_in(foreign)[name] for name in before} == before
    assert "3 findings" in run("doctor", str(foreign)).stdout


def test_the_doctor_finds_nothing_wrong_with_a_sound_folder(run: CommandLine) -> None:
    root = run.folder / "sound"
    root.mkdir()
    (root / "messages.jsonl").write_text(line("a"), "utf-8")
    (root / ".meta.json").write_text('{"message_count": 1}', "utf-8")

    answer = run("doctor", str(root))

    assert (answer.code, answer.stdout) == (0, f"{root}: the folder is sound\n")
    assert not run.database().exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["doctor", "nowhere"], 3, "nowhere"),
        (["doctor", "."], 2, "not a session folder"),
        (["import", "."], 2, "not a session folder"),
        (["doctor", ".", "--rebuild-index"], 2, "leave out PATH"),
    ],
)
def test_what_is_no_session_folder_is_said_to_be_none(
    run: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(run.folder)

    answer = run(*words)

    assert answer.code == code
    assert said in answer.stderr
