"""A key is known to other processes, whatever the command: nothing in its digest is of one process (L3)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from eventlog import Event, Log, Message, Session, Turn
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock

KEY: Final = "k"

LARGE: Final = "a line of many\n" * 3_000


class Counted(Event, type="acme.counted_down"):
    """An event of a user's own."""

    by: int


def calling(id_: str) -> dict[str, Any]:
    part = {"type": "tool", "tool_id": "c", "tool_name": "t", "tool_status": "pending"}
    return {"id": id_, "role": "assistant", "parts": [part]}


def answered(output: str) -> dict[str, Any]:
    part = {"type": "tool", "tool_id": "d", "tool_name": "t", "tool_status": "completed"}
    return {"role": "assistant", "parts": [{**part, "tool_output": output}]}


def _archived(session: Session) -> str:
    if not session.archives():
        session.record_tool_result("call", "c", "o")
        session.commit(idempotency_key="before")
    return "archive_001"


CALLS: Final[dict[str, Callable[[Session], object]]] = {
    "abandon": lambda s: s.abandon(_archived(s), idempotency_key=KEY),
    "abandon_call": lambda s: s.abandon_call("call", "c", idempotency_key=KEY),
    "append": lambda s: s.append(answered(LARGE), idempotency_key=KEY),
    "assign_project": lambda s: s.assign_project("p", idempotency_key=KEY),
    "begin_message": lambda s: s.begin_message(idempotency_key=KEY),
    "begin_turn": lambda s: s.begin_turn("t", holder="h", idempotency_key=KEY).attempt,
    "clear": lambda s: s.clear(idempotency_key=KEY),
    "close": lambda s: s.close(idempotency_key=KEY),
    "commit": lambda s: s.commit(idempotency_key=KEY),
    "delete": lambda s: s.delete(idempotency_key=KEY),
    "enqueue": lambda s: s.enqueue({"role": "user", "content": "x"}, idempotency_key=KEY),
    "ensure_created": lambda s: s.ensure_created(idempotency_key=KEY),
    "extend": lambda s: s.extend([answered(LARGE)] * 2, idempotency_key=KEY),
    "memory_session": lambda s: s.memory_session("acme", idempotency_key=KEY),
    "queue_task": lambda s: s.queue_task("acme.index", {"a": 1}, idempotency_key=KEY),
    "record": lambda s: [each.version for each in s.record(Counted(by=1), idempotency_key=KEY)],
    "record_tool_result": lambda s: s.record_tool_result("call", "c", "o", idempotency_key=KEY),
    "replace": lambda s: s.replace(
        message_ids=["first"], messages=[Message.user("new", id="new")], idempotency_key=KEY
    ),
    "retry": lambda s: s.retry(_archived(s), idempotency_key=KEY),
    "set_failed_archives": lambda s: s.set_failed_archives("skip", idempotency_key=KEY),
    "used": lambda s: s.used(["memory://1"], idempotency_key=KEY),
    "withdraw": lambda s: s.withdraw(last=1, idempotency_key=KEY),
}


def test_every_command_with_a_key_is_here() -> None:
    members = inspect.getmembers(Turn, inspect.isfunction)
    keyed = [name for name, method in members if _has_key(method) and not name.startswith("_")]
    assert sorted(CALLS) == sorted(keyed)


def _has_key(method: Callable[..., Any]) -> bool:
    return "idempotency_key" in inspect.signature(method).parameters


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_key_is_known_where_the_same_functions_are_others(name: str) -> None:
    """Two estimators of tokens that do the same are at two addresses, as in two processes."""
    store, clock = MemoryStore(), FakeClock()
    here = Log(store, clock=clock, estimate_tokens=lambda text: len(text))  # noqa: PLW0108 - one function each
    elsewhere = Log(store, clock=clock, estimate_tokens=lambda text: len(text))  # noqa: PLW0108 - one function each
    session = here.session("s", create=True)
    session.extend([Message.user("hello", id="first"), calling("call")])
    first = CALLS[name](session)
    version = session.refresh() and session.version

    again = CALLS[name](elsewhere.session("s"))

    if name != "abandon_call":  # Its result is whether the call was open, and now it is not.
        assert again == first
    assert store.head("s").version == version
