"""Items of the Responses API other than messages: calls, their outputs, and reasoning.

The law: ``item_of(message) == item`` for every item that `item_fields` accepts. Whatever a message
has no field for is kept in it under ``chat_item``.
"""

from __future__ import annotations

from typing import Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.chat.format import (
    NESTING_LEVELS,
    Fields,
    compact,
    is_deeper,
    is_object,
    parse_json,
)
from eventlog.session.parts import output_text

__all__ = ["ITEM", "is_item", "item_fields"]

ITEM: Final = "chat_item"
"""The field of a message that holds the item that it was read from, without role and content."""

_CALLS: Final = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
}
"""Calls by type, and the field that holds their arguments."""

_RESULTS: Final = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "computer_call_output",
    }
)

_OTHERS: Final = frozenset(
    {
        "reasoning",
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "item_reference",
        "compaction",
    }
)


def is_item(value: Fields) -> bool:
    """Return whether a dictionary is an item of the Responses API other than a message."""
    type_ = value.get("type")
    return (
        isinstance(type_, str)
        and "role" not in value
        and "parts" not in value
        and (type_ in _CALLS or type_ in _RESULTS or type_ in _OTHERS)
    )


def item_fields(item: Fields) -> Fields:
    """Return the fields of the message that an item becomes; the item itself is kept in it.

    A call becomes a message of the assistant, its output one of role ``tool``, and anything else a
    part of its type in a message of the assistant.
    """
    type_ = item["type"]
    if type_ in _RESULTS:
        return _message("tool", item, _result(item), kept=("output", "call_id"))
    if type_ in _CALLS:
        return _message("assistant", item, _call(item), kept=("call_id",))
    part = {"type": type_, **{name: item[name] for name in item if name != "type"}}
    return _message("assistant", {"type": type_}, part, kept=())


def _message(role: str, item: Fields, part: Fields, kept: tuple[str, ...]) -> Fields:
    rest = {name: value for name, value in item.items() if name not in kept}
    return {"role": role, "parts": [part], ITEM: rest}


def _call(item: Fields) -> Fields:
    field = _CALLS[item["type"]]
    part: Fields = {
        "type": "tool",
        "tool_id": _id(item),
        "tool_name": item["name"] if isinstance(item.get("name"), str) else item["type"],
        "tool_status": "pending",
    }
    given = _arguments(item.get(field))
    if given is not None:
        part["tool_input"] = given
    if field == "arguments" and isinstance(item.get(field), str) and item[field] != _compact(given):
        part["chat_arguments"] = item[field]
    return part


def _compact(given: Fields | None) -> str | None:
    try:
        return None if given is None else compact(given)
    except (ValueError, RecursionError):
        return None


def _result(item: Fields) -> Fields:
    output = item.get("output")
    part: Fields = {
        "type": "tool",
        "tool_id": _id(item),
        "tool_status": "completed",
        "tool_output": output_text(output),
    }
    return part if isinstance(output, str) else {**part, "chat_output": output}


def _id(item: Fields) -> str:
    call_id = item.get("call_id")
    if not isinstance(call_id, str):
        raise InvalidMessage(
            f"the item of type {item['type']!r} has no 'call_id', which pairs call and output",
            field="call_id",
        )
    return call_id


def _arguments(value: Any) -> Fields | None:
    """Return the arguments of a call as an object, or None if they are not one."""
    if isinstance(value, str):
        try:
            parsed = parse_json(value)
        except (ValueError, RecursionError):
            parsed = None
        value = parsed if is_object(parsed) else {"input": value}
    return value if is_object(value) and not is_deeper(value, NESTING_LEVELS) else None
