"""Text that UTF-8 cannot hold is refused wherever it occurs (P10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import eventlog
from eventlog import (
    Log,
    Message,
    Session,
)
from tests.shares import on_two_stores


def with_call(log: Log) -> Session:
    """Return a session with two records, of which the second makes a call."""
    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    return session


BROKEN = "half \ud83d"
"""A text with one half of a pair, which no UTF-8 can hold."""

UNSTORABLE: dict[str, Callable[[Session], Any]] = {
    "text": lambda session: session.append(Message.user(BROKEN)),
    "a text of a batch": lambda session: session.extend([Message.user("a"), Message.user(BROKEN)]),
    "part": lambda session: session.append({"role": "user", "parts": [{"type": "x", "y": BROKEN}]}),
    "field": lambda session: session.append({"role": "user", "parts": [], "z": [BROKEN]}),
    "name of a field": lambda session: session.append({"role": "user", "parts": [], BROKEN: 1}),
    "message id": lambda session: session.append({"role": "user", "parts": [], "id": BROKEN}),
    "key": lambda session: session.append({"role": "user", "parts": []}, idempotency_key=BROKEN),
    "actor": lambda session: session.append(Message.user("a"), actor=BROKEN),
    "correlation": lambda session: session.used(["a"], correlation_id=BROKEN),
    "context": lambda session: session.used([BROKEN]),
    "context with a key": lambda session: session.used([BROKEN], idempotency_key="k"),
    "skill": lambda session: session.used([], {"uri": BROKEN}),
    "key of usage": lambda session: session.used(["a"], idempotency_key=BROKEN),
    "output": lambda session: session.record_tool_result("m", "t", BROKEN),
    "project": lambda session: session.assign_project(BROKEN),
    "provider": lambda session: session.memory_session(BROKEN),
    "payload": lambda session: session.queue_task("acme.index", {"a": BROKEN}),
    "reason": lambda session: session.close(reason=BROKEN),
    "reason of deletion": lambda session: session.delete(reason=BROKEN),
}


@on_two_stores
@pytest.mark.parametrize(
    "call",
    [pytest.param(call, id=name) for name, call in UNSTORABLE.items()],
)
def test_text_that_utf8_cannot_hold_is_refused_and_nothing_stored(
    log: Log, call: Callable[[Session], Any]
) -> None:
    """P10."""
    session = with_call(log)

    with pytest.raises(eventlog.InvalidError):
        call(session)

    assert log.store.head("s").version == 2
    assert session.append(Message.user("whole")).text == "whole"


@on_two_stores
@pytest.mark.parametrize("field", ["owner", "project", "workspace", "provider", "model"])
def test_a_session_is_not_created_with_text_that_cannot_be_stored(log: Log, field: str) -> None:
    about: dict[str, Any] = {field: BROKEN}

    with pytest.raises(eventlog.InvalidError):
        log.session("s", create=True, **about).append(Message.user("a"))
    assert not log.exists("s")
