"""Values and paths of a report, each written once and named by its place in a table."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import to_json

from eventlog.error_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventlog.forensics.paths import Path

__all__ = ["TEXT_LENGTH", "Tables", "json_text", "shortened"]

TEXT_LENGTH: Final = 2_000
"""Characters of a text that are shown; a command shows the rest."""

LIST_LENGTH: Final = 200
"""Entries of a list or object that are shown."""

KEY_LENGTH: Final = 255

WORD_LENGTH: Final = 64
"""Characters of a text that is looked up as it is."""

DEPTH: Final = 24
"""How deep values are shown; deeper ones are shown as JSON text."""

LARGEST_INTEGER: Final = 2**53 - 1
"""The largest integer that every reader of JSON keeps."""


def shortened(value: Any, depth: int = 0) -> Any:
    """Return a value with long texts cut, long lists too; a mark says how much is missing.

    Whatever it holds, the result is small, and every reader of JSON reads it alike.
    """
    if isinstance(value, str):
        return _cut(value, TEXT_LENGTH)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEPTH:
        return _cut(json.dumps(value, ensure_ascii=False, default=str), TEXT_LENGTH)
    if isinstance(value, dict):
        return _shortened_object(cast("Mapping[Any, Any]", value), depth)
    if isinstance(value, (list, tuple)):
        return _shortened_list(cast("list[Any]", value), depth)
    return _cut(str(value), TEXT_LENGTH)


def _shortened_object(fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    names = list(fields)[:LIST_LENGTH]
    shown = {_cut(str(name), KEY_LENGTH): shortened(fields[name], depth + 1) for name in names}
    if len(fields) > LIST_LENGTH:
        shown["…"] = f"{len(fields) - LIST_LENGTH:,} more"
    return shown


def _shortened_list(entries: list[Any], depth: int) -> list[Any]:
    shown = [shortened(entry, depth + 1) for entry in entries[:LIST_LENGTH]]
    more = len(entries) - LIST_LENGTH
    return [*shown, f"… {more:,} more"] if more > 0 else shown


def _cut(text: str, length: int) -> str:
    text = printable(text)
    if len(text) <= length:
        return text
    return f"{text[:length]}…⟨{len(text) - length:,} more characters⟩"


_encoded: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_text(value: Any) -> str:
    """Return JSON that may stand in a page: nothing in it ends a script or begins a comment."""
    return _safe(_encoded(value))


def _safe(text: str) -> str:
    return text.replace("<", "\\u003c") if "<" in text else text


class Tables:
    """The values and paths that changes name."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._paths: dict[Path, int] = {}
        self._words: dict[str, int] = {}
        """The places of short texts by these, which are most of what comes again."""
        self.abouts: dict[bytes, tuple[int, int]] = {}
        """The places of metadata and of the actor in it, by the stored bytes."""

    def value(self, value: Any) -> int:
        """Return the place of a value, shortened, in the table of values."""
        is_word = type(value) is str and len(value) <= WORD_LENGTH
        if is_word and (known := self._words.get(value)) is not None:
            return known
        text = _safe(to_json(shortened(value)).decode())
        place = self._values.setdefault(text, len(self._values))
        if is_word:
            self._words[value] = place
        return place

    def path(self, path: Path) -> int:
        """Return the place of a path; that of a live message is below zero: -1 is place 0.

        So a page knows them without the paths: there may be thousands, few of which it shows.
        """
        place = self._paths.setdefault(path, len(self._paths))
        return ~place if path[0] == "tail" else place

    @property
    def parts(self) -> dict[str, list[str]]:
        """The tables as JSON, entry by entry."""
        return {
            "values": list(self._values),
            "paths": [json_text(path) for path in self._paths],
        }

    @property
    def sizes(self) -> tuple[int, int]:
        """How many values and paths there are."""
        return len(self._values), len(self._paths)
