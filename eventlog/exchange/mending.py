"""Replace values of foreign files that JSON or UTF-8 cannot hold by text that says what they were."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.chat.format import compact, is_deeper, is_list, is_object, parse_json

if TYPE_CHECKING:
    from eventlog.exchange.notes import Notes

__all__ = ["LEVELS", "UNREAD", "mended", "read_json", "read_value"]

UNREAD: Final = object()
"""Stands for a value that was dropped; None is a value."""

LEVELS: Final = 90
"""Levels of nesting that are kept as they are: the message around them adds a few."""

DIGITS: Final = 4_000
"""A whole number of more digits becomes text: Python reads at most 4,300."""


class _Digits:
    """A whole number of too many digits, which no JSON writer takes before it was mended."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def read_json(text: str) -> Any:
    """Read JSON; NaN, infinities and numbers of any length are left for `mended` to replace.

    Raises `ValueError` and `RecursionError`.
    """
    return json.loads(text, parse_int=_whole_number)


def _whole_number(digits: str) -> int | _Digits:
    return int(digits) if len(digits) <= DIGITS else _Digits(digits)


def read_value(raw: bytes, name: str, line: int | None, notes: Notes) -> Any:
    """Read the JSON of a file or row called ``name``, and note what had to become text.

    What is no JSON is dropped, if ``notes`` lets it: then `UNREAD` is returned.
    """
    try:
        text = raw.decode()
        value, replaced = mended(read_json(text)) if notes.mends else (parse_json(text), [])
    except (ValueError, RecursionError) as error:
        notes.drop("not_json", InvalidMessage(f"{name} is not JSON: {error}", line=line), raw)
        return UNREAD
    if replaced:
        fields = ", ".join(replaced[:5]) + (" …" if len(replaced) > 5 else "")
        notes.tell("replaced", line, f"{name}: {fields}{NOT_STORABLE}", "written as text", raw)
    return value


NOT_STORABLE: Final = ": no text of UTF-8, no number of JSON, or nested too deeply"


def mended(value: Any) -> tuple[Any, list[str]]:
    """Return ``value`` in a form that can be stored, and the paths of what was replaced by text.

    A lone surrogate becomes its escape (``\\ud83d``), an infinite number its name, one of too many
    digits these, and what is nested too deeply its JSON.
    """
    try:
        compact(value).encode()
        if not is_deeper(value, LEVELS):
            return value, []
    except (ValueError, TypeError, RecursionError):
        pass
    changed: list[str] = []
    return _mended(value, "", 0, changed), changed


def _mended(value: Any, path: str, depth: int, changed: list[str]) -> Any:
    if isinstance(value, str):
        return _text(value, path, changed)
    if isinstance(value, _Digits) or (isinstance(value, float) and not isfinite(value)):
        changed.append(path)
        return str(value)
    if not is_object(value) and not is_list(value):
        return value
    if depth >= LEVELS:
        changed.append(path)
        return _text(json.dumps(value, default=str), path, [])
    if is_object(value):
        return {
            _text(key, path, changed): _mended(inner, _join(path, key), depth + 1, changed)
            for key, inner in value.items()
        }
    return [
        _mended(inner, _join(path, str(place)), depth + 1, changed)
        for place, inner in enumerate(value)
    ]


def _join(path: str, name: str) -> str:
    name = name.encode(errors="backslashreplace").decode()
    return f"{path}.{name}" if path else name


def _text(text: str, path: str, changed: list[str]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        changed.append(path)
        return text.encode(errors="backslashreplace").decode()
    return text
