"""What a provider is given of one conversation, whatever shape it came in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Message
from tests.unit.test_parts import LOG, PICTURE, ROUNDS, SHAPES, in_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.session.chat.provider_messages import ProviderMessages

URL = f"data:image/png;base64,{PICTURE}"


def context(messages: list[Any]) -> eventlog.Context:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.extend(messages)
        return session.context()


def question(number: int) -> str:
    return f"Why did build {number} of the nightly branch fail?"


def output(number: int) -> str:
    return f"{LOG}Build {number} stopped."


def told(written: ProviderMessages) -> set[str]:
    """Return what was lost, without the names of tools beside results, which their calls have, and
    without the grouping of items, which `to_chat` restores."""
    restored = ("its call has it", "items are one message")
    return {loss.what for loss in written.losses if not loss.what.endswith(restored)}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_chat_api_is_given_the_same_in_every_shape(shape: Callable[..., Any]) -> None:
    written = context(in_shape(shape)).to_chat()
    expected: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        arguments = json.dumps({"path": f"logs/build-{number}.log"}, separators=(",", ":"))
        function = {"name": "read_log", "arguments": arguments}
        image = {"type": "image_url", "image_url": {"url": URL}}
        expected += [
            {"role": "user", "content": [{"type": "text", "text": question(number)}, image]},
            {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": f"call_{number}", "content": output(number)},
            {"role": "assistant", "content": f"It was {output(number)}"},
        ]
    for each in written:
        each.pop("name", None)  # Some shapes name the tool beside its result, too.
    assert list(written) == expected
    assert not told(written)


@pytest.mark.parametrize("shape", SHAPES)
def test_anthropic_is_given_the_same_in_every_shape(shape: Callable[..., Any]) -> None:
    written = context(in_shape(shape)).to_anthropic()
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    assert len(written) == 4 * ROUNDS
    for number in range(ROUNDS):
        asked, called, answered, said = written[4 * number : 4 * number + 4]
        text = {"type": "text", "text": question(number)}
        assert asked == {"role": "user", "content": [text, {"type": "image", "source": source}]}
        call = {"type": "tool_use", "id": f"call_{number}", "name": "read_log"}
        call["input"] = {"path": f"logs/build-{number}.log"}  # type: ignore[assignment]
        assert called["content"] == [{"type": "text", "text": "Looking."}, call]
        (result,) = answered["content"]
        assert result["tool_use_id"] == f"call_{number}"
        assert result["content"] in (output(number), [{"type": "text", "text": output(number)}])
        assert said["role"] == "assistant"
    assert not told(written)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_responses_api_is_given_the_same_in_every_shape(shape: Callable[..., Any]) -> None:
    written = context(in_shape(shape)).to_responses()
    calls = [item for item in written if item.get("type") == "function_call"]
    results = [item for item in written if item.get("type") == "function_call_output"]
    assert [item["call_id"] for item in calls] == [f"call_{number}" for number in range(ROUNDS)]
    assert [json.loads(item["arguments"])["path"] for item in calls] == [
        f"logs/build-{number}.log" for number in range(ROUNDS)
    ]
    assert [item["output"] for item in results] == [output(number) for number in range(ROUNDS)]
    images = [
        part["image_url"]
        for item in written
        for part in (item["content"] if isinstance(item.get("content"), list) else [])
        if part["type"] == "input_image"
    ]
    assert images == [URL] * ROUNDS
    assert not told(written)


def test_an_image_in_an_output_weighs_its_estimate_and_is_said_to_be_lost() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png"}}
    image["source"]["data"] = "A" * 40_000  # type: ignore[index]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [image]}
    chats = [
        {"role": "user", "content": "Show me"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "shot", "input": {}}],
        },
        {"role": "user", "content": [result]},
    ]
    given = context(chats)
    assert 1_000 < given.estimated_tokens < 1_100
    assert list(given.to_anthropic()) == chats
    for written in (given.to_chat(), given.to_responses()):
        assert "an image or recording in the output of 'c1'" in told(written)
        assert "A" * 100 not in json.dumps(list(written))


def test_a_call_in_the_old_form_without_an_id_is_paired_by_its_name() -> None:
    chats: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "weather", "arguments": '{"city":"Oslo"}'},
        },
        {"role": "function", "name": "weather", "content": "-3"},
    ]
    given = context(chats)
    assert list(given.to_chat()) == chats
    _, called, answered = given.to_anthropic()
    assert (called["content"][0]["id"], called["content"][0]["input"]) == (
        "weather",
        {"city": "Oslo"},
    )
    assert answered["content"][0]["tool_use_id"] == "weather"
    items = list(given.to_responses())
    assert [item.get("call_id") for item in items] == [None, "weather", "weather"]


def test_a_call_with_its_result_in_one_part_is_two_messages_for_a_provider() -> None:
    part = {
        "type": "tool-weather",
        "toolCallId": "c1",
        "state": "output-available",
        "input": {"city": "Oslo"},
        "output": "-3",
    }
    messages = [
        Message.user("Weather?"),
        Message.model_validate({"role": "assistant", "parts": [part]}),
    ]
    given = context(messages)
    assert [each["role"] for each in given.to_chat()] == ["user", "assistant", "tool"]
    assert [each["role"] for each in given.to_anthropic()] == ["user", "assistant", "user"]
    assert [each.get("output") for each in given.to_responses()] == [None, None, "-3"]
