"""``eventlog import``: chat files, idempotent, and bad ones named by line and field (M3, A7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventlog import Message
from eventlog.cli import import_
from eventlog.exchange import importing
from eventlog.exchange.openai_chat import chat_from_message

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Oslo? Ünï ☃"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call-1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call-1", "name": "weather", "content": "-3 °C, snow"},
    {"role": "assistant", "content": "Minus three, and it snows."},
]


def back(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a session as chat messages."""
    stored = [message for archive in document["archives"] for message in archive["messages"]]
    return [
        chat_from_message(Message.model_validate(message)) for message in stored + document["tail"]
    ]


@pytest.mark.parametrize("form", ["array", "lines", "object"])
def test_a_conversation_comes_back_as_it_went_in(run: CommandLine, form: str) -> None:
    """A7."""
    lines: dict[str, list[Any]] = {
        "array": [json.dumps(CHAT, indent=1)],
        "lines": CHAT,
        "object": [{"id": "weather", "messages": CHAT}],
    }
    path = run.file("weather.json", *lines[form])
    document = run.json("import", path)
    assert (document["imported"], document["already_there"]) == (5, 0)
    assert back(run.json("show", "weather")) == CHAT
    run("commit", "weather", "--keep", "2")
    assert back(run.json("show", "weather")) == CHAT


def test_each_line_of_sessions_is_a_session(run: CommandLine) -> None:
    path = run.file("many.jsonl", *({"id": f"s-{n}", "messages": CHAT} for n in range(3)))
    document = run.json("import", path)
    assert [entry["session_id"] for entry in document["sessions"]] == ["s-0", "s-1", "s-2"]
    assert [entry["version_after"] for entry in document["sessions"]] == [6, 6, 6]
    assert [entry["session_id"] for entry in run.json("ls")] == ["s-0", "s-1", "s-2"]


def test_conversations_without_ids_are_numbered_after_the_file(run: CommandLine) -> None:
    path = run.file("talk.jsonl", CHAT[:1], CHAT[:2])
    document = run.json("import", path)
    assert [entry["session_id"] for entry in document["sessions"]] == ["talk", "talk-2"]


def test_the_session_can_be_named(run: CommandLine) -> None:
    run("import", run.file("talk.json", CHAT), "--session", "mine")
    assert [entry["session_id"] for entry in run.json("ls")] == ["mine"]


def test_stdin_is_read_where_the_path_is_a_dash(run: CommandLine) -> None:
    run("import", "-", "--session", "mine", stdin=json.dumps(CHAT))
    assert back(run.json("show", "mine")) == CHAT


def test_importing_again_stores_nothing_twice(run: CommandLine) -> None:
    """P8, L3."""
    path = run.file("talk.json", CHAT)
    run("import", path)
    (again,) = run.json("import", path)["sessions"]
    assert again == {
        "session_id": "talk",
        "messages": 5,
        "imported": 0,
        "already_there": 5,
        "version_before": 6,
        "version_after": 6,
    }


def test_a_file_that_has_grown_adds_what_is_new(run: CommandLine) -> None:
    """Also where commits stand between what is stored, and batches are cut elsewhere."""
    for length in (2, 3, 5):
        run("import", run.file("talk.jsonl", *CHAT[:length]))
        run("commit", "talk")
    (entry,) = run.json("import", run.file("talk.jsonl", *CHAT))["sessions"]
    assert (entry["imported"], entry["already_there"]) == (0, 5)
    assert back(run.json("show", "talk")) == CHAT


def test_more_messages_than_one_batch_are_imported(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    path = run.file("talk.jsonl", *CHAT)
    assert run.json("import", path)["imported"] == 5
    assert run.json("import", path)["already_there"] == 5
    assert back(run.json("show", "talk")) == CHAT


def test_new_messages_before_stored_ones_are_refused(run: CommandLine) -> None:
    """They could only be appended, so the session would not read as the file does."""
    first, second = ({"id": name, "role": "user", "content": name} for name in ("a", "b"))
    run("import", run.file("talk.jsonl", second))
    answer = run("import", run.file("talk.jsonl", first, second))
    assert answer.code == 4
    assert "--session" in answer.stderr
    assert run.json("show", "talk")["version"] == 2


def test_other_content_under_the_same_id_is_a_conflict(run: CommandLine) -> None:
    run("import", run.file("talk.jsonl", {"id": "m1", "role": "user", "content": "yes"}))
    answer = run("import", run.file("talk.jsonl", {"id": "m1", "role": "user", "content": "no"}))
    assert answer.code == 4
    assert run.json("show", "talk")["tail"][0]["parts"] == [{"type": "text", "text": "yes"}]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"role": "robot", "content": "beep"}', "field 'role'"),
        ('{"role": "user", "content": 5}', "field 'content'"),
        ('{"role": "assistant", "tool_calls": "all"}', "field 'tool_calls'"),
        ('{"role": "user", "content"', "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_of_its_conversation_is_stored(
    run: CommandLine, line: str, place: str
) -> None:
    """P10."""
    answer = run("import", run.file("talk.jsonl", CHAT[0], CHAT[1], line))
    assert (answer.code, answer.stdout) == (2, "")
    assert "talk.jsonl: line 3" in answer.stderr
    assert place in answer.stderr
    assert not run.database().exists()


def test_sessions_before_a_bad_line_stay_imported(run: CommandLine) -> None:
    good = {"id": "good", "messages": CHAT}
    bad = {"id": "bad", "messages": [*CHAT, {"role": "robot"}]}
    answer = run("import", run.file("many.jsonl", good, bad, good))
    assert answer.code == 2
    assert "line 2" in answer.stderr
    assert "stored before it: 1 session" in answer.stderr
    assert [entry["session_id"] for entry in run.json("ls")] == ["good"]


def test_one_name_does_not_fit_two_sessions(run: CommandLine) -> None:
    path = run.file("many.jsonl", *({"id": f"s-{n}", "messages": CHAT} for n in range(2)))
    answer = run("import", path, "--session", "mine")
    assert answer.code == 2
    assert "line 2" in answer.stderr
    assert "leave out --session" in answer.stderr


def test_a_file_without_messages_creates_no_log(run: CommandLine) -> None:
    assert run.json("import", run.file("empty.jsonl"))["sessions"] == []
    assert not run.database().exists()


def test_a_missing_file_is_not_found_and_a_folder_is_refused(run: CommandLine) -> None:
    assert run("import", "nowhere.jsonl").code == 3
    assert run("import", str(run.folder)).code == 2


def test_people_are_told_the_sums(run: CommandLine) -> None:
    answer = run("import", run.file("talk.json", CHAT))
    assert "5 messages imported into 1 session, 0 already there" in answer.stdout


def test_the_packaged_transcript_is_the_project_s_own_and_valid() -> None:
    path = Path(import_.__file__).parent / "demonstration" / "transcript.json"
    content = json.loads(path.read_text("utf-8"))
    messages = [Message.model_validate(message) for message in content["messages"]]
    assert len({message.id for message in messages}) == sum(content["parts"]) == len(messages)
    calls = [part.tool_id for message in messages for part in message.tools]
    assert sorted(calls) == sorted(2 * [f"call-{number}" for number in range(1, 8)])
