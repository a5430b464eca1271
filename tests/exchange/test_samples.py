"""One small file per format: what came in, what was told, and the way back out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog.exchange.origins import origins
from tests.exchange.samples import OPENHANDS, SAMPLES, claude_code, lines
from tests.exchange.test_formats import PAIR, said

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SPOKEN = [PAIR[0], PAIR[3]]
HELD = [PAIR[0], ("assistant", ("c1", {"weather": {"city": "Oslo"}, "→": "-3 °C"})), PAIR[3]]

READ: dict[str, list[Any]] = {
    **dict.fromkeys(SAMPLES, PAIR),
    "own": HELD,
    "vercel": [
        PAIR[0],
        ("assistant", "step-start", HELD[1][1], "step-start", "Minus three."),
    ],
    "sharegpt": SPOKEN,
    "chatgpt": SPOKEN,
    "claude-ai": SPOKEN,
}
READ["gemini"] = [
    PAIR[0],
    ("assistant", ("weather-1", {"weather": {"city": "Oslo"}})),
    ("tool", ("weather-1", {"→": "-3 °C"})),
    PAIR[3],
]

TOLD: dict[str, list[str]] = {"claude-code": [], "codex": ["unread"], "chatgpt": ["branch"]}
FIELDS: dict[str, list[str]] = {
    "chat": ["model"],
    "anthropic": ["system"],
    "gemini": ["generationConfig"],
    "claude-code": ["summaries"],
    "codex": ["session_meta"],
    "chatgpt": ["conversation_id", "create_time", "current_node", "title"],
    "claude-ai": ["created_at", "name", "uuid"],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_comes_in_and_goes_out_again(run: CommandLine, name: str) -> None:
    path = run.folder / "s-1.any"
    path.write_bytes(SAMPLES[name])
    document = run.json("import", str(path))
    entry = document["sessions"][0]
    assert entry["session_id"] == "s-1"
    assert entry.get("format", "chat") == ("own+vercel" if name == "vercel" else name)
    assert [finding["kind"] for finding in document.get("findings", [])] == TOLD.get(name, [])
    assert sorted(entry.get("fields", [])) == FIELDS.get(name, [])
    with eventlog.open(run.store) as log:
        session = log.session("s-1")
        assert said(session.tail()) == READ[name]
        assert session.context().estimated_tokens > 5
        chats = list(session.context().to_chat())
        places = origins(log.store.read("s-1"))
    assert run.json("import", str(path))["imported"] == 0
    assert run("doctor", str(path)).code == 0

    # As JSON Lines each message has its line, and the line has its text.
    raw = SAMPLES[name].decode().splitlines()
    if name in ("responses", "own", "claude-code", "codex"):
        assert len(places) == len(READ[name])
        assert all("Weather in Oslo?" in raw[each.line - 1] for each in [*places.values()][:1])

    # What the library writes itself loses nothing.
    back = run.folder / "back.any"
    back.write_text(run("export", "s-1", "--format", "jsonl").stdout, "utf-8")
    run.json("import", str(back), "--session", "back")
    with eventlog.open(run.store) as log:
        assert log.session("back").tail() == log.session("s-1").tail()
        assert list(log.session("back").context().to_chat()) == chats


def test_what_a_format_can_carry_comes_back_to_the_letter(run: CommandLine) -> None:
    for name, format in (("chat", "chat"), ("anthropic", "anthropic"), ("responses", "responses")):
        path = run.folder / f"{name}.any"
        path.write_bytes(SAMPLES[name])
        session = f"to-{name}"
        if name == "responses":
            run.json("import", str(path), "--session", session)
            given = [json.loads(line) for line in SAMPLES[name].splitlines()]
        else:
            document = {**json.loads(SAMPLES[name]), "id": session}
            run.json("import", run.file(f"{name}.json", document))
            given = document["messages"]
        answer = run.json("export", session, "--format", format)
        assert answer["messages"] == given
        assert answer["losses"] == []
    path = run.folder / "own.any"
    path.write_bytes(SAMPLES["own"])
    run.json("import", str(path), "--session", "own")
    text = run("export", "own", "--format", "jsonl").stdout
    assert [json.loads(line) for line in text.splitlines()] == [
        json.loads(line) for line in SAMPLES["own"].splitlines()
    ]


def test_a_folder_of_events_comes_in_with_its_thought_and_its_call(run: CommandLine) -> None:
    folder = run.folder / "s-1"
    folder.mkdir()
    for number, event in OPENHANDS.items():
        (folder / f"{number}.json").write_text(json.dumps(event), "utf-8")
    assert run("doctor", str(folder)).code == 0
    assert run.json("import", str(folder))["imported"] == 4
    with eventlog.open(run.store) as log:
        question, call, result, answer = said(log.session("s-1").tail())
    assert (question, answer) == (PAIR[0], PAIR[3])
    assert call[:2] == ("assistant", "Looking.")
    assert result == ("tool", ("event-1", {"→": "-3 °C"}))


# ---- a transcript that somebody lost ----------------------------------------------------------


def lost_session() -> tuple[bytes, bytes]:
    """Return a transcript with a branch, a sidechain and a compaction, and the torn line at its end."""

    def edit(id_: str) -> list[Any]:
        return [{"type": "tool_use", "id": id_, "name": "Edit", "input": {"path": "test_login.py"}}]

    def done(id_: str, text: str) -> list[Any]:
        return [{"type": "tool_result", "tool_use_id": id_, "content": text}]

    whole = lines(
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        claude_code("u-1", None, "user", "The login test fails. Fix it."),
        claude_code("u-2", "u-1", "assistant", [{"type": "text", "text": "I change the code."}]),
        claude_code("u-3", "u-1", "assistant", [{"type": "text", "text": "I change the test."}]),
        claude_code("x-4", None, "user", "Who freezes the time?", isSidechain=True),
        claude_code("x-5", "x-4", "assistant", "Only test_cart.", isSidechain=True),
        claude_code("u-6", "u-3", "assistant", edit("c1")),
        claude_code("u-7", "u-6", "user", done("c1", "updated")),
        {
            **claude_code("u-8", None, "system", "x"),
            "logicalParentUuid": "u-7",
            "subtype": "compact_boundary",
            "content": "Conversation compacted",
            "message": None,
        },
        claude_code("u-9", "u-8", "user", "The login test is being fixed.", isCompactSummary=True),
    )
    return whole, lines(claude_code("v-9", "u-9", "assistant", edit("c2")))[:120]


def test_a_lost_transcript_is_found_again(run: CommandLine) -> None:
    whole, torn = lost_session()
    path = run.folder / "transcript"
    path.write_bytes(whole + torn)

    looked = run("doctor", str(path))
    assert looked.code == 1
    for words in (
        "torn",
        "the file ends within this line",
        "the user went back here",
        "session s-1.branch-u-2",
        "a subagent begins here",
        "session s-1.sidechain-x-4",
        "1 finding\n",
    ):
        assert words in looked.stdout

    refused = run("import", str(path))
    assert refused.code == 2
    assert "line 11: the file ends within this line" in refused.stderr
    assert "--quarantine imports what can be read" in refused.stderr
    assert run("ls").code != 0 or "s-1" not in run("ls").stdout

    answer = run("import", str(path), "--quarantine")
    assert "9 messages imported into 3 sessions" in answer.stdout
    assert "kept in quarantine: " in answer.stdout
    (kept,) = run.folder.glob(".quarantined-*")
    assert kept.read_bytes() == torn + b"\n"

    shown = run("show", "s-1", "--history").stdout
    told = [
        "line 2\n  The login test fails. Fix it.",
        "line 4\n  I change the test.",
        'line 7\n  → Edit(path="test_login.py")',
        "line 8\n  ← updated",
        "line 9\n  Conversation compacted",
        "line 10\n  The login test is being fixed.",
    ]
    found = [shown.index(words) for words in told]
    assert found == sorted(found)
    assert "I change the code." not in shown
    assert "I change the code." in run("show", "s-1.branch-u-2").stdout
    assert "Only test_cart." in run("show", "s-1.sidechain-x-4").stdout

    # The program went on writing: the rest of the line, and what followed.
    path.write_bytes(whole + lines(claude_code("v-9", "u-9", "assistant", "Done.")))
    (entry, *_) = run.json("import", str(path))["sessions"]
    assert (entry["imported"], entry["already_there"]) == (1, 6)
