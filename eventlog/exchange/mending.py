"""Replace values of foreign files that JSON or UTF-8 cannot hold by text that says what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.mending import read_json, replaced
from eventlog.session.chat.format import compact, is_deeper, parse_json

if TYPE_CHECKING:
    from eventlog.exchange.notes import Notes

__all__ = ["LEVELS", "UNREAD", "mended", "read_json", "read_value"]

UNREAD: Final = object()
"""Stands for a value that was dropped; None is a value."""

LEVELS: Final = 90
"""Levels of nesting that are kept as they are: the message around them adds a few."""

NOT_STORABLE: Final = ": no text of UTF-8, no number of JSON, or nested too deeply"


def read_value(raw: bytes, name: str, line: int | None, notes: Notes) -> Any:
    """Read the JSON of a file or row called ``name``, and note what had to become text.

    What is no JSON is dropped, if ``notes`` lets it: then `UNREAD` is returned.
    """
    try:
        text = raw.decode()
        value, changed = mended(read_json(text)) if notes.mends else (parse_json(text), [])
    except (ValueError, RecursionError) as error:
        notes.drop("not_json", InvalidMessage(f"{name} is not JSON: {error}", line=line), raw)
        return UNREAD
    if changed:
        fields = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
        notes.tell("replaced", line, f"{name}: {fields}{NOT_STORABLE}", "written as text", raw)
    return value


def mended(value: Any) -> tuple[Any, list[str]]:
    r"""Return ``value`` in a form that can be stored, and the paths of what was replaced by text.

    A lone surrogate becomes its escape (``\ud83d``), an infinite number its name, a whole number of
    too many digits its digits, and what is nested too deeply its JSON.
    """
    try:
        compact(value).encode()
        if not is_deeper(value, LEVELS):
            return value, []
    except (ValueError, TypeError, RecursionError):
        pass
    changed: list[str] = []
    return replaced(value, LEVELS, changed), changed
