"""Messages and their parts: what is kept, what is refused (M2)."""

from __future__ import annotations

import uuid
from typing import Any

import pydantic_core
import pytest
from hypothesis import example, given
from pydantic import ValidationError

import eventlog
from eventlog import (
    ContextPart,
    ImagePart,
    InvalidMessage,
    Message,
    OtherPart,
    TextPart,
    ToolPart,
)
from eventlog.session.messages import as_message, message_data, message_text, same_message
from eventlog.testing.strategies import message_contents, messages

FULL: dict[str, Any] = {
    "id": "m1",
    "role": "assistant",
    "parts": [
        {"type": "text", "text": "hello", "annotations": [1]},
        {"type": "context", "uri": "memory://1", "context_type": "skill", "abstract": "short"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {
            "type": "tool",
            "tool_id": "t1",
            "tool_name": "search",
            "tool_uri": "tool://search",
            "skill_uri": "skill://1",
            "tool_status": "completed",
            "tool_input": {"q": [1, {"a": None}]},
            "tool_output": "found",
            "duration_ms": 1.5,
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "vendor": {"x": "y"},
        },
        {"type": "acme.chart", "points": [[0, 1], [2, 3]]},
    ],
    "created_at": "2026-01-02T03:04:05+01:00",
    "name": "helper",
    "vendor": {"nested": [None, True]},
}


def test_each_part_is_read_as_its_type_and_unknown_ones_are_kept() -> None:
    message = as_message(FULL)

    assert [type(part) for part in message.parts] == [
        TextPart,
        ContextPart,
        ImagePart,
        ToolPart,
        OtherPart,
    ]
    assert message.text == "hello"
    assert [part.tool_output for part in message.tools] == ["found"]
    assert message.model_extra == {"name": "helper", "vendor": {"nested": [None, True]}}


def test_a_message_is_stored_as_it_was_given() -> None:
    """M2: nothing is dropped, and what was not given is not invented."""
    assert message_data(as_message(FULL)) == FULL


@given(message_contents())
def test_any_message_makes_the_round_trip(content: dict[str, Any]) -> None:
    given = {"id": "m1", **content, "created_at": "2026-01-01T00:00:00Z"}

    stored = message_data(as_message(given))

    assert stored == given
    assert message_data(as_message(dict(stored))) == given


def test_a_session_gives_back_what_it_was_given() -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(FULL)
        assert [message_data(message) for message in session.tail()] == [FULL]


def test_an_imported_tool_message_stays_a_message() -> None:
    tool = {"role": "tool", "parts": [{"type": "tool", "tool_id": "t9", "tool_output": "x"}]}
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(tool)
        assert [message.role for message in session.tail()] == ["tool"]


def test_a_message_draws_its_id_and_time_when_it_is_built() -> None:
    first, second = Message.user("a"), Message.user("a")

    assert uuid.UUID(first.id).version == 7
    assert first.id != second.id
    assert first.created_at.endswith("Z")
    assert message_data(first)["id"] == first.id


def test_the_builders_build_what_they_say() -> None:
    call = Message.call("search", {"q": 1}, tool_id="t1")
    messages = [
        Message.system("rules"),
        Message.user("hi", name="ada"),
        Message.assistant("so", tools=(call,)),
        Message.assistant(tools=(call,)),
        Message.tool("t1", "found", name="search", status="error"),
    ]

    assert [message.role for message in messages] == [
        "system",
        "user",
        "assistant",
        "assistant",
        "tool",
    ]
    assert messages[1].model_extra == {"name": "ada"}
    assert [len(message.parts) for message in messages] == [1, 1, 2, 1, 1]
    assert messages[2].tools[0].tool_status == "pending"
    assert messages[4].tools[0].tool_status == "error"
    assert Message.call("a", {}).tool_id != Message.call("a", {}).tool_id


def test_a_message_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Message.user("a").role = "system"  # type: ignore[misc]


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "robot"}, "role"),
        ({"role": None}, "role"),
        ({"parts": "text"}, "parts"),
        ({"parts": [{"type": "text"}]}, "parts.0.text.text"),
        ({"parts": [{"type": "text", "text": 7}]}, "parts.0.text.text"),
        ({"parts": [{"text": "no type"}]}, "parts.0.other.type"),
        ({"parts": [{"type": "tool"}]}, "parts.0.tool.tool_id"),
        (
            {"parts": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
            "parts.1.image_url.image_url",
        ),
        (
            {"parts": [{"type": "tool", "tool_id": "t", "tool_status": "lost"}]},
            "parts.0.tool.tool_status",
        ),
        ({"id": ""}, "id"),
        ({"id": "x" * 513}, "id"),
        ({"id": 7}, "id"),
        ({"created_at": 7}, "created_at"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    """P10: what, where; and nothing is stored."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        with pytest.raises(InvalidMessage) as caught:
            session.append({"role": "user", "parts": [], **change})
        assert not log.exists("s")

    assert caught.value.field == field
    assert caught.value.index is None
    assert f"field {field!r}" in str(caught.value)


@pytest.mark.parametrize("value", [object(), b"\xff", {"nested": [object()]}])
def test_a_field_that_json_cannot_hold_is_refused(value: Any) -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        with pytest.raises(InvalidMessage, match="cannot be stored as JSON"):
            session.append(Message.user("a", vendor=value))
        assert not log.exists("s")


@pytest.mark.parametrize("value", [None, "text", 7, ["list"], {}])
def test_what_is_no_message_at_all_is_refused(value: Any) -> None:
    with pytest.raises(InvalidMessage):
        as_message(value)


def test_the_place_in_a_batch_is_named_and_nothing_of_it_is_stored() -> None:
    """M3: all of a batch is validated before anything is stored."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        with pytest.raises(InvalidMessage, match=r"message 2, field 'role'") as caught:
            session.extend([Message.user("a"), Message.user("b"), {"role": "x", "parts": []}])
        assert not log.exists("s")

    assert (caught.value.index, caught.value.field) == (2, "role")


# ---- repetition -------------------------------------------------------------------------------


def test_a_repeated_message_has_the_same_content() -> None:
    """L3: a time that the caller did not give was drawn anew, so it does not count."""
    stored = message_data(Message(id="m", role="user", parts=(), created_at="then"))
    again = Message(id="m", role="user", parts=())
    other_time = Message(id="m", role="user", parts=(), created_at="now")
    other_text = Message.user("x", id="m")

    assert same_message(stored, message_data(again), again)
    assert not same_message(stored, message_data(other_time), other_time)
    assert not same_message(stored, message_data(other_text), other_text)


# ---- what counts as tokens --------------------------------------------------------------------


def test_texts_abstracts_and_tools_count() -> None:
    """M2, M11: texts, abstracts, tool ids, names, inputs, outputs, and the JSON of what is unknown.

    Neither URIs nor images: these weigh by an estimate of their own.
    """
    assert message_text(message_data(as_message(FULL))) == (
        'helloshortt1search{"q": [1, {"a": null}]}found{"points": [[0, 1], [2, 3]]}'
    )


def test_a_single_text_counts_as_it_is() -> None:
    assert message_text(message_data(Message.user("just this"))) == "just this"
    assert message_text(message_data(Message.assistant())) == ""


@given(messages())
@example(Message.user("hello"))
@example(Message.user("hello", id="m1"))
@example(Message.user("hello", seed=1))
@example(as_message({"role": "user", "parts": [{"type": "text", "text": "noted", "note": 1}]}))
@example(as_message({"role": "user", "parts": [{"text": "x", "type": "text"}], "id": "m1"}))
def test_a_message_of_one_text_is_the_same_data_without_the_serializer(message: Message) -> None:
    """Stored bytes depend on it, the order of the fields among them."""
    given = message.model_dump(exclude_unset=True)
    by_serializer = {"id": message.id, **given, "created_at": message.created_at}

    data = message.as_data()

    assert data == by_serializer
    assert pydantic_core.to_json(data) == pydantic_core.to_json(by_serializer)
