"""Calls and results in the shapes of Anthropic and of the Responses API, as tool parts.

The law: ``block_of(part) == block`` for every block that `tool_part` accepts. Whatever a tool part
has no field for is kept in it under ``chat_block``: the block without what the part's fields say.
"""

from __future__ import annotations

from typing import Final

from eventlog.session.chat.format import (
    NESTING_LEVELS,
    Fields,
    compact,
    is_deeper,
    is_object,
)
from eventlog.session.parts import output_text

__all__ = ["BLOCK", "RESULT_TYPES", "block_of", "tool_part"]

BLOCK: Final = "chat_block"
"""The field of a tool part that holds the rest of the block it was read from."""

_CALLS: Final = {"tool_use": "id", "server_tool_use": "id"}
"""Calls of Anthropic by type, and the field that names the call."""

RESULT_TYPES: Final = frozenset({"tool_result"})
"""Results of Anthropic by type; there they are content of a user's message."""


def tool_part(block: Fields) -> Fields | None:
    """Return a content block as a tool part; None if it is not one, or incomplete."""
    if BLOCK in block:
        return None
    type_ = block.get("type")
    if type_ in _CALLS:
        return _call_part(block)
    return _result_part(block) if type_ in RESULT_TYPES else None


def block_of(part: Fields) -> Fields | None:
    """Return the content block that a tool part was read from, or None."""
    rest = part.get(BLOCK)
    if not is_object(rest):
        return None
    if rest.get("type") in _CALLS:
        block = {**rest, "id": part["tool_id"], "name": part["tool_name"]}
        return {**block, "input": part.get("tool_input")} if "input" not in rest else block
    block = {**rest, "tool_use_id": part["tool_id"]}
    if "content" not in rest and "tool_output" in part and not rest.get("chat_no_content"):
        block["content"] = part["tool_output"]
    block.pop("chat_no_content", None)
    return block


def _call_part(block: Fields) -> Fields | None:
    tool_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(tool_id, str) or not isinstance(name, str) or not is_object(given):
        return None
    if not _is_storable(given):
        return None
    rest = {field: value for field, value in block.items() if field not in ("id", "name", "input")}
    return {
        "type": "tool",
        "tool_id": tool_id,
        "tool_name": name,
        "tool_status": "pending",
        "tool_input": given,
        BLOCK: rest,
    }


def _result_part(block: Fields) -> Fields | None:
    tool_id = block.get("tool_use_id")
    if not isinstance(tool_id, str) or "chat_no_content" in block:
        return None
    rest = {field: value for field, value in block.items() if field != "tool_use_id"}
    if "content" not in block:
        rest["chat_no_content"] = True
    elif isinstance(block["content"], str):
        del rest["content"]
    return {
        "type": "tool",
        "tool_id": tool_id,
        "tool_status": "error" if block.get("is_error") is True else "completed",
        "tool_output": output_text(block.get("content")),
        BLOCK: rest,
    }


def _is_storable(value: Fields) -> bool:
    try:
        compact(value).encode()
    except (ValueError, RecursionError):
        return False
    return not is_deeper(value, NESTING_LEVELS)
