"""Turns of ShareGPT files: a speaker (``from``) and a text (``value``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.chat.format import Fields
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]

_ROLES: Final = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
}


def recognises(record: Fields) -> bool:
    """Return whether a record has a ShareGPT turn's ``from`` and ``value``."""
    return isinstance(record.get("from"), str) and isinstance(record.get("value"), str)


def convert() -> Convert:
    """Return the reader of turns."""
    return _fields


def _fields(record: Any) -> Fields:
    speaker = record["from"]
    if speaker not in _ROLES:
        raise InvalidMessage(
            f"speaker {speaker!r} is unknown; ShareGPT has {', '.join(_ROLES)}", field="role"
        )
    rest = {name: value for name, value in record.items() if name != "value"}
    time = written_time(record.get("timestamp") or record.get("created_at"))
    return {
        "role": _ROLES[speaker],
        "parts": [{"type": "text", "text": record["value"]}],
        "chat_source": {"format": "sharegpt", **rest},
        **({"created_at": time} if time else {}),
    }
