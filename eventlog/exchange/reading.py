"""Read files of conversations; their format is recognised by content, never by name."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange.containers import container_of
from eventlog.exchange.conversation import Conversation, Entry, conversation, own_session_id
from eventlog.exchange.dialects import converter, dialect_of
from eventlog.exchange.documents import Document, read_documents
from eventlog.exchange.notes import Notes
from eventlog.exchange.opening import open_file
from eventlog.session.chat.format import Fields, is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["read_conversations", "read_file"]

MAGIC: Final = b"SQLite format 3\0"
"""What every SQLite file begins with."""

_MESSAGES: Final = ("messages", "contents", "conversations", "conversation", "items", "history")
"""The fields of an object that may hold a conversation's messages; the first that has some counts."""


def read_conversations(path: Path, notes: Notes | None = None) -> Iterator[Conversation]:
    """Yield the conversations of a file, one at a time.

    The file is UTF-8, with or without BOM, and one of: a JSON array of messages; an object with a
    list of ``messages``, or an array of such objects; JSON Lines of messages (one conversation); JSON
    Lines of such objects or arrays; or a file in a known program's format, such as a SQLite file of
    the OpenAI Agents SDK. Each message may be in any known form (`eventlog.exchange.dialects`). Lines
    end with a line feed; blank lines are skipped. A file without messages yields nothing.

    A message without an id, or with an id that its conversation used before, gets an id derived from
    its content and from what came before it. So the same file gives the same ids, and a file that
    has grown gives the same ids for its old messages.

    Without ``notes``, a value that cannot be kept raises `InvalidMessage`, with its line if known.
    With them, it becomes text or is dropped, as they allow, and each conversation has the findings
    made while it was read.
    """
    notes = notes if notes is not None else Notes(str(path), mends=False)
    with open_file(path, notes.largest) as file:
        start = file.read(len(MAGIC))
        file.seek(0)
        if start != MAGIC:
            yield from read_file(file, notes)
            return
    yield from _told_apart(_of_database(path, notes), notes)


def read_file(file: BinaryIO, notes: Notes) -> Iterator[Conversation]:
    """Yield the conversations of an open file, as `read_conversations` does."""
    yield from _told_apart(_read(read_documents(file, notes), notes), notes)


def _of_database(path: Path, notes: Notes) -> Iterator[Conversation]:
    """Yield the conversations of a SQLite file, whichever known programs wrote to it."""
    # Few imports need sqlite3.
    from eventlog.exchange.databases import open_database
    from eventlog.exchange.langgraph import langgraph
    from eventlog.exchange.openai_agents import openai_agents

    with open_database(path) as database:
        readers = [each for each in (openai_agents, langgraph) if each.recognises(database)]
        if not readers:
            names = ", ".join(sorted(database.tables)[:8]) or "none"
            raise InvalidMessage(
                "this SQLite file is neither of the OpenAI Agents SDK nor of LangGraph; "
                f"its tables: {names}"
            )
        for reader in readers:
            yield from reader.read(database, notes)


def _told_apart(conversations: Iterator[Conversation], notes: Notes) -> Iterator[Conversation]:
    """Yield conversations, each with the findings that were made while it was read."""
    told = 0
    for found in conversations:
        yield found._replace(findings=tuple(notes.findings[told:]))
        told = len(notes.findings)


def _read(documents: Iterator[Document], notes: Notes) -> Iterator[Conversation]:
    for first in documents:
        container = container_of(first.value)
        if container is not None:
            yield from container.read(chain([first], documents), notes)
        elif _is_message(first.value):
            entries = (Entry(each.exact_line, each.value) for each in chain([first], documents))
            yield _read_messages(None, entries, first.line, notes, {})
        else:
            try:
                yield from _conversations(first, notes)
            except InvalidMessage as error:
                notes.drop("no_conversation", error, first.raw)


def _is_message(value: Any) -> bool:
    return is_object(value) and _messages_field(value) is None and dialect_of(value) is not None


def _messages_field(value: Fields) -> str | None:
    if isinstance(value.get("messages"), list):
        return "messages"
    for name in _MESSAGES[1:]:
        entries = value.get(name)
        if is_list(entries) and entries and dialect_of(entries[0]) is not None:
            return name
    return None


def _conversations(document: Document, notes: Notes) -> Iterator[Conversation]:
    value = document.value
    if not is_list(value):
        yield _named_conversation(value, document, "", notes)
    elif value and _is_message(value[0]):
        entries = (Entry(document.exact_line, data) for data in value)
        yield _read_messages(None, entries, document.line, notes, {})
    else:
        for place, item in enumerate(value):
            yield _named_conversation(item, document, f"{place}.", notes)


def _named_conversation(value: Any, document: Document, field: str, notes: Notes) -> Conversation:
    """Build the conversation of an object with messages; ``field`` is the object's path."""
    line = document.exact_line
    name = _messages_field(value) if is_object(value) else None
    if name is None:
        raise InvalidMessage(
            "this is neither a chat message, which has a 'role', nor a conversation, which has "
            "an 'id' and a list of 'messages'",
            field=field.rstrip(".") or None,
            line=line,
        )
    session_id, id_field = own_session_id(value, field, line)
    fields = {key: kept for key, kept in value.items() if key not in (name, id_field)}
    entries = (Entry(line, data) for data in value[name])
    try:
        return _read_messages(session_id, entries, document.line, notes, fields)
    except InvalidMessage as error:
        inner = f"{field}{name}.{error.index}.{error.field or ''}".rstrip(".")
        raise InvalidMessage(error.reason, field=inner, line=line, index=error.index) from error


def _read_messages(
    session_id: str | None, entries: Iterable[Entry], line: int, notes: Notes, fields: Fields
) -> Conversation:
    convert, used = converter()
    read = conversation(session_id, entries, line, notes, convert, format="chat", fields=fields)
    return read._replace(format=_format_of(used, read))


def _format_of(used: list[str], read: Conversation) -> str:
    """Return the name of the messages' format; for chat messages, of the provider of their parts."""
    if used != ["chat"]:
        return "+".join(used) or "chat"
    for message in read.messages:
        extra = message.model_extra or {}
        if "chat_item" in extra or any("chat_type" in (p.model_extra or {}) for p in message.parts):
            return "responses"
        if any("chat_block" in (part.model_extra or {}) for part in message.tools):
            return "anthropic"
    return "chat"
