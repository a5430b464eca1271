"""A call and its result are never parted, and two calls of one id are two calls (C3, M4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import eventlog
from eventlog import DuplicateEvent, InvalidArgument, InvalidMessage, Log, Message, Session, Worker


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:") as log:
        yield log


def asked_twice(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("Weather in Oslo and in Rome?"))
    calls = [Message.call("weather", {"city": city}, tool_id="c0") for city in ("Oslo", "Rome")]
    session.append(Message.assistant(None, tools=tuple(calls), id="a"))
    return session


def outputs(session: Session) -> list[str | None]:
    return [part.tool_output for part in session.tail()[1].tools]


def test_two_calls_with_one_id_get_a_result_each(log: Log) -> None:
    session = asked_twice(log)

    session.record_tool_result("a", "c0", "4 degrees")
    assert session.commit().reason == "all_within_keep_window"
    session.record_tool_result("a", "c0", "19 degrees")

    assert outputs(session) == ["4 degrees", "19 degrees"]
    assert session.tool_output("a", "c0", occurrence=1).text == "19 degrees"
    assert session.commit().archived == 2


def test_an_occurrence_names_the_call(log: Log) -> None:
    session = asked_twice(log)

    session.record_tool_result("a", "c0", "the same", occurrence=1)
    session.record_tool_result("a", "c0", "the same", occurrence=0)
    session.record_tool_result("a", "c0", "the same", occurrence=0)

    assert outputs(session) == ["the same", "the same"]
    assert session.version == 5
    with pytest.raises(InvalidMessage, match="occurrences are 0 to 1, not 2"):
        session.record_tool_result("a", "c0", "x", occurrence=2)
    with pytest.raises(InvalidArgument):
        session.record_tool_result("a", "c0", "x", occurrence=-1)


def test_a_result_given_again_is_a_repetition_and_answers_no_other_call(log: Log) -> None:
    """P8."""
    session = asked_twice(log)
    session.record_tool_result("a", "c0", "4 degrees")
    version = session.version

    session.record_tool_result("a", "c0", "4 degrees")
    assert session.version == version
    session.record_tool_result("a", "c0", "19 degrees")
    with pytest.raises(DuplicateEvent):
        session.record_tool_result("a", "c0", "a third one")


def test_results_as_messages_answer_calls_of_one_id_in_order(log: Log) -> None:
    session = asked_twice(log)
    session.append(Message.tool("c0", "4 degrees"))
    session.record_tool_result("a", "c0", "19 degrees")

    assert outputs(session) == [None, "19 degrees"]
    assert session.commit(keep_recent=1).archived == 1
    assert [message.role for message in session.tail()] == ["assistant", "tool"]


def test_a_result_behind_the_cut_keeps_its_call_live(log: Log) -> None:
    """C3: what a model is given begins with the call, and the overview misses no result."""
    session = log.session("s", create=True)
    session.append(Message.user("How many users?"))
    session.append(Message.assistant(None, tools=(Message.call("count", {}, tool_id="c1"),)))
    session.append(Message.tool("c1", "17"))
    session.append(Message.assistant("There are 17."))

    session.commit(keep_recent=2)
    Worker(log).run_once()
    context = session.context()

    assert [message.role for message in context.messages] == ["assistant", "tool", "assistant"]
    assert "without result" not in context.latest_archive_overview


def test_a_late_result_holds_the_rounds_between_together(log: Log) -> None:
    session = log.session("s", create=True)
    call = Message.call("slow", {}, tool_id="c1")
    session.append(Message.user("begin"))
    session.append(Message.assistant(None, tools=(call,), id="call"))
    session.append(Message.user("meanwhile"))
    session.append(Message.tool("c1", "done"))
    session.append(Message.user("next"))

    assert session.commit(keep_turn_tokens=4).archived == 4
    assert [message.text for message in session.tail()] == ["next"]


def test_a_result_without_any_call_is_given_to_no_model(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.tool("lost", "17"))
    session.append(Message.user("Hello"))

    assert [message.role for message in session.context().messages] == ["user"]
    assert [message.role for message in session.truncated()] == ["user"]
    assert len(session.tail()) == len(session.history()) == 2


def test_an_abandoned_call_is_closed_and_a_later_result_replaces_that(log: Log) -> None:
    session = asked_twice(log)
    session.record_tool_result("a", "c0", "4 degrees")

    assert session.abandon_call("a", "c0", reason="the tool is gone")
    assert not session.abandon_call("a", "c0")
    second = session.tail()[1].tools[1]
    assert (second.tool_status, second.tool_output) == ("error", "the tool is gone")
    assert (second.model_extra or {})["abandoned"] is True

    assert session.commit().archived == 2
    session.record_tool_result("a", "c0", "19 degrees", occurrence=1)
    second = session.history()[1].tools[1]
    assert (second.tool_status, second.tool_output) == ("completed", "19 degrees")
    assert "abandoned" not in (second.model_extra or {})


def test_a_call_that_nobody_made_cannot_be_abandoned(log: Log) -> None:
    session = asked_twice(log)
    with pytest.raises(InvalidMessage, match="has no call 'other'"):
        session.abandon_call("a", "other")
    with pytest.raises(InvalidMessage, match="no message 'nobody'"):
        session.abandon_call("nobody", "c0")


def test_the_asynchronous_twin_abandons_calls_too() -> None:
    async def run() -> tuple[bool, int]:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            call = Message.call("f", {}, tool_id="c")
            await session.append(Message.assistant(None, tools=(call,), id="a"))
            return await session.abandon_call("a", "c"), (await session.commit()).archived

    assert asyncio.run(run()) == (True, 1)


def test_a_call_in_a_provider_s_shape_takes_a_recorded_result(log: Log) -> None:
    session = log.session("s", create=True)
    part = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
    session.append(Message.model_validate({"id": "a", "role": "assistant", "parts": [part]}))
    assert session.commit().archived == 0

    session.record_tool_result("a", "toolu_1", "the log")

    assert session.tool_output("a", "toolu_1").text == "the log"
    assert session.commit().archived == 1


def test_a_call_without_arguments_stays_a_call_once_its_result_is_recorded(log: Log) -> None:
    """Found by random programs: a result that came as a message before was shown to no model."""
    session = log.session("s", create=True)
    call = {"type": "tool", "tool_id": "c0", "tool_name": "look", "tool_status": "pending"}
    session.append({"role": "assistant", "id": "a", "parts": [call]})
    session.append(Message.tool("c0", "as a message", id="b"))

    session.record_tool_result("a", "c0", "into the call")

    assert [message.id for message in session.context(token_budget=1_000).messages] == ["a", "b"]
