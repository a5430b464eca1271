"""Every command that names a session refuses another owner's, and shows nothing of it (M12)."""

from __future__ import annotations

import pytest

import eventlog
from eventlog import Message
from eventlog.cli.command import OF_THE_WHOLE_LOG, SUMMARIES
from eventlog.cli.exits import ExitCode
from tests.cli.conftest import CommandLine

HER_TEXT = "the plan of ada"

CALLS: dict[str, tuple[str, ...]] = {
    "append": ("hers", "from eve"),
    "commit": ("hers",),
    "retry": ("hers", "archive_001"),
    "abandon": ("hers", "archive_001"),
    "policy": ("hers", "--failed-archives", "skip"),
    "show": ("hers",),
    "events": ("hers",),
    "timeline": ("hers",),
    "at": ("hers@2",),
    "diff": ("hers@1", "2"),
    "blame": ("hers", "meta.message_count"),
    "bisect": ("hers", "meta.message_count > 0"),
    "why": ("hers@2",),
    "fork": ("hers@2", "new"),
    "refold": ("hers",),
    "bundle": ("hers", "-o", "case.zip"),
    "report": ("hers", "-o", "case.html"),
    "materialize": ("hers", "folder"),
    "heal": ("hers", "folder"),
    "verify": ("hers",),
    "export": ("hers", "--format", "chat"),
    "import": ("hers.jsonl",),
    "tasks": ("--session", "hers"),
    "find": ("plan", "--session", "hers"),
    "enqueue": ("hers", "hello"),
    "stop": ("hers",),
    "runs": ("--session", "hers"),
    "turns": ("hers",),
}
"""A call of every command that names a session."""

LISTS = {"ls"}
"""The commands that leave out what is another owner's."""


@pytest.fixture
def hers(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A log with a session of ada's and one of eve's, and a conversation file named as ada's is."""
    monkeypatch.chdir(run.folder)
    with eventlog.open(run.store) as log:
        session = log.session("hers", create=True, owner="ada")
        session.append(Message.user(HER_TEXT))
        session.append(Message.assistant("noted"))
        session.commit()
        log.session("evil", create=True, owner="eve").append(Message.user("of eve"))
    run.file("hers.jsonl", {"role": "user", "content": "from eve"})
    return run


def test_every_command_has_an_owner_or_is_about_the_whole_log() -> None:
    assert set(CALLS) | LISTS | OF_THE_WHOLE_LOG == set(SUMMARIES)


@pytest.mark.parametrize("name", CALLS)
def test_a_command_refuses_the_session_of_another_owner(hers: CommandLine, name: str) -> None:
    with eventlog.open(hers.store) as log:
        before = log.position()
    answer = hers(name, *CALLS[name], "--owner", "eve")

    assert answer.code == ExitCode.CONFLICT, answer
    assert HER_TEXT not in answer.stdout + answer.stderr
    assert "not a session of owner 'eve'" in answer.stderr
    with eventlog.open(hers.store) as log:
        assert log.position() == before
    assert not {"case.zip", "folder"} & {path.name for path in hers.folder.iterdir()}


REFUSED_ANYWAY = {"heal", "abandon", "retry", "find"}
"""The commands that these sessions give nothing to do, whoever calls."""


@pytest.mark.parametrize("name", [name for name in CALLS if name not in REFUSED_ANYWAY])
def test_a_command_serves_the_owner(hers: CommandLine, name: str) -> None:
    call = CALLS[name]
    if name == "import":
        call = (*call, "--session", "fresh")
    answer = hers(name, *call, "--owner", "ada")

    assert answer.code == ExitCode.OK, answer


def test_lists_have_the_owners_sessions_alone(hers: CommandLine) -> None:
    assert "hers" not in hers("ls", "--owner", "eve").stdout
    assert [line["session_id"] for line in hers.json("ls", "--owner", "ada")] == ["hers"]
    assert hers.json("tasks", "--owner", "eve") == []
    assert len(hers.json("tasks", "--owner", "ada")) == 1
    assert {each["session_id"] for each in hers.json("events", "--owner", "ada")} == {"hers"}
    committed = hers.json("commit", "--all", "--owner", "eve")
    assert [document["session_id"] for document in committed] == ["evil"]


def test_a_list_may_begin_with_the_session_that_was_written_to_last(hers: CommandLine) -> None:
    hers("append", "hers", "again")
    assert [line["session_id"] for line in hers.json("ls", "--newest")] == ["hers", "evil"]
    assert [line["session_id"] for line in hers.json("ls")] == ["evil", "hers"]
    assert hers.json("ls", "--updated-after", "2999-01-01T00:00:00Z") == []


def test_a_conversation_is_imported_for_its_owner(hers: CommandLine) -> None:
    hers("import", "hers.jsonl", "--session", "new", "--owner", "eve")

    with eventlog.open(hers.store) as log:
        assert log.session("new").meta.owner == "eve"
