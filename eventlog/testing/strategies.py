"""Hypothesis strategies for the messages and commands of a session.

`messages` and `commands` can be used as they are: a message's id is derived from its content, so a
message drawn twice is a repetition, and calls without a result stay open.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from eventlog.errors import EventLogError
from eventlog.log import Log
from eventlog.session.messages import Message
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.host import Call
from eventlog.testing.identifiers import NumberedIds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.recorded import Recorded

__all__ = ["commands", "histories", "json_values", "message_contents", "messages", "texts"]

_AT: Final = "2026-01-01T00:00:00Z"


def messages(*, calls: int = 2) -> st.SearchStrategy[Message]:
    """Draw messages; assistants make up to ``calls`` tool calls."""
    return _message_data(calls).map(Message.model_validate)


def _message_data(calls: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    return message_contents(calls=calls).map(_named)


def commands() -> st.SearchStrategy[Call]:
    """Draw calls of a `eventlog.Session`: append, extend, commit and used."""
    batches = st.lists(
        _message_data(), min_size=1, max_size=3, unique_by=lambda message: str(message["id"])
    )
    return st.one_of(
        st.builds(_command, st.just("append"), _message_data()),
        st.builds(_command, st.just("extend"), batches),
        st.builds(_command, st.just("commit"), st.integers(0, 3)),
        st.builds(
            _command, st.just("used"), st.lists(st.sampled_from("ab"), min_size=1, max_size=2)
        ),
    )


def histories(*, max_commands: int = 12) -> st.SearchStrategy[tuple[Recorded, ...]]:
    """Draw the records of one session, ``chat``, after a few commands."""
    return st.lists(commands(), max_size=max_commands).map(_history)


def _command(name: str, argument: Any) -> Call:
    return Call(name, (argument,))


def _named(content: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    name = f"m-{digest[:12]}"
    parts = [
        {**part, "tool_id": f"{name}-{part['tool_id']}"} if part["type"] == "tool" else part
        for part in content["parts"]
    ]
    return {**content, "id": name, "parts": parts, "created_at": _AT}


def _history(calls: Sequence[Call]) -> tuple[Recorded, ...]:
    clock = FakeClock()
    with Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        session = log.session("chat", create=True)
        for call in calls:
            clock.advance(1)
            # Refused, for instance: a message that is archived and appended again.
            with suppress(EventLogError):
                getattr(session, call.name)(*call.arguments)
        return tuple(log.read("chat"))


def texts(*, max_size: int = 6) -> st.SearchStrategy[str]:
    """Draw text that UTF-8 can hold: mostly plain letters, sometimes any script or control."""
    plain = st.text("abc ", max_size=max_size)
    return plain | plain | st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def json_values() -> st.SearchStrategy[Any]:
    """Draw small JSON values that read back as they were written."""
    whole = st.integers(-(2**53), 2**53)
    plain = st.none() | st.booleans() | whole | texts()
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=5,
    )


def message_contents(*, calls: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Draw messages without an id: all roles, known and unknown parts and fields.

    Assistants make up to ``calls`` tool calls, which await their results; their ids are ``0``,
    ``1`` …, to be made unique by the caller.
    """
    return st.one_of(
        _message("user", st.lists(_texts() | _references() | _unknown_parts(), max_size=2)),
        _message("system", st.lists(_texts(), min_size=1, max_size=1)),
        _message("assistant", _assistant_parts(calls)),
    )


def _message(
    role: str, parts: st.SearchStrategy[list[dict[str, Any]]]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"role": st.just(role), "parts": parts}, optional={"acme_field": json_values()}
    )


def _assistant_parts(calls: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    counts = st.integers(0, calls)
    made = counts.map(lambda count: [_call(number) for number in range(count)])
    return st.tuples(st.lists(_texts(), max_size=1), made).map(lambda parts: [*parts[0], *parts[1]])


def _call(number: int) -> dict[str, Any]:
    return {"type": "tool", "tool_id": str(number), "tool_name": "look", "tool_status": "pending"}


def _texts() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just("text"), "text": texts()})


def _references() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("context"), "uri": st.just("memory://1"), "abstract": texts()}
    )


def _unknown_parts() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just("acme"), "payload": json_values()})
