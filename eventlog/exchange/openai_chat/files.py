"""Files of conversations in the chat format, as JSON and as JSON Lines."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from eventlog.errors import InvalidArgument, InvalidMessage
from eventlog.identifiers import check_session_id, derived_id, format_id
from eventlog.session.chat.converting import located
from eventlog.session.chat.format import (
    NESTING_LEVELS,
    Fields,
    compact,
    is_deeper,
    is_list,
    is_object,
    parse_json,
)
from eventlog.session.chat.reading import message_fields
from eventlog.session.messages import Message, as_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Conversation", "read_conversations"]

_BOM: Final = b"\xef\xbb\xbf"


class Conversation(NamedTuple):
    """The messages of one session in a file; ``line`` is the 1-based line on which it begins."""

    session_id: str | None
    messages: tuple[Message, ...]
    line: int


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Read the conversations of a file, one at a time.

    The file is UTF-8, with or without BOM, and one of: a JSON array of chat messages; a JSON object
    ``{"id", "messages"}`` or an array of them; JSON Lines of chat messages (together one
    conversation); JSON Lines of such objects or arrays. Lines end with a line feed; blank ones are
    passed over. A file without messages has no conversation.

    A message without an id of its own, or with one that its conversation had before, gets one from
    its content and what came before it: the same file gives the same ids, and one that has grown
    gives the same ones for what was there. Raises `InvalidMessage` with the line where it is known.
    """
    with path.open("rb") as file:
        documents = _documents(file)
        for first in documents:
            if _is_message(first.value):
                entries = ((found.exact_line, found.value) for found in chain([first], documents))
                yield _conversation(None, entries, first.line)
            else:
                yield from _conversations(first)


class _Document(NamedTuple):
    """A JSON value of a file; without an exact line if it spans several."""

    value: Any
    line: int
    exact_line: int | None


def _documents(file: BinaryIO) -> Iterator[_Document]:
    """Return the JSON values of a file: one per line, or one in all if its first line is no value.

    A binary file ends its lines at line feeds only, so that no other separator cuts a text in two.
    """
    is_first = True
    for line, raw in enumerate(file, start=1):
        text = _decoded(raw.removeprefix(_BOM) if line == 1 else raw, line)
        if not text.strip():
            continue
        try:
            yield _Document(parse_json(text.rstrip()), line, line)
        except (ValueError, RecursionError) as error:
            if not is_first:
                raise _not_json(error, line) from error
            yield _spanning_document(text, file, line)
        is_first = False


def _spanning_document(start: str, file: BinaryIO, line: int) -> _Document:
    text = start + _decoded(file.read(), line + 1)
    try:
        return _Document(parse_json(text), line, None)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, line) from error


def _decoded(raw: bytes, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise InvalidMessage(
            f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8", line=line
        ) from error


def _not_json(error: Exception, line: int) -> InvalidMessage:
    if isinstance(error, json.JSONDecodeError):
        problem = f"{error.msg.removesuffix(' at')} at character {error.colno}"
        line += error.lineno - 1
    else:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidMessage(
        f"this is not JSON ({problem}); a file is one JSON document, or has one on each line",
        line=line,
    )


def _is_message(value: Any) -> bool:
    return is_object(value) and "role" in value and not _has_messages(value)


def _has_messages(value: dict[str, Any]) -> bool:
    return isinstance(value.get("messages"), list)


def _conversations(document: _Document) -> Iterator[Conversation]:
    value = document.value
    if not is_list(value):
        yield _named_conversation(value, document, "")
    elif value and _is_message(value[0]):
        yield _conversation(None, ((document.exact_line, data) for data in value), document.line)
    else:
        for place, item in enumerate(value):
            yield _named_conversation(item, document, f"{place}.")


def _named_conversation(value: Any, document: _Document, field: str) -> Conversation:
    """Build the conversation of ``{"id", "messages"}``; ``field`` is where that stands."""
    line = document.exact_line
    if not is_object(value) or not _has_messages(value):
        raise InvalidMessage(
            "this is neither a chat message, which has a 'role', nor a conversation, which has "
            "an 'id' and a list of 'messages'",
            field=field.rstrip(".") or None,
            line=line,
        )
    session_id = _session_id(value, field, line)
    try:
        return _conversation(
            session_id, ((line, data) for data in value["messages"]), document.line
        )
    except InvalidMessage as error:
        inner = f"{field}messages.{error.index}.{error.field or ''}".rstrip(".")
        raise InvalidMessage(error.reason, field=inner, line=line, index=error.index) from error


def _session_id(value: dict[str, Any], field: str, line: int | None) -> str | None:
    session_id = value.get("id")
    if session_id is None:
        return None
    try:
        return check_session_id(session_id)
    except InvalidArgument as error:
        raise InvalidMessage(str(error), field=f"{field}id", line=line) from error


def _conversation(
    session_id: str | None, entries: Iterable[tuple[int | None, Any]], line: int
) -> Conversation:
    """Build a conversation, with ids that its content decides.

    Each id is drawn from the message and from the id before it, so that a prefix keeps its ids
    when the file grows, and equal messages in one conversation have different ones.
    """
    previous, seen = session_id or "", set[str]()
    messages: list[Message] = []
    for index, (place, data) in enumerate(entries):
        try:
            fields = message_fields(data)
            previous = format_id(derived_id(previous, _canonical(data)))
            if fields.get("id", previous) in seen:
                del fields["id"]
            fields.setdefault("id", previous)
            message = as_message(fields)
        except InvalidMessage as error:
            raise located(error, place, index) from error
        seen.add(message.id)
        messages.append(message)
    return Conversation(session_id, tuple(messages), line)


def _canonical(data: Fields) -> str:
    """Return JSON that equal messages share; raise for what could be stored but not read back."""
    try:
        text = compact(data, sort_keys=True)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"this cannot be stored as JSON in UTF-8 ({error})") from error
    if is_deeper(data, NESTING_LEVELS):
        raise InvalidMessage(f"it is nested more than {NESTING_LEVELS} levels deep; flatten it")
    return text
