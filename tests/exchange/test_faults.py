"""Small files that failed when tried from outside, each with its right outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eventlog
from eventlog import Message

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

FAULTS = Path(__file__).with_name("faults")


def texts(run: CommandLine, session: str) -> list[str]:
    """Return the text of each live message."""
    with eventlog.open(run.store) as log:
        return [message.text for message in log.session(session).tail()]


def imported(run: CommandLine, session: str) -> dict[str, Any]:
    """Return the data of the newest import of a session."""
    with eventlog.open(run.store) as log:
        events = [e.event for e in log.read(session) if e.type == "conversation_imported"]
    return events[-1].model_dump(mode="json")


def test_our_own_message_lines_are_read_with_their_texts(run: CommandLine) -> None:
    document = run.json("import", str(FAULTS / "own-format.jsonl"))
    (entry,) = document["sessions"]
    assert entry["format"] == "own"
    said = ["Which port does the proxy use?", "It listens on 8443."]
    assert texts(run, "own-format") == said
    tail = run.json("show", "own-format")["tail"]
    lines = (FAULTS / "own-format.jsonl").read_text("utf-8").splitlines()
    assert tail == [json.loads(line) for line in lines]


def test_two_conversations_of_one_name_are_two_sessions(run: CommandLine) -> None:
    run("import", str(FAULTS / "one-name" / "a" / "chat.jsonl"))
    before = run.json("show", "chat")
    answer = run("import", str(FAULTS / "one-name" / "b" / "chat.jsonl"))
    assert answer.code == 0
    assert run.json("show", "chat") == before
    (other,) = [e["session_id"] for e in run.json("ls") if e["session_id"] != "chat"]
    assert texts(run, other) == ["Fix the failing login test", "Which branch?"]
    (entry,) = run.json("import", str(FAULTS / "one-name" / "b" / "chat.jsonl"))["sessions"]
    assert (entry["session_id"], entry["instead_of"]) == (other, "chat")
    assert (entry["imported"], entry["already_there"]) == (0, 2)


def test_a_file_of_another_name_is_found_again_by_its_beginning(run: CommandLine) -> None:
    run("import", str(FAULTS / "one-name" / "a" / "chat.jsonl"))
    content = (FAULTS / "one-name" / "a" / "chat.jsonl").read_text("utf-8")
    (entry,) = run.json("import", run.file("renamed.jsonl", content.rstrip("\n")))["sessions"]
    assert (entry["session_id"], entry["imported"]) == ("chat", 0)


def test_calls_and_results_of_anthropic_are_a_pair(run: CommandLine) -> None:
    run("import", str(FAULTS / "anthropic-parts.jsonl"))
    with eventlog.open(run.store) as log:
        session = log.session("anthropic-parts")
        _, call, result, _ = session.tail()
        assert [part.tool_id for part in (*call.tools, *result.tools)] == ["toolu_A", "toolu_A"]
        assert result.tools[0].tool_output == "line one of the log, and many more lines"
        appended: list[Any] = [
            e.event for e in log.read("anthropic-parts") if e.type.startswith("mess")
        ]
        assert all(event.tokens > 0 for event in appended)
        for keep in range(5):
            kept = session.truncated(keep_first_user=False, recent=keep)
            assert not kept or kept[0].role != "tool"
        back = session.context().to_anthropic()
    lines = (FAULTS / "anthropic-parts.jsonl").read_text("utf-8").splitlines()
    assert list(back) == [json.loads(line) for line in lines]
    assert not back.losses


def test_both_texts_of_a_responses_conversation_are_seen(run: CommandLine) -> None:
    run("import", str(FAULTS / "responses-text.jsonl"))
    shown = run("show", "responses-text").stdout
    assert "Why did the nightly build break?" in shown
    assert "The linker could not find a symbol." in shown
    run("commit", "responses-text")
    run("work", "--once")
    overview = run.json("show", "responses-text")["overview"]
    assert "Why did the nightly build break?" in overview
    assert "linker" in overview


def test_the_fields_of_a_conversation_are_kept_with_its_session(run: CommandLine) -> None:
    document = run.json("import", str(FAULTS / "conversation-fields.jsonl"))
    assert [entry["session_id"] for entry in document["sessions"]] == ["c-1", "c-2"]
    assert document["sessions"][0]["fields"] == ["created_at", "metadata", "tools"]
    first = json.loads((FAULTS / "conversation-fields.jsonl").read_text("utf-8").splitlines()[0])
    kept = imported(run, "c-1")["fields"]
    assert kept == {name: first[name] for name in ("created_at", "metadata", "tools")}
    version = run.json("show", "c-1")["version"]
    run.json("import", str(FAULTS / "conversation-fields.jsonl"))
    assert run.json("show", "c-1")["version"] == version


def test_half_an_emoji_becomes_text_that_says_so(run: CommandLine) -> None:
    document = run.json("import", str(FAULTS / "half-emoji.jsonl"))
    assert document["imported"] == 4
    (finding,) = document["findings"]
    assert (finding["kind"], finding["line"]) == ("replaced", 3)
    tail = run.json("show", "half-emoji")["tail"]
    assert tail[2]["parts"][0]["tool_output"] == "done \\ud83d..."
    lines = (FAULTS / "half-emoji.jsonl").read_text("utf-8").splitlines()
    assert imported(run, "half-emoji")["findings"][0]["original"] == lines[2]
    assert run.json("import", str(FAULTS / "half-emoji.jsonl"))["imported"] == 0


def test_two_calls_of_one_id_have_a_result_each(tmp_path: Path) -> None:
    """``same_id_twice.py``, also after the log was opened again."""
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        session.append(Message.user("Weather in Oslo and in Rome?"))
        cities = ("Oslo", "Rome")
        calls = [Message.call("weather", {"city": city}, tool_id="call_0") for city in cities]
        asked = session.append(Message.assistant(None, tools=tuple(calls)))
        session.record_tool_result(asked.id, "call_0", "Oslo: 4 degrees")
        session.record_tool_result(asked.id, "call_0", "Rome: 19 degrees")
    with eventlog.open(url) as log:
        tools = log.session("s").tail()[1].tools
    assert [(part.tool_input, part.tool_output) for part in tools] == [
        ({"city": "Oslo"}, "Oslo: 4 degrees"),
        ({"city": "Rome"}, "Rome: 19 degrees"),
    ]


def test_no_model_is_given_a_result_without_its_call() -> None:
    """``orphan_result.py``: at every number of messages that a commit keeps."""
    for keep in range(5):
        with eventlog.open("memory:") as log:
            session = log.session("s", create=True)
            session.append(Message.user("How many users?"))
            call = Message.call("count", {}, tool_id="c1")
            session.append(Message.assistant(None, tools=(call,)))
            session.append(Message.tool("c1", "17"))
            session.append(Message.assistant("There are 17."))
            session.commit(keep_recent=keep)
            eventlog.Worker(log).run_once()
            context = session.context()
            roles = [message.role for message in context.messages]
            assert roles.count("tool") == 0 or "assistant" in roles[: roles.index("tool")]
            for given in (context.to_chat(), context.to_anthropic(), context.to_responses()):
                text = json.dumps(list(given))
                assert ("17" in text) >= ('"c1"' in text)
            overview = context.latest_archive_overview
            assert "ithout result" not in overview
