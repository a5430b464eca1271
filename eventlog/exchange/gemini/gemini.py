"""Contents of the Gemini API: the field in a part gives its type, and calls may lack ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange import tool_parts
from eventlog.exchange.conversation import role_in
from eventlog.session.chat.format import Fields, is_list, is_object

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]

_ROLES: Final = {
    "user": "user",
    "model": "assistant",
    "function": "tool",
    "tool": "tool",
    "system": "system",
}
_OTHERS: Final = (
    *("inlineData", "inline_data", "fileData", "file_data", "executableCode", "executable_code"),
    *("codeExecutionResult", "code_execution_result"),
)
_PART_FIELDS: Final = frozenset(
    {"text", "functionCall", "function_call", "functionResponse", "function_response", *_OTHERS}
)


def recognises(record: Fields) -> bool:
    """Return whether a record has parts without ``type``, each with a field that Gemini defines."""
    parts = record.get("parts")
    return (
        is_list(parts)
        and bool(parts)
        and all(
            is_object(part) and "type" not in part and _PART_FIELDS & part.keys() for part in parts
        )
    )


def convert() -> Convert:
    """Return a reader that pairs results with calls by id, or else by name and order."""
    return _Reader().fields


class _Reader:
    """Remembers the calls that await a result, and numbers those without an id."""

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}
        self._count = 0

    def fields(self, record: Any) -> Fields:
        role = record.get("role", "user")
        role_here = role_in(_ROLES, role)
        if role_here is None:
            raise InvalidMessage(
                f"role {role!r:.40} is unknown; Gemini has {', '.join(_ROLES)}", field="role"
            )
        parts = [self._part(part) for part in record["parts"]]
        if role_here == "user" and all(part["type"] == "tool" for part in parts):
            role_here = "tool"
        rest = {name: value for name, value in record.items() if name != "parts"}
        source = {"format": "gemini", **rest}
        return {"role": role_here, "parts": parts, "chat_source": source}

    def _part(self, part: Fields) -> Fields:
        call = part.get("functionCall", part.get("function_call"))
        answer = part.get("functionResponse", part.get("function_response"))
        if is_object(call):
            return self._call(call, _rest(part, "functionCall", "function_call"))
        if is_object(answer):
            return self._result(answer, _rest(part, "functionResponse", "function_response"))
        for name in _OTHERS:
            if name in part:
                return {"type": name, **part}
        if part.get("thought") is True:
            return {**part, "type": "thinking", "thinking": part["text"]}
        return {**part, "type": "text"}

    def _call(self, call: Fields, rest: Fields) -> Fields:
        name = call["name"]
        tool_id = call.get("id")
        if not isinstance(tool_id, str):
            self._count += 1
            tool_id = f"{name}-{self._count}"
        self._open.setdefault(name, []).append(tool_id)
        return tool_parts.call(tool_id, name, call.get("args"), rest)

    def _result(self, answer: Fields, rest: Fields) -> Fields:
        name = answer["name"]
        waiting = self._open.get(name, [])
        tool_id = answer.get("id")
        if not isinstance(tool_id, str):
            tool_id = waiting[0] if waiting else f"{name}-0"
        if tool_id in waiting:
            waiting.remove(tool_id)
        return tool_parts.result(tool_id, name, answer.get("response"), source=rest)


def _rest(part: Fields, *names: str) -> Fields:
    return {name: value for name, value in part.items() if name not in names}
