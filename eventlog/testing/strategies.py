"""Hypothesis strategies for what people and programs say in a session."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["json_values", "message_contents", "texts"]


def texts(*, max_size: int = 6) -> st.SearchStrategy[str]:
    """Draw text that UTF-8 can hold: mostly plain letters, at times any script or control."""
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
