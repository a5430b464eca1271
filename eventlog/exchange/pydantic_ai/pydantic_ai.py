"""Requests and responses of pydantic-ai: a request may hold instructions, results and a prompt."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from eventlog.exchange import tool_parts
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]

_ROLES: Final = {
    "system-prompt": "system",
    "user-prompt": "user",
    "tool-return": "tool",
    "retry-prompt": "tool",
}


def recognises(record: Fields) -> bool:
    """Return whether a record has a ``kind``, and parts that each have a ``part_kind``."""
    parts = record.get("parts")
    return (
        record.get("kind") in ("request", "response")
        and is_list(parts)
        and all(is_object(part) and isinstance(part.get("part_kind"), str) for part in parts)
    )


def convert() -> Convert:
    """Return the reader of such records."""
    return _messages


def _messages(record: Any) -> list[Fields]:
    rest = {name: value for name, value in record.items() if name != "parts"}
    source = {"format": "pydantic-ai", **rest}
    if record["kind"] == "response":
        return [_message("assistant", record["parts"], record.get("timestamp"), source)]
    return [
        _message(role, list(parts), record.get("timestamp"), source)
        for role, parts in groupby(record["parts"], _role)
    ]


def _role(part: Fields) -> str:
    if part["part_kind"] == "retry-prompt" and not part.get("tool_name"):
        return "user"
    return _ROLES.get(part["part_kind"], "user")


def _message(role: str, parts: list[Fields], time: Any, source: Fields) -> Fields:
    times = (written_time(given) for given in (time, *(part.get("timestamp") for part in parts)))
    read = next((found for found in times if found), None)
    made = [piece for part in parts for piece in _parts(part, role)]
    fields: Fields = {"role": role, "parts": made, "chat_source": source}
    return {**fields, "created_at": read} if read else fields


def _parts(part: Fields, role: str) -> list[Fields]:
    kind, content = part["part_kind"], part.get("content")
    rest = {name: value for name, value in part.items() if name != "content"}
    if kind == "tool-call":
        rest.pop("args", None)
        return [tool_parts.call(part["tool_call_id"], part["tool_name"], part.get("args"), rest)]
    if role == "tool":
        name = part.get("tool_name") or ""
        failed = kind == "retry-prompt"
        return [tool_parts.result(part["tool_call_id"], name, content, failed=failed, source=rest)]
    if kind == "thinking":
        return [{"type": "thinking", "thinking": content or "", "source": rest}]
    if isinstance(content, str):
        return [{"type": "text", "text": content, "source": rest}]
    if is_list(content) and kind == "user-prompt":
        return [_content(item) for item in content]
    return [{**part, "type": kind}]


def _content(item: Any) -> Fields:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if is_object(item) and item.get("kind") == "image-url" and isinstance(item.get("url"), str):
        return {"type": "image_url", "image_url": {"url": item["url"]}, "source": item}
    return (
        {"type": str(item.get("kind", "content")), **item}
        if is_object(item)
        else {
            "type": "content",
            "content": item,
        }
    )
