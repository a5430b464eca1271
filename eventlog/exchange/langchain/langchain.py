"""LangChain messages, as written by ``messages_to_dict``, ``dumpd`` and ``model_dump``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange import tool_parts
from eventlog.exchange.conversation import role_in
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.reading import message_fields

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "AIMessageChunk": "assistant",
    "HumanMessageChunk": "user",
    "ToolMessageChunk": "tool",
    "SystemMessageChunk": "system",
}
_CLASSES: Final = {
    "HumanMessage": "human",
    "AIMessage": "ai",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    "AIMessageChunk": "ai",
}
_READ: Final = frozenset({"content", "tool_calls", "tool_call_id", "name", "id", "type"})


def recognises(record: Fields) -> bool:
    """Return whether a record is a message in one of the three forms."""
    if record.get("lc") == 1 and record.get("type") == "constructor":
        return is_object(record.get("kwargs"))
    if role_in(_ROLES, record.get("type")) is None or "role" in record:
        return False
    return is_object(record.get("data")) or ("content" in record and "uuid" not in record)


def convert() -> Convert:
    """Return the reader of such messages."""
    return _fields


def _fields(record: Any) -> Fields:
    kind, data = _inner(record)
    role = role_in(_ROLES, kind)
    if role is None:
        raise InvalidMessage(f"message type {kind!r:.40} is unknown", field="role")
    rest = {name: value for name, value in data.items() if name not in _READ}
    source = {"format": "langchain", "type": kind, **rest}
    if role == "tool":
        failed = data.get("status") == "error"
        tool_id, name = data.get("tool_call_id") or "", data.get("name") or ""
        parts = [tool_parts.result(tool_id, name, data.get("content"), failed=failed)]
        return _message(role, parts, data, source)
    calls: list[Fields] = data.get("tool_calls") or []
    named = {call.get("id") for call in calls}
    content = data.get("content")
    if is_list(content):
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else part
            for part in content
            # If the provider's blocks contain the calls too, they would be there twice.
            if not (is_object(part) and part.get("type") == "tool_use" and part.get("id") in named)
        ]
    parts = list(message_fields({"role": role, "content": content})["parts"])
    if content == "" and calls:
        parts = []
    parts += [tool_parts.call(call["id"] or "", call["name"], call.get("args")) for call in calls]
    return _message(role, parts, data, source)


def _inner(record: Fields) -> tuple[str, Fields]:
    if record.get("lc") == 1:
        name = record["id"][-1]
        return _CLASSES.get(str(name), str(name)), record["kwargs"]
    if is_object(record.get("data")):
        return record["type"], record["data"]
    return str(record["type"]), record


def _message(role: str, parts: list[Fields], data: Fields, source: Fields) -> Fields:
    own = data.get("id")
    fields: Fields = {"role": role, "parts": parts, "chat_source": source}
    return {**fields, "id": own} if isinstance(own, str) and own else fields
