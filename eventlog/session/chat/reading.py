"""Reading chat messages as the fields of `Message`."""

from __future__ import annotations

from typing import Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.chat.blocks import tool_part
from eventlog.session.chat.format import (
    LIST,
    MISSING,
    NESTING_LEVELS,
    ROLES,
    TEXT_TYPE,
    TEXT_TYPES,
    Fields,
    compact,
    is_deeper,
    is_list,
    is_object,
    kind,
    parse_json,
    usual_call,
)
from eventlog.session.chat.items import is_item, item_fields
from eventlog.session.chat.times import written_time
from eventlog.session.parts import output_text

__all__ = ["looks_like_chat", "message_fields"]

_TAKEN_NAMES: Final = {"id", "parts", "created_at"}
_PREFIX: Final = "chat_"

MESSAGE_ID_CHARACTERS: Final = 512
"""The longest original id that a message keeps: what `Message` accepts."""


def looks_like_chat(value: Fields) -> bool:
    """Return whether a dictionary is a chat message rather than the fields of a `Message`."""
    return "parts" not in value and ("content" in value or "tool_calls" in value or is_item(value))


def message_fields(data: Any) -> Fields:
    if not is_object(data):
        raise InvalidMessage(f"a chat message must be a JSON object, not {kind(data)}")
    if is_item(data):
        return {**item_fields(data), **_own_id(data), **_own_time(data)}
    role = _role(data)
    fields: Fields = {"role": role, **_kept_fields(data, _consumed(data, role))}
    if data["role"] != role:
        fields["chat_role"] = data["role"]
    if "content" not in data:
        fields["chat_content"] = MISSING
    if role == "tool":
        fields["parts"] = [_result_part(data)]
        return fields
    content = _content_parts(data.get("content"))
    if isinstance(data.get("content"), list) and _reads_as_string(content):
        fields["chat_content"] = LIST
    calls = data.get("tool_calls") if role == "assistant" else None
    if "tool_calls" in data and role == "assistant" and not calls:
        fields["chat_tool_calls"] = calls
    fields["parts"] = [*content, *_call_parts(calls)]
    if role == "user" and content and all(part["type"] == "tool" for part in content):
        # A message of results alone says nothing: Anthropic has no other role for them.
        fields |= {"role": "tool", "chat_role": data["role"]}
    return fields


def _role(data: Fields) -> str:
    role = data.get("role")
    if isinstance(role, str) and role in ROLES:
        return ROLES[role]
    found = f"role {role!r} is unknown" if "role" in data else "the role is missing"
    raise InvalidMessage(f"{found}; it must be one of {', '.join(ROLES)}", field="role")


def _consumed(data: Fields, role: str) -> set[str]:
    """Return the names of the fields that parts represent, so that they are not kept as well."""
    names = {"role", "content"}
    if role == "assistant":
        names.add("tool_calls")
    if role == "tool":
        names.update(name for name in ("tool_call_id", "name") if data.get(name))
    return names


def _kept_fields(data: Fields, consumed: set[str]) -> Fields:
    kept: Fields = {}
    taken: Fields = {}
    for name, value in data.items():
        if name in _TAKEN_NAMES or name.startswith(_PREFIX):
            taken[name] = value
        elif name not in consumed:
            kept[name] = value
    if taken:
        kept["chat_fields"] = taken
    return {**kept, **_own_id(data), **_own_time(data)}


def _own_id(data: Fields) -> Fields:
    own = data.get("id")
    usable = isinstance(own, str) and 1 <= len(own) <= MESSAGE_ID_CHARACTERS and _is_printed(own)
    return {"id": own} if usable else {}


def _is_printed(text: str) -> bool:
    return not any(character < " " or character == "\x7f" for character in text)


def _own_time(data: Fields) -> Fields:
    for name in ("created_at", "timestamp"):
        written = written_time(data.get(name), assume_utc=False)
        if written is not None:
            return {"created_at": written}
    return {}


def _content_parts(content: Any) -> list[Fields]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if is_list(content):
        return [_content_part(part, f"content.{place}") for place, part in enumerate(content)]
    raise InvalidMessage(
        f"content must be a string, null or a list of parts, not {kind(content)}", field="content"
    )


def _reads_as_string(parts: list[Fields]) -> bool:
    """Return whether these parts, without a note, would be written back as a string or null."""
    return not parts or (len(parts) == 1 and parts[0].keys() == {"type", "text"})


def _content_part(part: Any, field: str) -> Fields:
    if not is_object(part) or not isinstance(part.get("type"), str):
        raise InvalidMessage(
            f"a content part must be an object with a 'type', not {kind(part)}", field=field
        )
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidMessage("the text of a text part must be a string", field=f"{field}.text")
    if part["type"] in TEXT_TYPES and isinstance(part.get("text"), str) and TEXT_TYPE not in part:
        return {**part, "type": "text", TEXT_TYPE: part["type"]}
    tool = tool_part(part)
    if tool is not None:
        return tool
    return part if _holdable(part) else {"type": "chat_part", "chat_part": part}


def _holdable(part: Fields) -> bool:
    """Return whether a part can hold this content part and give it back unchanged.

    Tool parts hold calls and results, so a content part that has their type must not become one.
    """
    match part["type"]:
        case "tool" | "chat_part":
            return False
        case "text":
            return TEXT_TYPE not in part
        case "image_url":
            return isinstance(part.get("image_url"), dict)
        case "context":
            fields = (part.get("uri"), part.get("context_type", ""), part.get("abstract", ""))
            return all(isinstance(field, str) for field in fields)
        case _:
            return True


def _call_parts(calls: Any) -> list[Fields]:
    if calls is None:
        return []
    if not is_list(calls):
        raise InvalidMessage(
            f"tool_calls must be a list of calls, not {kind(calls)}", field="tool_calls"
        )
    return [_call_part(call, f"tool_calls.{place}") for place, call in enumerate(calls)]


def _call_part(call: Any, field: str) -> Fields:
    if not is_object(call):
        raise InvalidMessage(f"a tool call must be an object, not {kind(call)}", field=field)
    function = _object(call, "function", field)
    named = function if function is not None else (_object(call, "custom", field) or {})
    part: Fields = {
        "type": "tool",
        "tool_id": _text(call, "id", f"{field}.id"),
        "tool_name": _text(named, "name", f"{field}.name"),
        "tool_status": "pending",
    }
    if function is not None and "arguments" in function:
        part.update(_arguments_fields(function["arguments"]))
    elif function is None and isinstance(named.get("input"), str):
        part["tool_input"] = {"input": named["input"]}
    outline = _without_arguments(call, function)
    if outline != usual_call(part) or "arguments" not in (function or {}):
        part["chat_call"] = outline
    return part


def _without_arguments(call: Fields, function: Fields | None) -> Fields:
    if function is None:
        return call
    kept = {name: value for name, value in function.items() if name != "arguments"}
    return {**call, "function": kept}


def _arguments_fields(arguments: Any) -> Fields:
    parsed = _parsed_arguments(arguments)
    fields: Fields = {} if parsed is None else {"tool_input": parsed}
    if parsed is None or compact(parsed) != arguments:
        fields["chat_arguments"] = arguments
    return fields


def _parsed_arguments(arguments: Any) -> Fields | None:
    """Return the arguments as an object that can be stored, or None if they are not one."""
    if is_object(arguments):
        return arguments if _is_storable(arguments) else None
    if not isinstance(arguments, str):
        return None
    try:
        parsed = parse_json(arguments)
    except (ValueError, RecursionError):
        return None
    return parsed if is_object(parsed) and _is_storable(parsed) else None


def _is_storable(value: Fields) -> bool:
    try:
        compact(value).encode()
    except (ValueError, RecursionError):
        return False  # infinite, a lone surrogate, or far too deep
    return not is_deeper(value, NESTING_LEVELS)


def _result_part(data: Fields) -> Fields:
    content = data.get("content")
    part: Fields = {
        "type": "tool",
        "tool_id": _text(data, "tool_call_id", "tool_call_id"),
        "tool_name": _text(data, "name", "name"),
        "tool_status": "completed",
    }
    if isinstance(content, str):
        part["tool_output"] = content
    elif content is not None:
        part |= {"tool_output": output_text(content), "chat_output": content}
    return part


def _text(data: Fields, name: str, field: str) -> str:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidMessage(f"{name} must be a string, not {kind(value)}", field=field)
    return value or ""


def _object(data: Fields, name: str, field: str) -> Fields | None:
    value = data.get(name)
    if value is not None and not is_object(value):
        raise InvalidMessage(
            f"{name} must be an object, not {kind(value)}", field=f"{field}.{name}"
        )
    return value
