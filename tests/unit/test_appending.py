"""The fast path for appending one message records the same as the general one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import Log, Message, Metadata, Record
from eventlog.engine import arguments
from eventlog.engine.append_request import MessageRequest
from eventlog.engine.request import SessionRequest
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, engine_of
from eventlog.testing.strategies import message_contents
from tests.shares import examples


def records(contents: list[dict[str, Any]], *, short: bool) -> list[Record]:
    """Append messages one by one, by the short way or by the long one; return what is stored."""
    clock = FakeClock()
    with eventlog.open("memory:", clock=clock, ids=NumberedIds()) as log:
        session = log.session("s", create=True)
        session.used(["memory://1"])
        for number, content in enumerate(contents):
            clock.advance(number)
            message = Message.model_validate({"id": f"m{number}", "created_at": "then", **content})
            by = Metadata(actor="ada") if number % 2 else None
            engine_of(log).answer(_request(log, message, by, short=short))
        return list(log.store.read("s"))


def _request(log: Log, message: Message, by: Any, *, short: bool) -> Any:
    core, estimate = core_of(log, "s"), engine_of(log).estimate_tokens
    if short:
        request = arguments.append_one(core, estimate, message, None, by)
        assert isinstance(request, MessageRequest)
        return request
    return SessionRequest(core, arguments.append(core, estimate, [message], None), by)


@examples(20, 2_400)
@given(st.lists(message_contents(), max_size=4))
def test_both_ways_record_the_same_bytes(contents: list[dict[str, Any]]) -> None:
    assert records(contents, short=True) == records(contents, short=False)


@pytest.mark.parametrize("size", [1, 3])
def test_both_ways_leave_the_same_state(size: int) -> None:
    states = []
    for batched in (False, True):
        with eventlog.open("memory:", clock=FakeClock(), ids=NumberedIds()) as log:
            session = log.session("s", create=True)
            call = Message.call("look", {}, tool_id="t")
            messages = [
                Message.user("a", id="a", created_at="then"),
                Message.assistant("b", tools=(call,), id="b", created_at="then"),
                Message.tool("t", "c", id="c", created_at="then"),
            ][:size]
            if batched:
                session.extend(messages)
            else:
                for message in messages:
                    session.append(message)
            # The boundaries of appends are recorded (A3), so the hashes tell the two ways apart.
            states.append(replace(core_of(log, "s").refresh(), hash=b""))
    assert states[0] == states[1]
