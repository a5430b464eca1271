"""Exports of claude.ai: conversations with ``chat_messages`` made of Anthropic content blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange.conversation import (
    Conversation,
    Entry,
    conversation,
    role_in,
    session_id_in,
)
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.reading import message_fields
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.exchange.documents import Document
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "claude-ai"

_ROLES: Final = {"human": "user", "assistant": "assistant"}
_READ: Final = frozenset({"uuid", "text", "content", "sender", "created_at"})


def recognises(value: Any) -> bool:
    """Return whether a value is an exported conversation, or a list that begins with one."""
    if is_list(value):
        return bool(value) and recognises(value[0])
    return is_object(value) and is_list(value.get("chat_messages"))


def read(documents: Iterator[Document], notes: Notes) -> Iterator[Conversation]:
    """Yield each conversation of an export."""
    for document in documents:
        value, line = document.value, document.exact_line
        for place, exported in enumerate(value if is_list(value) else [value]):
            if not is_object(exported) or not is_list(exported.get("chat_messages")):
                error = InvalidMessage(
                    "this is not an exported conversation: it has no 'chat_messages'",
                    field=str(place),
                    line=line,
                )
                notes.drop("no_conversation", error, document.raw)
                continue
            name = session_id_in(exported.get("uuid"), line, notes)
            entries = [Entry(line, message) for message in exported["chat_messages"]]
            fields = {key: kept for key, kept in exported.items() if key != "chat_messages"}
            yield conversation(
                name, entries, document.line, notes, _fields, format=FORMAT, fields=fields
            )


def _fields(record: Any) -> Fields:
    role = role_in(_ROLES, record.get("sender")) if is_object(record) else None
    if role is None:
        raise InvalidMessage(
            f"the sender is unknown; claude.ai has {', '.join(_ROLES)}", field="role"
        )
    content = record.get("content") or record.get("text") or ""
    fields = message_fields({"role": role, "content": content})
    rest = {name: kept for name, kept in record.items() if name not in _READ}
    text = record.get("text")
    if record.get("content") and text:
        rest["text"] = text
    own, time = record.get("uuid"), written_time(record.get("created_at"))
    fields |= {"id": own} if isinstance(own, str) and own else {}
    fields |= {"created_at": time} if time else {}
    return {**fields, "chat_source": {"format": FORMAT, **rest}}
