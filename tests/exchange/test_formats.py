"""One small file per format: what came in, what was said about it, and the way back out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import eventlog
from eventlog.exchange.notes import Notes
from eventlog.exchange.reading import read_conversations

if TYPE_CHECKING:
    from pathlib import Path

    from eventlog import Message
    from eventlog.exchange.conversation import Conversation
    from tests.cli.conftest import CommandLine


def read(folder: Path, *lines: Any, document: Any = None) -> list[Conversation]:
    """Read a file of JSON Lines, or of one document over many lines, as import does."""
    path = folder / "anything.bin"
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    path.write_text(text if document is None else json.dumps(document, indent=1), "utf-8")
    return list(read_conversations(path, Notes("anything.bin")))


def said(messages: tuple[Message, ...]) -> list[Any]:
    """Return role and what each part says: a text, a call with its input, a result."""
    return [(message.role, *(_part(part) for part in message.parts)) for message in messages]


def _part(part: Any) -> Any:
    if part.type == "text":
        return part.text
    if part.type != "tool":
        return part.type
    call = {} if part.tool_input is None else {part.tool_name: part.tool_input}
    result = {} if part.tool_output is None else {"→": part.tool_output}
    return (part.tool_id, {**call, **result})


def kinds(found: Conversation) -> list[str]:
    """Return the kinds of what was found while it was read."""
    return [noted.finding.kind for noted in found.findings]


PAIR = [
    ("user", "Weather in Oslo?"),
    ("assistant", ("c1", {"weather": {"city": "Oslo"}})),
    ("tool", ("c1", {"→": "-3 °C"})),
    ("assistant", "Minus three."),
]


def test_anthropic_messages_are_read_and_written_back_as_they_were(tmp_path: Path) -> None:
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
    }
    chats: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "Weather in Oslo?"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Ask.", "signature": "s"},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "-3 °C", "is_error": False}
            ],
        },
        {"role": "assistant", "content": "Minus three."},
    ]
    document = {"id": "a", "model": "m", "system": "Be brief.", "messages": chats}
    (found,) = read(tmp_path, document=document)
    assert found.format == "anthropic"
    assert found.fields == {"model": "m", "system": "Be brief."}
    assert said(found.messages) == [
        ("user", "Weather in Oslo?", "image"),
        ("assistant", "thinking", ("c1", {"weather": {"city": "Oslo"}})),
        *PAIR[2:],
    ]
    with eventlog.open("memory:") as log:
        session = log.session("a", create=True)
        session.extend(chats)
        context = session.context()
    assert list(context.to_anthropic()) == chats
    written = context.to_chat()
    assert [message["role"] for message in written] == ["user", "assistant", "tool", "assistant"]
    assert written[0]["content"][1]["image_url"]["url"] == "data:image/png;base64,AA=="
    assert written[1]["tool_calls"][0]["function"]["arguments"] == '{"city":"Oslo"}'
    assert [loss.what for loss in written.losses] == ["a part of type 'thinking'"]


def test_items_of_the_responses_api_are_read_and_written_back_as_they_were(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather in Oslo?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "weather",
            "arguments": '{"city": "Oslo"}',
        },
        {"type": "function_call_output", "call_id": "c1", "output": "-3 °C"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Minus three.", "annotations": []}],
        },
    ]
    (found,) = read(tmp_path, *items)
    assert found.format == "responses"
    assert said(found.messages) == [PAIR[0], ("assistant", "reasoning"), *PAIR[1:]]
    with eventlog.open("memory:") as log:
        session = log.session("r", create=True)
        session.extend(items)
        context = session.context()
    assert list(context.to_responses()) == items
    roles = [message["role"] for message in context.to_anthropic()]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert list(context.to_chat())[2]["content"] == "-3 °C"


def test_ui_messages_of_the_ai_sdk_have_call_and_result_in_one_part(tmp_path: Path) -> None:
    messages = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Weather in Oslo?"}]},
        {
            "id": "a1",
            "role": "assistant",
            "metadata": {"model": "m"},
            "parts": [
                {"type": "step-start"},
                {
                    "type": "tool-weather",
                    "toolCallId": "c1",
                    "state": "output-available",
                    "input": {"city": "Oslo"},
                    "output": {"celsius": -3},
                },
                {"type": "text", "text": "Minus three.", "state": "done"},
            ],
        },
    ]
    (found,) = read(tmp_path, document={"id": "v", "messages": messages})
    assert found.format == "own+vercel"
    assert [message.id for message in found.messages] == ["u1", "a1"]
    call = ("c1", {"weather": {"city": "Oslo"}, "→": '{"celsius": -3}'})
    assert said(found.messages)[1] == ("assistant", "step-start", call, "Minus three.")


def test_gemini_calls_are_paired_by_name_and_order(tmp_path: Path) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Weather in Oslo and Rome?"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
                {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"celsius": -3}}},
                {"functionResponse": {"name": "weather", "response": {"celsius": 19}}},
            ],
        },
    ]
    (found,) = read(tmp_path, document={"contents": contents, "generationConfig": {"topK": 1}})
    assert found.format == "gemini"
    assert found.fields == {"generationConfig": {"topK": 1}}
    assert said(found.messages)[1:] == [
        (
            "assistant",
            ("weather-1", {"weather": {"city": "Oslo"}}),
            ("weather-2", {"weather": {"city": "Rome"}}),
        ),
        (
            "tool",
            ("weather-1", {"→": '{"celsius": -3}'}),
            ("weather-2", {"→": '{"celsius": 19}'}),
        ),
    ]


def test_turns_of_sharegpt_are_messages(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    (found,) = read(tmp_path, document=[{"id": "s_0", "conversations": turns}])
    assert (found.session_id, found.format) == ("s_0", "sharegpt")
    assert said(found.messages) == [("user", "Hi"), ("assistant", "Hello")]


def test_a_history_of_pydantic_ai_is_split_by_who_speaks(tmp_path: Path) -> None:
    records = [
        {
            "kind": "request",
            "parts": [
                {"part_kind": "system-prompt", "content": "Be brief."},
                {
                    "part_kind": "user-prompt",
                    "content": "Weather in Oslo?",
                    "timestamp": "2026-01-01T10:00:00Z",
                },
            ],
        },
        {
            "kind": "response",
            "model_name": "m",
            "timestamp": "2026-01-01T10:00:01Z",
            "parts": [
                {
                    "part_kind": "tool-call",
                    "tool_name": "weather",
                    "args": '{"city":"Oslo"}',
                    "tool_call_id": "c1",
                }
            ],
        },
        {
            "kind": "request",
            "parts": [
                {
                    "part_kind": "tool-return",
                    "tool_name": "weather",
                    "content": "-3 °C",
                    "tool_call_id": "c1",
                }
            ],
        },
        {"kind": "response", "parts": [{"part_kind": "text", "content": "Minus three."}]},
    ]
    (found,) = read(tmp_path, document=records)
    assert found.format == "pydantic-ai"
    assert said(found.messages) == [("system", "Be brief."), *PAIR]
    assert found.messages[1].created_at == "2026-01-01T10:00:00Z"
    assert len({message.id for message in found.messages}) == 5


def test_messages_of_langchain_are_read_in_its_three_forms(tmp_path: Path) -> None:
    call = {"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}
    records = [
        {"type": "human", "data": {"content": "Weather in Oslo?", "type": "human"}},
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", "AIMessage"],
            "kwargs": {"content": "", "tool_calls": [call], "id": "run-1"},
        },
        {"type": "tool", "content": "-3 °C", "tool_call_id": "c1", "status": "success"},
        {"type": "ai", "content": "Minus three.", "additional_kwargs": {}},
    ]
    (found,) = read(tmp_path, document=records)
    assert found.format == "langchain"
    assert said(found.messages) == PAIR
    assert found.messages[1].id == "run-1"


def line(uuid: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return a line of a Claude Code transcript."""
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "sessionId": "s-1",
        "type": role,
        "message": {"role": role, "content": content},
        "uuid": uuid,
        "timestamp": f"2026-01-01T10:00:0{uuid[-1]}.000Z",
        **more,
    }


TRANSCRIPT: list[Any] = [
    {"type": "summary", "summary": "Weather", "leafUuid": "u-5"},
    line("u-1", None, "user", "Weather in Oslo?"),
    line(
        "u-2",
        "u-1",
        "assistant",
        [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
    ),
    line("u-3", "u-2", "user", [{"type": "tool_result", "tool_use_id": "c1", "content": "-3 °C"}]),
    line("u-4", "u-3", "assistant", [{"type": "text", "text": "Cold."}]),
    line("x-5", None, "user", "Look it up", isSidechain=True),
    line("x-6", "x-5", "assistant", "Done", isSidechain=True),
    line("u-7", "u-3", "assistant", [{"type": "text", "text": "Minus three."}]),
    {
        "parentUuid": None,
        "logicalParentUuid": "u-7",
        "sessionId": "s-1",
        "type": "system",
        "subtype": "compact_boundary",
        "content": "Conversation compacted",
        "uuid": "u-8",
        "timestamp": "2026-01-01T10:00:08.000Z",
    },
    line("u-9", "u-8", "user", "This session is continued.", isCompactSummary=True),
    {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
]


def test_a_claude_code_transcript_is_a_session_with_its_branches_beside(tmp_path: Path) -> None:
    main, branch, side = read(tmp_path, *TRANSCRIPT)
    assert main.session_id == "s-1"
    assert main.fields == {"summaries": [{"summary": "Weather", "leafUuid": "u-5"}]}
    assert said(main.messages) == [
        *PAIR,
        ("system", "Conversation compacted"),
        ("user", "This session is continued."),
    ]
    assert [message.id for message in main.messages] == ["u-1", "u-2", "u-3", "u-7", "u-8", "u-9"]
    assert main.lines == (2, 3, 4, 8, 9, 10)
    assert (branch.session_id, said(branch.messages)) == (
        "s-1.branch-u-4",
        [("assistant", "Cold.")],
    )
    assert (side.session_id, len(side.messages)) == ("s-1.sidechain-x-5", 2)
    assert sorted({*kinds(main), *kinds(branch), *kinds(side)}) == ["branch", "sidechain", "unread"]


def test_results_of_parallel_calls_stay_on_the_main_path(tmp_path: Path) -> None:
    calls = [
        {"type": "tool_use", "id": f"c{n}", "name": "weather", "input": {"n": n}} for n in (1, 2)
    ]
    results = [{"type": "tool_result", "tool_use_id": f"c{n}", "content": "ok"} for n in (1, 2)]
    found = read(
        tmp_path,
        line("u-1", None, "user", "Both?"),
        line("u-2", "u-1", "assistant", calls[:1]),
        line("u-3", "u-2", "assistant", calls[1:]),
        line("u-4", "u-2", "user", results[:1]),
        line("u-5", "u-3", "user", results[1:]),
        line("u-6", "u-5", "assistant", "Done."),
    )
    assert [len(conversation.messages) for conversation in found] == [6]


def test_a_damaged_transcript_is_looked_over_imported_and_shown(run: CommandLine) -> None:
    torn = json.dumps(TRANSCRIPT[1])[:40]
    lines = [json.dumps(entry) for entry in TRANSCRIPT]
    lines[3:5] = [torn + lines[3] + lines[4]]  # A write was cut off, and later ones went on.
    path = run.file("session.log", *lines, lines[1], lines[0][:20])
    with open(path, "r+b") as file:
        file.truncate(file.seek(0, 2) - 1)
    looked = run("doctor", path, "--json")
    assert looked.code == 1
    found = {finding["kind"] for finding in looked.document["findings"]}
    assert {"glued", "torn", "doubled", "branch", "sidechain"} <= found
    assert run("import", path).code == 2
    document = run.json("import", path, "--quarantine")
    assert document["imported"] == 6 + 1 + 2
    assert len(document["quarantined"]) == 1
    shown = run("show", "s-1", "--history").stdout
    assert shown.index("Weather in Oslo?") < shown.index("Minus three.")
    assert run.json("import", path, "--quarantine")["imported"] == 0


def test_a_codex_rollout_is_one_session(tmp_path: Path) -> None:
    def item(**payload: Any) -> dict[str, Any]:
        return {
            "timestamp": "2026-01-01T10:00:01.000Z",
            "type": "response_item",
            "payload": payload,
        }

    (found,) = read(
        tmp_path,
        {
            "timestamp": "2026-01-01T10:00:00.000Z",
            "type": "session_meta",
            "payload": {"id": "x-1", "cwd": "/srv"},
        },
        item(
            type="message",
            role="user",
            content=[{"type": "input_text", "text": "Weather in Oslo?"}],
        ),
        {"timestamp": "2026-01-01T10:00:01.000Z", "type": "event_msg", "payload": {"type": "x"}},
        item(type="function_call", call_id="c1", name="weather", arguments='{"city":"Oslo"}'),
        item(type="function_call_output", call_id="c1", output="-3 °C"),
        item(
            type="message",
            role="assistant",
            content=[{"type": "output_text", "text": "Minus three."}],
        ),
    )
    assert (found.session_id, found.format) == ("x-1", "codex")
    assert said(found.messages) == PAIR
    assert found.fields == {"session_meta": {"id": "x-1", "cwd": "/srv"}}
    assert kinds(found) == ["unread"]
    assert found.messages[0].created_at == "2026-01-01T10:00:01.000Z"


def test_an_export_of_chatgpt_is_its_current_path(tmp_path: Path) -> None:
    def node(key: str, parent: str | None, role: str, text: str) -> dict[str, Any]:
        message = {
            "id": f"m-{key}",
            "author": {"role": role},
            "create_time": 1_767_261_600.5,
            "content": {"content_type": "text", "parts": [text]},
        }
        return {"id": key, "parent": parent, "message": message, "children": []}

    mapping = {
        "root": {"id": "root", "parent": None, "message": None, "children": []},
        "a": node("a", "root", "user", "Weather?"),
        "b": node("b", "a", "assistant", "Cold."),
        "c": node("c", "a", "assistant", "Minus three."),
    }
    exported = {"title": "T", "conversation_id": "g-1", "current_node": "c", "mapping": mapping}
    main, branch = read(tmp_path, document=[exported])
    assert main.session_id == "g-1"
    assert said(main.messages) == [("user", "Weather?"), ("assistant", "Minus three.")]
    assert main.messages[0].created_at == "2026-01-01T10:00:00.500000Z"
    assert said(branch.messages) == [("assistant", "Cold.")]


def test_an_export_of_claude_ai_is_a_session_per_conversation(tmp_path: Path) -> None:
    messages = [
        {"uuid": "m1", "sender": "human", "text": "Hi", "created_at": "2026-01-01T10:00:00Z"},
        {
            "uuid": "m2",
            "sender": "assistant",
            "text": "Hello",
            "content": [{"type": "text", "text": "Hello"}],
        },
    ]
    exported = {"uuid": "k-1", "name": "Greeting", "chat_messages": messages}
    (found,) = read(tmp_path, document=[exported])
    assert (found.session_id, found.fields) == ("k-1", {"uuid": "k-1", "name": "Greeting"})
    assert said(found.messages) == [("user", "Hi"), ("assistant", "Hello")]


def test_a_folder_of_openhands_events_is_a_session(run: CommandLine) -> None:
    events = {
        0: {
            "id": 0,
            "source": "user",
            "action": "message",
            "args": {"content": "List the files"},
            "timestamp": "2026-01-01T10:00:00.123456",
        },
        1: {
            "id": 1,
            "source": "agent",
            "action": "run",
            "args": {"command": "ls", "thought": "Looking."},
        },
        3: {"id": 3, "observation": "run", "cause": 1, "content": "a.txt", "extras": {}},
    }
    folder = run.folder / "conv-1" / "events"
    folder.mkdir(parents=True)
    for number, event in events.items():
        (folder / f"{number}.json").write_text(json.dumps(event), "utf-8")
    looked = run("doctor", str(folder.parent), "--json")
    assert looked.code == 1
    assert [finding["kind"] for finding in looked.document["findings"]] == ["gap"]
    (entry,) = run.json("import", str(folder.parent))["sessions"]
    assert (entry["session_id"], entry["format"]) == ("conv-1", "openhands")
    with eventlog.open(run.store) as log:
        messages = log.session("conv-1").tail()
    call = ("event-1", {"run": {"command": "ls", "thought": "Looking."}})
    assert said(messages) == [
        ("user", "List the files"),
        ("assistant", "Looking.", call),
        ("tool", ("event-1", {"→": "a.txt"})),
    ]
