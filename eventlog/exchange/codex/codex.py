"""Rollouts of Codex.

A line is ``{"timestamp", "type", "payload"}``. Lines of type ``response_item`` hold the conversation
as items of the Responses API. Events for the screen repeat it and are left out; the line about the
session becomes the conversation's fields. Older rollouts have items without the envelope.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from eventlog.exchange.conversation import Conversation, Entry, conversation, session_id_in
from eventlog.session.chat.format import Fields, is_object
from eventlog.session.chat.items import is_item
from eventlog.session.chat.reading import message_fields
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.exchange.documents import Document
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "codex"

_TYPES: Final = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


def recognises(value: Any) -> bool:
    """Return whether a file's first value is a line of a rollout."""
    if not is_object(value):
        return False
    if value.get("type") in _TYPES and is_object(value.get("payload")):
        return True
    return "instructions" in value and "timestamp" in value and "id" in value


def read(documents: Iterator[Document], notes: Notes) -> Iterator[Conversation]:
    """Yield the one conversation of a rollout."""
    entries: list[Entry] = []
    fields: Fields = {}
    left: Counter[str] = Counter()
    session_id, first = None, 1
    for number, document in enumerate(documents):
        value = document.value
        first = document.line if not number else first
        if not is_object(value):
            left["no object"] += 1
            continue
        type_, payload = value.get("type"), value.get("payload")
        if type_ == "response_item" or is_item(value) or "role" in value:
            entries.append(Entry(document.exact_line, value))
        elif type_ == "session_meta" and is_object(payload):
            session_id = session_id or payload.get("id")
            fields.setdefault("session_meta", payload)
        elif not number:
            session_id, fields["session_meta"] = value.get("id"), value
        elif type_ == "compacted":
            fields.setdefault("compacted", []).append(payload)
        else:
            left[str(type_ or value.get("record_type"))] += 1
    for name, count in sorted(left.items()):
        detail = f"lines of type {name!r}, which are not messages: {count:,}"
        notes.tell("unread", None, detail, "left in the file")
    own_id = session_id_in(session_id, None, notes)
    yield conversation(own_id, entries, first, notes, _fields, format=FORMAT, fields=fields)


def _fields(value: Any) -> Fields:
    payload = value.get("payload")
    if not is_object(payload):
        return message_fields(value)
    fields = message_fields(payload)
    time = written_time(value.get("timestamp"))
    return {**fields, "created_at": time} if time else fields
