"""Read the lines of a ``messages.jsonl`` that another program wrote: messages, and damaged lines.

A line ends at a line feed and nowhere else: other Unicode separators may occur unescaped in a JSON
string. Messages are taken unchanged, with all unknown fields and parts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.errors import InvalidMessage
from eventlog.session.messages import as_message, check_text, message_data
from eventlog.session.parts import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.session.message_data import MessageData

__all__ = ["UNKNOWN_TIME", "BadLine", "Line", "Lines", "read_json_object", "read_lines"]

UNKNOWN_TIME: Final = "1970-01-01T00:00:00.000000Z"
"""The time of a message if the folder gives none."""

_BOM: Final = b"\xef\xbb\xbf"
_RUNS: Final = re.compile(rb"\0+|[^\0]+")


class Line(NamedTuple):
    """A line with a message: its number from 1, its bytes, and the message."""

    number: int
    raw: bytes
    data: MessageData

    @property
    def id(self) -> str:
        return self.data["id"]


class BadLine(NamedTuple):
    """A line that is no message; ``torn`` if a write was cut off in it."""

    number: int
    raw: bytes
    problem: str
    torn: bool


class Lines(NamedTuple):
    """The lines of a file, in order."""

    good: tuple[Line, ...]
    bad: tuple[BadLine, ...]


def read_lines(data: bytes, time: str = UNKNOWN_TIME) -> Lines:
    """Read the messages of a file.

    A message without a time gets that of the message before it, and the first one ``time``.
    """
    good: list[Line] = []
    bad: list[BadLine] = []
    pieces = data.removeprefix(_BOM).split(b"\n")
    last = max((place for place, piece in enumerate(pieces) if piece.strip()), default=-1)
    for number, piece in enumerate(pieces[: last + 1], 1):
        is_last = number == last + 1
        for raw, torn in _written(piece, is_last=is_last):
            try:
                good.append(Line(number, raw, _message(raw, time)))
                time = good[-1].data["created_at"]
            except InvalidMessage as error:
                bad.append(BadLine(number, raw, str(error), torn=False))
            except ValueError as error:
                bad.append(BadLine(number, raw, str(error), torn))
    return Lines(tuple(good), tuple(bad))


def _written(piece: bytes, *, is_last: bool) -> Iterator[tuple[bytes, bool]]:
    """Yield the pieces of a line that were written at once, and whether each may be torn.

    If a loss of power kept a file's length but not its data, there are zero bytes, which no JSON
    contains. The piece before them is torn or whole; the piece after them was appended later.
    """
    for run in _RUNS.finditer(piece):
        raw = run.group()
        if raw.strip():
            yield raw, is_last or run.end() < len(piece)


def read_json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object; raise `ValueError` for anything else.

    Some programs write raw control characters into strings; only a zero byte is always damage.
    """
    if b"\0" in data:
        raise ValueError(f"it has {data.count(0):,} zero bytes, left by a write that was cut off")
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, strict=False)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg} at character {error.pos})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - it is about the content
    return cast("dict[str, Any]", value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _message(raw: bytes, time: str) -> MessageData:
    """Return a message as it will be stored; raise `InvalidMessage` if it is not a message."""
    fields = read_json_object(raw)
    if not isinstance(fields.get("id"), str):
        raise InvalidMessage("a message needs an id, which is text", field="id")
    if "parts" not in fields and isinstance(fields.get("content"), str):
        # Older programs wrote only the text.
        fields["parts"] = [{"type": "text", "text": fields["content"]}]
    created_at = fields.pop("created_at", None)
    fields["created_at"] = time if created_at is None else created_at
    message_data(as_message(fields))  # It raises for what could not be stored.
    data = cast("MessageData", fields)
    check_text(message_text(data), "parts")
    return data
