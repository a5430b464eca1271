"""Values that JSON or UTF-8 cannot hold, or no reader takes, as text that says what they were."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

from typing_extensions import TypeIs  # typing has it from 3.13 on

__all__ = ["legible", "read_json", "replaced"]

DIGITS: Final = 4_000
"""Digits up to which a whole number stays one: Python reads no more than 4,300."""

STORED_LEVELS: Final = 100
"""Levels of objects and lists that stored data keeps where it has more than any reader takes."""


class _Digits:
    """A whole number of too many digits, which no JSON writer takes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def read_json(text: str | bytes) -> Any:
    """Read JSON; NaN, infinities and numbers of any length are left for `replaced`.

    Raises `ValueError` and `RecursionError`.
    """
    return json.loads(text, parse_int=_whole_number)


def _whole_number(digits: str) -> int | _Digits:
    return int(digits) if len(digits) <= DIGITS else _Digits(digits)


def legible(data: bytes) -> bytes | None:
    """Return stored JSON with text in place of what cannot be read; None if that changes nothing.

    Before values were checked when they came in, some were stored that no reader takes: numbers of
    too many digits, and what is nested too deeply.
    """
    try:
        value = replaced(read_json(data), STORED_LEVELS, [])
        found = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        encoded = found.encode()
    except (ValueError, RecursionError):
        return None
    return None if encoded == data else encoded


def replaced(value: Any, levels: int, changed: list[str]) -> Any:
    r"""Return a value that can be stored; ``changed`` takes the paths of what became text.

    A lone surrogate becomes its escape (``\ud83d``), an infinite number its name, a whole number
    of too many digits its digits, and what is nested deeper than ``levels`` its JSON.
    """
    return _replaced(value, "", levels, changed)


def _replaced(value: Any, path: str, levels: int, changed: list[str]) -> Any:
    if isinstance(value, str):
        return _text(value, path, changed)
    if isinstance(value, _Digits) or (isinstance(value, float) and not isfinite(value)):
        changed.append(path)
        return str(value)
    if not _is_object(value) and not _is_list(value):
        return value
    if not levels:
        changed.append(path)
        return _text(json.dumps(value, default=str), path, [])
    if _is_object(value):
        return {
            _text(key, path, changed): _replaced(inner, _join(path, key), levels - 1, changed)
            for key, inner in value.items()
        }
    return [
        _replaced(inner, _join(path, str(place)), levels - 1, changed)
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


def _is_object(value: object) -> TypeIs[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeIs[list[Any]]:
    return isinstance(value, list)
