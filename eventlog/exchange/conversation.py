"""A conversation of a foreign file as messages, with ids derived from its content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from eventlog.errors import InvalidArgument, InvalidMessage
from eventlog.identifiers import check_session_id, derived_id, format_id
from eventlog.session.chat.converting import located
from eventlog.session.chat.format import NESTING_LEVELS, Fields, compact, is_deeper, is_object
from eventlog.session.messages import Message, as_message

if TYPE_CHECKING:
    from eventlog.exchange.notes import Noted, Notes

__all__ = [
    "Conversation",
    "Convert",
    "Entry",
    "conversation",
    "name_beside",
    "own_session_id",
    "role_in",
    "session_id_in",
]

Convert: TypeAlias = Callable[[Any], "Fields | list[Fields] | None"]
"""Converts a record to the fields of one message or of several, or to None if it is no message."""

SESSION_FIELDS: Final = ("id", "session_id", "conversation_id", "thread_id", "sessionId", "chat_id")
"""The fields that may hold a conversation's id; the first one present counts."""

NAME_BYTES: Final = 180
"""Bytes of a session's name that the name of one beside it begins with."""

DIGITS: Final = 8

_TIME_FIELDS: Final = ("created_at", "timestamp", "createdAt", "create_time")


class Entry(NamedTuple):
    """A record of a conversation, and its line if each record has one."""

    line: int | None
    value: Any


class Conversation(NamedTuple):
    """The messages of one session in a file; ``line`` is the line where it begins, from 1."""

    session_id: str | None
    messages: tuple[Message, ...]
    line: int
    format: str = "chat"
    fields: Fields = {}  # noqa: RUF012 - nobody changes a conversation that was read
    """The fields of the conversation itself."""
    lines: tuple[int | None, ...] = ()
    """The line of each message; empty if the file is one value that spans lines."""
    findings: tuple[Noted, ...] = ()
    """The findings made while it was read."""


def own_session_id(value: Fields, field: str, line: int | None) -> tuple[str | None, str]:
    """Return the id that a conversation's fields give, and the field that holds it."""
    for name in SESSION_FIELDS:
        session_id = value.get(name)
        if session_id is not None:
            try:
                return check_session_id(session_id), name
            except InvalidArgument as error:
                raise InvalidMessage(str(error), field=f"{field}{name}", line=line) from error
    return None, ""


def session_id_in(given: Any, line: int | None, notes: Notes) -> str | None:
    """Return the id that a program gives its session; None where it is none that can be one here.

    Then the conversation goes without, if ``notes`` lets it.
    """
    if given is None:
        return None
    try:
        return check_session_id(given)
    except InvalidArgument as error:
        raw = json.dumps(given).encode()
        notes.drop("session_id", InvalidMessage(str(error), field="id", line=line), raw)
        return None


def name_beside(session_id: str | None, kind: str, key: str) -> str | None:
    """Return the name of a session beside another one: a branch of it, or what a subagent did."""
    if session_id is None:
        return None
    stem = session_id.encode()[:NAME_BYTES].decode(errors="ignore")
    try:
        return check_session_id(f"{stem}.{kind}-{key}")
    except InvalidArgument:
        digest = sha256(key.encode(errors="backslashreplace")).hexdigest()[:DIGITS]
        return check_session_id(f"{stem}.{kind}-{digest}")


def role_in(roles: Mapping[str, str], name: Any) -> str | None:
    """Return the role that a format's own name for it means; None for what is no such name."""
    return roles.get(name) if isinstance(name, str) else None


def conversation(
    session_id: str | None,
    entries: Iterable[Entry],
    line: int,
    notes: Notes,
    convert: Convert,
    *,
    format: str,
    fields: Fields | None = None,
) -> Conversation:
    """Build a conversation, with message ids derived from its content.

    Each id is derived from the record and from the previous id. So the first messages keep their
    ids when the file grows, and equal messages in one conversation have different ids. A record that
    is no message is dropped if ``notes`` allows that.
    """
    previous, seen = session_id or "", set[str]()
    values: dict[str, Any] = {}
    messages: list[Message] = []
    lines: list[int | None] = []
    for index, (place, value) in enumerate(entries):
        try:
            read = _converted(convert, value, format)
            if read is None or _is_doubled(read, value, values, place, notes):
                continue
            made: list[Message] = []
            for number, one in enumerate([read] if is_object(read) else read):
                previous = format_id(derived_id(previous, _canonical(value), number))
                made.append(_message(one, previous, seen))
        except InvalidMessage as error:
            raw = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")
            notes.drop(_kind(error), located(error, place, index), raw)
            continue
        for message in made:
            _note_time(value, message, place, notes)
            seen.add(message.id)
        messages += made
        lines += [place] * len(made)
    has_lines = any(place is not None for place in lines)
    return Conversation(
        session_id,
        tuple(messages),
        line,
        format,
        fields or {},
        tuple(lines) if has_lines else (),
    )


def _converted(convert: Convert, value: Any, format: str) -> Fields | list[Fields] | None:
    """Return what a reader makes of a record; what has not the form that it expects is no message."""
    try:
        return convert(value)
    except InvalidMessage:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"it is not a valid {format} message ({error!r:.200})") from error


def _is_doubled(
    read: Fields | list[Fields], value: Any, values: dict[str, Any], line: int | None, notes: Notes
) -> bool:
    """Return whether a record repeats an earlier one exactly; add a finding if its id was used."""
    own = read.get("id") if is_object(read) else None
    if not isinstance(own, str) or not notes.mends:
        return False
    if own not in values:
        values[own] = value
        return False
    same: bool = values[own] == value
    detail = f"id {own!r} was used before, with {'the same' if same else 'other'} content"
    notes.tell("doubled", line, detail, "left out" if same else "imported under another id")
    return same


def _message(fields: Fields, drawn: str, seen: set[str]) -> Message:
    fields = dict(fields)
    own = fields.get("id", drawn)
    if isinstance(own, str) and own in seen:
        del fields["id"]
    fields.setdefault("id", drawn)
    return as_message(fields)


def _kind(error: InvalidMessage) -> str:
    return "unknown_role" if error.field == "role" else "no_message"


def _note_time(value: Any, message: Message, line: int | None, notes: Notes) -> None:
    if "created_at" in message.model_fields_set or not isinstance(value, dict):
        return
    for name in _TIME_FIELDS:
        if value.get(name) not in (None, ""):  # pyright: ignore[reportUnknownMemberType]
            detail = f"{name} is not a time in a known form; it is kept as a field"
            notes.tell("unread_time", line, detail, "the message gets the time of the import")
            return


def _canonical(data: Any) -> str:
    """Return JSON that is equal for equal messages; raise for a value that cannot be stored."""
    try:
        text = compact(data, sort_keys=True)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"this cannot be stored as JSON in UTF-8 ({error})") from error
    if is_deeper(data, NESTING_LEVELS):
        raise InvalidMessage(f"it is nested more than {NESTING_LEVELS} levels deep; flatten it")
    return text
