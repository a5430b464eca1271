"""Read the JSON values of a file: one per line, or a single one; from damaged lines what is whole.

A line ends at a line feed and nowhere else. If a line holds several values, or a whole value after
a torn one, the whole values are read.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.errors import InvalidMessage
from eventlog.exchange.mending import mended, read_json
from eventlog.session.chat.format import is_list, is_object, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from eventlog.exchange.notes import Notes

__all__ = ["Document", "read_documents"]

_BOM: Final = b"\xef\xbb\xbf"
_ZEROS: Final = re.compile(rb"\0+")

CANDIDATES: Final = 64
"""How many places are searched for a whole value after a torn one: each costs a parse."""

RECORD_FIELDS: Final = frozenset({"role", "uuid", "messages", "timestamp", "message", "payload"})
"""Keys that mark a value after a torn one as a record, rather than a piece of the torn one."""


class Document(NamedTuple):
    """A JSON value of a file, with its line unless it spans several."""

    value: Any
    line: int
    exact_line: int | None
    raw: bytes = b""


def read_documents(file: BinaryIO, notes: Notes) -> Iterator[Document]:
    """Yield the values of a file lazily; only a value that spans lines is read at once.

    A value that cannot be stored becomes text, with a finding. Text that is not JSON is dropped if
    ``notes`` allows that; otherwise `InvalidMessage` is raised with the line.
    """
    is_first = True
    for line, raw in enumerate(file, start=1):
        piece = raw.removeprefix(_BOM) if line == 1 else raw
        if not piece.strip():
            continue
        if is_first and not _begins_lines(piece):
            yield from _spanning(piece, file, line, notes)
            return
        is_first = False
        yield from _documents_of(piece, line, notes)


def _begins_lines(piece: bytes) -> bool:
    """Return whether a file's first line holds a whole value, so that it is read line by line."""
    if b"\0" in piece:
        return True
    try:
        text = piece.decode().strip()
        _, end = _DECODER.raw_decode(text)
    except (UnicodeDecodeError, RecursionError, ValueError):
        return False
    return not text[end:].lstrip() or text[end:].lstrip()[0] in "{["


_DECODER: Final = json.JSONDecoder()


def _spanning(start: bytes, file: BinaryIO, line: int, notes: Notes) -> Iterator[Document]:
    """Yield the single value of a file; if it is not JSON as a whole, the values of its lines."""
    whole = start + file.read()
    error, value = None, None
    try:
        value = _parsed(whole.decode(), notes)
    except UnicodeDecodeError as found:
        error = _not_utf8(whole, found, line)
    except (ValueError, RecursionError) as found:
        error = _not_json(found, line)
    if error is None:
        yield _kept(value, line, None, whole, notes)
        return
    if not notes.quarantine:
        raise error
    for number, piece in enumerate(whole.split(b"\n"), line):
        if piece.strip():
            yield from _documents_of(piece + b"\n", number, notes)


def _documents_of(raw: bytes, line: int, notes: Notes) -> Iterator[Document]:
    """Yield the whole values of a line."""
    if b"\0" in raw:
        zeros = raw.count(b"\0")
        notes.tell(
            "zeros", line, f"{zeros:,} zero bytes, left by a write that was cut off", "left out"
        )
        for piece in _ZEROS.split(raw):
            if piece.strip():
                yield from _documents_of(piece, line, notes)
        return
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError as error:
        notes.drop("not_utf8", _not_utf8(raw, error, line), raw)
        return
    try:
        yield _kept(_parsed(text, notes), line, line, raw, notes)
    except (ValueError, RecursionError) as error:
        ends = raw.endswith(b"\n")
        yield from _whole_values(text, _not_json(error, line), ends=ends, notes=notes)


def _whole_values(
    text: str, error: InvalidMessage, *, ends: bool, notes: Notes
) -> Iterator[Document]:
    """Yield the whole values in a line that is not JSON as a whole."""
    line = error.line or 0
    found, pieces = _values_in(text)
    told = error if ends else _torn(error)
    if len(found) == 1 and not pieces:
        raise error  # Complete, but refused: it contains a number that JSON does not have.
    if len(found) > 1 or (found and pieces):
        notes.tell("glued", line, f"{len(found)} values on one line", "read one by one")
    elif not found:
        notes.drop("not_json" if ends else "torn", told, text.encode(errors="replace"))
        return
    for value, raw in found:
        yield _kept(value, line, line, raw.encode(), notes)
    for piece in pieces:
        notes.drop("not_json" if ends else "torn", told, piece.encode())


def _torn(error: InvalidMessage) -> InvalidMessage:
    """Return the complaint about a last line without its end, as a write leaves that was cut off."""
    return InvalidMessage(f"the file ends within this line: {error.reason}", line=error.line)


def _values_in(text: str) -> tuple[list[tuple[Any, str]], list[str]]:
    """Return the whole values of a line with their texts, and the pieces between them."""
    found: list[tuple[Any, str]] = []
    pieces: list[str] = []
    place, tries = 0, CANDIDATES
    while place < len(text):
        value, end = _value_at(text, place)
        if end > place and (is_object(value) or (is_list(value) and not found)):
            found.append((value, text[place:end]))
            place = _past_space(text, end)
            continue
        nearest, tries = _next_record(text, place, tries)
        pieces.append(text[place:nearest])
        place = nearest
    return found, pieces


def _next_record(text: str, place: int, tries: int) -> tuple[int, int]:
    """Return where the next whole record begins (or the end of the line), and the tries left."""
    candidate = text.find('{"', place + 1)
    while candidate != -1 and tries:
        value, end = _value_at(text, candidate)
        is_last = end > candidate and (end == len(text) or text[_past_space(text, end)] == "{")
        if is_last and is_object(value) and RECORD_FIELDS & value.keys():
            return candidate, tries
        tries -= 1
        candidate = text.find('{"', candidate + 1)
    return len(text), tries


def _value_at(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, place


def _past_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _parsed(text: str, notes: Notes) -> Any:
    return read_json(text) if notes.mends else parse_json(text)


def _kept(value: Any, line: int, exact: int | None, raw: bytes, notes: Notes) -> Document:
    value, replaced = mended(value) if notes.mends else (value, [])
    if replaced:
        fields = ", ".join(replaced[:5]) + (" …" if len(replaced) > 5 else "")
        detail = (
            f"{fields}: not storable (invalid UTF-8 text, no JSON number, or nested too deeply)"
        )
        notes.tell("replaced", exact, detail, "written as text", raw)
    return Document(value, line, exact, raw)


def _not_utf8(raw: bytes, error: UnicodeDecodeError, line: int) -> InvalidMessage:
    return InvalidMessage(
        f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8",
        line=line + raw.count(b"\n", 0, error.start),
    )


def _not_json(error: Exception, line: int) -> InvalidMessage:
    if isinstance(error, json.JSONDecodeError):
        problem = f"{error.msg.removesuffix(' at')} at character {error.colno}"
        line += error.lineno - 1
    else:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidMessage(
        f"this is not JSON ({problem}); a file must be one JSON document, or have one on each line",
        line=line,
    )
