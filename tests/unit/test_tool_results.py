"""Results of tool calls, which arrive after the message that made the call (M4)."""

from __future__ import annotations

from typing import Any

import pytest

from eventlog import (
    DuplicateEvent,
    InvalidMessage,
    Log,
    Message,
    Session,
)
from tests.shares import on_two_stores


def with_call(log: Log) -> Session:
    session = log.session("s", create=True)
    call = Message.call("look", {"at": 1}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    return session


@pytest.mark.parametrize("status", ["completed", "error", "running"])
def test_a_result_joins_the_call_that_it_answers(log: Log, status: Any) -> None:
    """M4."""
    session = with_call(log)

    session.record_tool_result("m", "t", "found", status, duration_ms=2.5)

    (tool,) = session.tail()[0].tools
    assert (tool.tool_output, tool.tool_status, tool.duration_ms) == ("found", status, 2.5)
    assert tool.tool_input == {"at": 1}


def test_the_latest_result_of_a_call_is_shown(log: Log) -> None:
    session = with_call(log)

    session.record_tool_result("m", "t", "half of it", "running")
    session.record_tool_result("m", "t", "all of it")

    assert [part.tool_output for part in session.tail()[0].tools] == ["all of it"]
    assert [part.tool_status for part in session.tail()[0].tools] == ["completed"]


def test_a_repeated_result_is_recorded_once_and_another_one_refused(log: Log) -> None:
    session = with_call(log)
    session.record_tool_result("m", "t", "found")
    version = session.version

    session.record_tool_result("m", "t", "found")
    assert session.version == version
    with pytest.raises(DuplicateEvent):
        session.record_tool_result("m", "t", "something else")
    assert log.store.head("s").version == version


@on_two_stores
@pytest.mark.parametrize(
    ("message_id", "tool_id", "status", "field"),
    [
        ("unknown", "other", "completed", "message_id"),
        ("m", "other", "completed", "tool_id"),
        ("m", "t", "pending", "status"),
        ("m", "t", "lost", "status"),
    ],
)
def test_a_result_of_a_call_that_nobody_made_is_refused(
    log: Log, message_id: str, tool_id: str, status: Any, field: str
) -> None:
    session = with_call(log)

    with pytest.raises(InvalidMessage) as caught:
        session.record_tool_result(message_id, tool_id, "found", status)

    assert caught.value.field == field
    assert log.store.head("s").version == 2


def test_a_result_for_a_message_that_does_not_exist_is_refused(log: Log) -> None:
    """M4: also where a call with that tool id awaits its result in another message."""
    session = with_call(log)

    with pytest.raises(InvalidMessage):
        session.record_tool_result("unknown", "t", "found")


@pytest.mark.parametrize("archived", [False, True])
def test_a_result_for_an_archived_message_reaches_the_history(log: Log, archived: bool) -> None:
    """C3."""
    session = with_call(log)
    session.record_tool_result("m", "t", "failed at first", "error")
    if archived:
        session.commit()

    session.record_tool_result("m", "t", "found")

    assert [part.tool_output for part in session.history()[0].tools] == ["found"]
    assert len(session.tail()) == (0 if archived else 1)
