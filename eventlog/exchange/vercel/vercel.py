"""UI messages of the Vercel AI SDK; a call and its result are one part there, as they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.exchange import tool_parts
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]

_TYPES: Final = frozenset(
    {"step-start", "dynamic-tool", "tool-invocation", "source-url", "source-document"}
)
_KEPT: Final = ("input", "output", "toolCallId")


def recognises(record: Fields) -> bool:
    """Return whether a record has parts of types that only the SDK has."""
    parts = record.get("parts")
    return isinstance(record.get("role"), str) and is_list(parts) and any(map(_is_own, parts))


def _is_own(part: Any) -> bool:
    type_ = part.get("type") if is_object(part) else None
    return isinstance(type_, str) and (type_ in _TYPES or type_.startswith(("tool-", "data-")))


def convert() -> Convert:
    """Return the reader of UI messages."""
    return _fields


def _fields(record: Any) -> Fields:
    rest = {name: value for name, value in record.items() if name not in ("role", "parts", "id")}
    time = written_time(rest.get("createdAt") or rest.get("created_at"))
    own_id = record.get("id")
    return {
        "role": "assistant" if record["role"] == "data" else record["role"],
        "parts": [_part(part) for part in record["parts"]],
        "chat_source": {"format": "vercel", **rest},
        **({"id": own_id} if isinstance(own_id, str) and own_id else {}),
        **({"created_at": time} if time else {}),
    }


def _part(part: Fields) -> Fields:
    type_ = part["type"]
    if type_ == "tool-invocation" and is_object(part.get("toolInvocation")):
        call = part["toolInvocation"]
        source = {"type": type_, "state": call.get("state")}
        return _tool(call["toolCallId"], call["toolName"], call.get("args"), call, "result", source)
    if type_ == "dynamic-tool" or (type_.startswith("tool-") and "toolCallId" in part):
        name = part["toolName"] if type_ == "dynamic-tool" else type_.removeprefix("tool-")
        source = {key: value for key, value in part.items() if key not in _KEPT}
        return _tool(part["toolCallId"], name, part.get("input"), part, "output", source)
    return part


def _tool(tool_id: str, name: str, given: Any, call: Fields, output: str, source: Fields) -> Fields:
    part = tool_parts.call(tool_id, name, given, source)
    if call.get("state") == "output-error":
        return {**part, "tool_status": "error", "tool_output": str(call.get("errorText", ""))}
    if output in call:
        return {**part, **tool_parts.result(tool_id, name, call[output])}
    return part
