"""A session with an incident in it: what the tests of looking back have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Finalizer, Message, Worker
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds

if TYPE_CHECKING:
    from eventlog import Log, Session


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    with eventlog.open("memory:", clock=clock, ids=NumberedIds()) as opened:
        yield opened


@pytest.fixture
def session(log: Log, clock: FakeClock) -> Session:
    """Two rounds with a tool call, a commit that was finalised, and a third round."""
    session = log.session("chat-42", create=True, owner="ada")  # 1
    session.append(
        Message.model_validate(
            {"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "Where is it?"}]}
        )
    )
    clock.advance(1)
    call = {
        "type": "tool",
        "tool_id": "call-1",
        "tool_name": "find",
        "tool_input": {"what": "it"},
        "tool_status": "running",
    }
    session.append(Message.model_validate({"id": "m-2", "role": "assistant", "parts": [call]}))  # 3
    clock.advance(1)
    session.record_tool_result("m-2", "call-1", "in the attic", actor="finder")  # 4
    session.extend(  # 5, 6
        [
            Message.model_validate(
                {
                    "id": "m-3",
                    "role": "assistant",
                    "parts": [{"type": "text", "text": "In the attic."}],
                }
            ),
            Message.model_validate(
                {"id": "m-4", "role": "user", "parts": [{"type": "text", "text": "Thanks!"}]}
            ),
        ]
    )
    clock.advance(1)
    session.commit(keep_recent=1)  # 7, 8
    clock.advance(1)
    Worker(log, Finalizer()).run_once()  # 9, 10, 11
    clock.advance(1)
    session.append(
        Message.model_validate(
            {"id": "m-5", "role": "user", "parts": [{"type": "text", "text": "x" * 20_000}]}
        )
    )
    return session
