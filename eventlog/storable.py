"""The one check of values from outside: each can be stored, and is read back equal (G1).

Every value that a caller passes in ends up as JSON in UTF-8. JSON writers are lenient: they turn
NaN into ``null``, a tuple into a list, a key that is a number into text, a lone surrogate into a
replacement character, and they write whole numbers that no reader accepts. So the check is not a
list of forbidden types. It writes the value, reads it back, and compares; all three run in C. Only
a value that fails is walked in Python, to say where and why.

`strict_copy` is for values that a caller gives and expects back: it refuses any that would change.
`json_copy` is for values that a caller returns (the output of a step, the result of a task), where
the library answers with what it stored: it writes tuples as lists and dates as text, and refuses
only what would be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, cast

import pydantic_core

from eventlog.error_text import printable, shown
from eventlog.errors import InvalidArgument

__all__ = [
    "DIGITS_LIMIT",
    "NESTING_LIMIT",
    "Unstorable",
    "check_text",
    "checked_copy",
    "is_nested_too_deeply",
    "json_copy",
    "problem_in",
    "strict_copy",
]

NESTING_LIMIT: Final = 100
"""Levels of objects and lists in one value: half of what JSON parsers commonly take."""

DIGITS_LIMIT: Final = 4_300
"""Digits of a whole number: Python and pydantic read no more from a text."""

_REPLACEMENT: Final = "\ufffd".encode()
_TOO_DEEP: Final = f"it is nested deeper than {NESTING_LIMIT} levels"


class Unstorable(ValueError):
    """A value cannot be stored as it is. ``path`` names the place within it, such as ``a.0.b``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def strict_copy(value: Any) -> Any:
    """Return the value as it will be read back, which equals it; raise `Unstorable` otherwise.

    The copy shares nothing with the value: what the caller does to it later changes nothing.
    """
    try:
        data = pydantic_core.to_json(value, inf_nan_mode="constants")
        copy = pydantic_core.from_json(data, allow_inf_nan=False)
        if copy == value and not is_nested_too_deeply(copy, data):
            return copy
    except Exception as error:  # a value of a user's own type may raise anything
        raise _described(value, error) from error
    raise _described(value, None)


def json_copy(value: Any) -> tuple[Any, bytes]:
    """Return the value as it will be read back, and its JSON; raise `Unstorable` if any is lost.

    Tuples, sets, models, dates and the like become what JSON has for them.
    """
    try:
        data = pydantic_core.to_json(value, inf_nan_mode="constants")
        copy = pydantic_core.from_json(data, allow_inf_nan=False)
    except Exception as error:  # a value of a user's own type may raise anything
        raise _described(value, error) from error
    is_whole = pydantic_core.to_json(copy) == data  # Two keys may have become one.
    if not is_whole or is_nested_too_deeply(copy, data):
        raise _described(value, None)
    if _REPLACEMENT in data:
        found = problem_in(value)  # A key with half of a surrogate pair is written like this, too.
        if found is not None and "surrogate" in found.reason:
            raise found
    return copy, data


def checked_copy(what: str, value: Any) -> Any:
    """Return `strict_copy` of an argument; raise `InvalidArgument` that names the place in it."""
    try:
        return strict_copy(value)
    except Unstorable as error:
        place = f"{what}.{error.path}" if error.path else what
        raise InvalidArgument(f"{place}: {error.reason}; correct the value") from error


def check_text(what: str, value: Any, *, longest: int | None = None) -> str:
    """Return an argument that is text which UTF-8 can hold; raise `InvalidArgument` otherwise.

    Text of a subclass is returned as plain text. ``longest`` bounds its characters.
    """
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be text, not {shown(value)}")
    text = value if type(value) is str else str.__str__(value)
    place = _surrogate_in(text)
    if place is not None:
        raise InvalidArgument(
            f"{what}: it has a lone surrogate at character {place}, which UTF-8 cannot hold; correct the text"
        )
    if longest is not None and len(text) > longest:
        raise InvalidArgument(
            f"{what} has {len(text):,} characters; it may have at most {longest:,}"
        )
    return text


def is_nested_too_deeply(value: Any, data: bytes) -> bool:
    """Return whether a value that was read from ``data`` has more levels than may be stored."""
    if data.count(b"{") + data.count(b"[") <= NESTING_LIMIT:
        return False  # Nearly always: brackets in texts only make it look deeper.
    level = _containers([value])
    for _ in range(NESTING_LIMIT):
        if not level:
            return False
        level = _containers(inner for outer in level for inner in _entries(outer))
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _entries(outer: Any) -> Iterable[Any]:
    return cast("Iterable[Any]", outer.values() if isinstance(outer, dict) else outer)


# ---- naming the place ---------------------------------------------------------------------------


def _described(value: Any, error: Exception | None) -> Unstorable:
    found = problem_in(value)
    if found is not None:
        return found
    if error is None:
        return Unstorable("", "it would be read back as something else")
    return Unstorable("", f"it cannot be stored as JSON ({type(error).__name__})")


def problem_in(value: Any, path: str = "") -> Unstorable | None:
    """Return the first thing in a value that cannot be stored as it is, with its place."""
    return _problem(value, path, 0)


def _problem(value: Any, path: str, depth: int) -> Unstorable | None:
    if value is None or isinstance(value, (str, bool, int, float)):
        reason = _scalar_problem(value)
        return None if reason is None else Unstorable(path, reason)
    if not isinstance(value, (dict, list)):
        return Unstorable(path, f"{shown(value)} cannot be stored as JSON")
    if depth >= NESTING_LIMIT:
        return Unstorable(path, _TOO_DEEP)
    if isinstance(value, dict):
        return _problem_in_object(cast("Mapping[Any, Any]", value), path, depth)
    for place, entry in enumerate(cast("Sequence[Any]", value)):
        found = _problem(entry, _joined(path, str(place)), depth + 1)
        if found is not None:
            return found
    return None


def _problem_in_object(value: Mapping[Any, Any], path: str, depth: int) -> Unstorable | None:
    for key, entry in value.items():
        if not isinstance(key, str):
            return Unstorable(path, f"its key {shown(key)} is not text")
        reason = _scalar_problem(key)
        if reason is not None:
            return Unstorable(path, f"its key {printable(key)!r:.80}: {reason}")
        found = _problem(entry, _joined(path, key), depth + 1)
        if found is not None:
            return found
    return None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, str):
        place = _surrogate_in(value)
        return None if place is None else f"it has a lone surrogate at character {place}"
    if isinstance(value, float):
        return None if isfinite(value) else f"{value} is not a JSON number"
    # A digit takes 3.32 bits; exact at the limit, and no text is made of a huge number.
    if isinstance(value, int) and abs(value) >= 10**DIGITS_LIMIT:
        return f"it is a whole number of more than {DIGITS_LIMIT:,} digits"
    return None


def _surrogate_in(text: str) -> int | None:
    """Return the place of the first character that UTF-8 cannot hold."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None
