"""Text from outside made visible, for terminals and lines (G4): nothing in it changes what is shown."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Final

__all__ = ["counted", "one_line", "printable", "visible_json"]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
"""Unicode categories of invisible characters that change what a terminal shows: control and format
characters (text direction among them), line and paragraph separators, lone surrogates."""


class _Escapes(dict[int, str]):
    """Maps each character: a hidden one to its escape, any other to itself."""

    def __init__(self, escape: Callable[[int], str]) -> None:
        super().__init__({ord("\n"): "\n", ord("\t"): "\t"})
        self._escape = escape

    def __missing__(self, code: int) -> str:
        hidden = unicodedata.category(chr(code)) in _HIDDEN
        found = self[code] = self._escape(code) if hidden else chr(code)
        return found


def _as_text(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_TEXT: Final = _Escapes(_as_text)
_JSON: Final = _Escapes(lambda code: json.dumps(chr(code))[1:-1])


def visible_json(text: str) -> str:
    """Return the same JSON with every invisible character escaped."""
    return text.translate(_JSON)


def printable(text: str) -> str:
    """Return text with every control, format and bidi character as a visible escape.

    Line feeds and tabs stay. All text from outside passes through here before it is printed.
    """
    return text if text.isprintable() else text.translate(_TEXT)


def one_line(text: str, limit: int = 100) -> str:
    """Return text as one line of at most ``limit`` characters."""
    flat = " ".join(printable(text[: 4 * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 task``, ``2 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
