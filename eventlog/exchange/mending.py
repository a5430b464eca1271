"""Replace values of foreign files that JSON or UTF-8 cannot hold by text that says what they were."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

from eventlog.session.chat.format import compact, is_deeper, is_list, is_object

__all__ = ["LEVELS", "mended", "read_json"]

LEVELS: Final = 90
"""Levels of nesting that are kept as they are: the message around them adds a few."""

DIGITS: Final = 4_000
"""A whole number of more digits becomes text: Python reads at most 4,300."""


def read_json(text: str) -> Any:
    """Read JSON; NaN, infinities and numbers with too many digits become text.

    Raises `ValueError` and `RecursionError`.
    """
    return json.loads(text, parse_constant=str, parse_int=_whole_number)


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS else digits


def mended(value: Any) -> tuple[Any, list[str]]:
    """Return ``value`` in a form that can be stored, and the paths of what was replaced by text.

    A lone surrogate becomes its escape (``\\ud83d``), an infinite number its name, and what is
    nested too deeply its JSON.
    """
    try:
        compact(value).encode()
        if not is_deeper(value, LEVELS):
            return value, []
    except (ValueError, RecursionError):
        pass
    changed: list[str] = []
    return _mended(value, "", 0, changed), changed


def _mended(value: Any, path: str, depth: int, changed: list[str]) -> Any:
    if isinstance(value, str):
        return _text(value, path, changed)
    if isinstance(value, float) and not isfinite(value):
        changed.append(path)
        return str(value)
    if not is_object(value) and not is_list(value):
        return value
    if depth >= LEVELS:
        changed.append(path)
        return _text(json.dumps(value), path, [])
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
