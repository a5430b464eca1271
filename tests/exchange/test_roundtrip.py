"""Conversations through every writer and reader, and back: equal, or the loss is named (A7)."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog.exchange import chat_from_messages, message_from_chat, to_chat
from eventlog.exchange.exporting import FORMATS, Format, export
from eventlog.exchange.reading import read_conversations
from eventlog.session.chat.format import compact
from tests.shares import examples

TEXTS = st.text('ab\u2028\u4f1a\U0001f600\n"{', min_size=1, max_size=12)
INPUTS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers() | TEXTS, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw chat messages: rounds with any number of parallel calls, spelled in two ways."""
    chats: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 4))):
        chats.append({"role": "user", "content": draw(TEXTS)})
        for turn in range(draw(st.integers(0, 2))):
            calls: list[dict[str, Any]] = []
            for place in range(draw(st.integers(1, 3))):
                separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
                arguments = json.dumps(draw(INPUTS), separators=separators, ensure_ascii=False)
                function = {"name": draw(st.sampled_from("fg")), "arguments": arguments}
                id_ = f"c{number}-{turn}-{place}"
                calls.append({"id": id_, "type": "function", "function": function})
            said = draw(st.none() | TEXTS)
            chats.append({"role": "assistant", "content": said, "tool_calls": calls})
            for call in calls:
                named = draw(st.booleans())
                result = {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)}
                chats.append({**result, **({"name": call["function"]["name"]} if named else {})})
        if draw(st.booleans()):
            chats.append({"role": "assistant", "content": draw(TEXTS)})
    return chats


def carried(chat: dict[str, Any], *, as_text: bool) -> dict[str, Any]:
    """Return a chat message without the name beside a result; ``as_text`` tells whether a format
    has the arguments of a call as the text that they were."""
    kept = {name: value for name, value in chat.items() if name != "name"}
    if "tool_calls" in kept and not as_text:
        kept["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.loads(given)}}
            for call in kept["tool_calls"]
            for given in [call["function"]["arguments"]]
        ]
    return kept


@pytest.mark.parametrize("format", FORMATS)
@given(chats=conversations())
@examples(12, 600)
def test_what_was_written_is_read_as_the_same(format: Format, chats: list[dict[str, Any]]) -> None:
    messages = [message_from_chat(chat) for chat in chats]
    exported = export("s", messages, format)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "back")
        lines = [json.dumps(value, ensure_ascii=False) + "\n" for value in exported.values]
        path.write_text("".join(lines), "utf-8")
        found = [each for each in read_conversations(path) if each.messages]
    back = list(found[0].messages) if found else []
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.extend(back)
        back = list(session.history())
    if format in ("chat", "jsonl"):
        assert list(chat_from_messages(back)) == chats
        assert not exported.losses
        return
    as_text = format == "responses"
    written = [carried(chat, as_text=as_text) for chat in to_chat(back)]
    assert written == [carried(chat, as_text=as_text) for chat in chats]
    assert {kind_of(loss.what) for loss in exported.losses} == expected_losses(format, chats)
    if format == "responses" and not exported.losses:
        assert len(back) == len(messages)


def kind_of(loss: str) -> str:
    """Return what a loss is about: it names a tool, or counts items."""
    return re.sub(r"(?<=name )'.*'|\d+", "…", loss)


def expected_losses(format: Format, chats: list[dict[str, Any]]) -> set[str]:
    """Return what a format that has neither names nor groups cannot carry of chat messages."""
    losses: set[str] = set()
    for chat in chats:
        calls = [call["function"]["arguments"] for call in chat.get("tool_calls", ())]
        if "name" in chat:
            losses.add("the tool's name … beside its result; its call has it")
        if format == "anthropic" and any(compact(json.loads(given)) != given for given in calls):
            losses.add("how the arguments of its call were spelled as JSON")
        if format == "responses" and len(calls) + bool(chat["content"]) > 1:
            losses.add("that its … items are one message")
    return losses
