"""Lines of a ``messages.jsonl``: messages in this library's own format, every field unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "is_written_here", "recognises"]

_WRITTEN: Final = ["id", "role", "parts", "created_at"]
"""What a message begins with that this library wrote."""


def is_written_here(record: Fields) -> bool:
    """Return whether this library wrote a record, whatever the parts in it once came from."""
    return recognises(record) and (list(record)[:4] == _WRITTEN or "chat_source" in record)


def recognises(record: Fields) -> bool:
    """Return whether a record has a role, and parts that each name their type."""
    parts = record.get("parts")
    return (
        isinstance(record.get("role"), str)
        and is_list(parts)
        and all(is_object(part) and isinstance(part.get("type"), str) for part in parts)
    )


def convert() -> Convert:
    """Return the reader of such lines."""
    return _fields


def _fields(record: Any) -> Fields:
    fields: Fields = dict(record)
    given = fields.get("created_at")
    if given is None:
        fields.pop("created_at", None)
    elif not isinstance(given, str):
        # The original is kept beside the time as it was read, because a message's time is text.
        read = written_time(fields.pop("created_at"))
        fields |= {"chat_fields": {"created_at": given}} | ({"created_at": read} if read else {})
    if fields.get("id") is None:
        fields.pop("id", None)
    return fields
