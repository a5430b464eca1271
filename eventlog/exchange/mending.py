"""Replace values of foreign files that JSON or UTF-8 cannot hold by text that says what they were."""

from __future__ import annotations

from typing import Any, Final

from eventlog.mending import read_json, replaced
from eventlog.session.chat.format import compact, is_deeper

__all__ = ["LEVELS", "mended", "read_json"]

LEVELS: Final = 90
"""Levels of nesting that are kept as they are: the message around them adds a few."""


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
    return replaced(value, LEVELS, changed), changed
