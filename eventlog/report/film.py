"""The history of a session as patches: what each event changed, and whole states along the way.

A page that shows a version takes the whole state before it and applies the changes up to it. It folds
nothing, and knows no event: what is true at a version is decided here, by the library's own fold.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import from_json

from eventlog.codec import records_to_come
from eventlog.forensics.event_lines import gist
from eventlog.forensics.picture import ROOTS, Values, values_of
from eventlog.recorded import Recorded
from eventlog.session.views import META_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.forensics.paths import Path
    from eventlog.forensics.picture import Picture
    from eventlog.records import Record
    from eventlog.report.tables import Tables

__all__ = ["BY_FIELD", "WINDOW", "Frames", "Window", "leaves"]

WINDOW: Final = 500
"""Events between two whole states."""

BY_FIELD: Final = frozenset({"archives", "tasks", "turns", "runs"})
"""Roots with entries whose fields change one by one."""

GONE: Final = -1
"""The place of the value of what is not there any more."""


class Frames:
    """What a page is to show of a session, as its fold goes on."""

    def __init__(self, tables: Tables, picture: Picture) -> None:
        self._tables = tables
        self._status, self._meta = "", dict[str, Any]()
        self._findings = 0
        self._note_session(picture)
        self._shown: dict[int, int] = {
            tables.path(path): tables.value(value) for path, value in leaves(picture)
        }
        """The place of each path that has a value, with that of the value, in the order of a page."""

    def whole(self) -> list[int]:
        """Return the state: places of paths and of their values, in turn."""
        return [place for entry in self._shown.items() for place in entry]

    def after(self, picture: Picture) -> list[int]:
        """Return what the last event of a picture changed, as places of paths and of values."""
        changes: list[int] = []
        for path, value, is_there in self._changed(picture):
            place = self._tables.path(path)
            if not is_there:
                if self._shown.pop(place, None) is not None:
                    changes += (place, GONE)
                continue
            found = self._tables.value(value)
            if self._shown.get(place) != found:
                self._shown[place] = found
                changes += (place, found)
        return changes

    def _changed(self, picture: Picture) -> Iterator[tuple[Path, Any, bool]]:
        """Yield the paths that may have changed, with their values and whether they have any."""
        yield from self._note_session(picture)
        values = Values(picture)
        for root, key in sorted(picture.touched):
            if not key:
                yield (root,), values[root], bool(values[root])
            elif root in BY_FIELD:
                entry = values[root][key]  # None of them ever goes.
                yield from (((root, key, name), value, True) for name, value in entry.items())
            else:
                yield (root, key), values[root].get(key), key in values[root]

    def _note_session(self, picture: Picture) -> list[tuple[Path, Any, bool]]:
        """Return what changed beside the entries, and take it over."""
        state = picture.session
        changed: list[tuple[Path, Any, bool]] = []
        if state.status != self._status:
            self._status = state.status
            changed.append((("status",), state.status, True))
        meta = self._meta
        for name, field in META_FIELDS.items():
            value = field(state)
            if name not in meta or meta[name] != value:
                meta[name] = value
                changed.append((("meta", name), value, True))
        for version, why in state.findings[self._findings :]:
            changed.append((("findings", str(version)), why, True))
        self._findings = len(state.findings)
        return changed


def leaves(picture: Picture) -> Iterator[tuple[Path, Any]]:
    """Yield all that a page shows of a picture, by path, in the order of a page."""
    values = values_of(picture)
    for root in ROOTS:
        found = values[root]
        if root == "version":
            continue
        if root == "findings":
            findings = picture.session.findings
            yield from (((root, str(version)), why) for version, why in findings)
        elif not isinstance(found, dict):
            if found:
                yield (root,), found
        elif root in BY_FIELD:
            for key, entry in cast("dict[str, dict[str, Any]]", found).items():
                yield from (((root, key, name), value) for name, value in entry.items())
        else:
            entries = cast("dict[str, Any]", found)
            yield from (((root, key), value) for key, value in entries.items())


JOINED: Final = re.compile(
    r"(?<=[\U0001f000-\U0001faff\ufe0f])\\u200d(?=[\u2600-\u27bf\U0001f000-\U0001faff])"
)
"""The joiner within an emoji, as the escape that a terminal is given: a browser draws one picture."""

INDEXED: Final = ("type", "time", "actor", "line", "inside", "tokens")
"""What a list of events shows of each."""


class Window:
    """Some events in a row: a line about each, what each changed, and the whole state before them."""

    def __init__(self, tables: Tables, after: int, whole: list[int]) -> None:
        self._tables = tables
        self.after = after
        self.columns: dict[str, list[Any]] = {
            name: []
            for name in ("type", "time", "actor", "line", "inside", "data", "about", "tokens")
        }
        self.whole = whole
        self.changes: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.changes)

    def add(self, recorded: Recorded, changes: list[int], tokens: int) -> None:
        """Add an event, with what it changed and the tokens that are live after it."""
        record = recorded.record
        data = _json(record.data)
        about, actor = self._about(record.metadata)
        columns = self.columns
        columns["type"].append(self._tables.value(record.type))
        columns["time"].append(record.time)
        columns["actor"].append(actor)
        columns["line"].append(JOINED.sub("\u200d", gist(recorded)))
        columns["inside"].append(int(records_to_come(record) > 0))
        columns["data"].append(self._tables.value(_without_message(record, data)))
        columns["about"].append(about)
        columns["tokens"].append(tokens)
        self.changes.append(changes)

    def _about(self, metadata: bytes) -> tuple[int, int]:
        """Return the places of an event's metadata and of its actor; most events have those of others."""
        known = self._tables.abouts.get(metadata)
        if known is None:
            about = _json(metadata)
            known = self._tables.value(about), self._tables.value(_actor(about))
            self._tables.abouts[metadata] = known
        return known

    def document(self) -> dict[str, Any]:
        """Return the window as plain JSON values."""
        return {**self.lines(), **self.patches()}

    def lines(self) -> dict[str, Any]:
        """Return what a list shows of the events, times as differences to the one before."""
        times = self.columns["time"]
        since = [time - before for before, time in zip([0, *times], times, strict=False)]
        columns = {name: self.columns[name] for name in INDEXED}
        return {"after": self.after, **columns, "time": since}

    def patches(self) -> dict[str, Any]:
        """Return what the events are and what each changed, with the whole state before them."""
        return {
            "data": self.columns["data"],
            "about": self.columns["about"],
            "whole": self.whole,
            "changes": self.changes,
        }


def _json(data: bytes) -> Any:
    with suppress(ValueError):
        return from_json(data)  # Of a few values it knows nothing; the other takes twice the time.
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return {"unreadable": data[:200].decode(errors="replace")}


def _actor(metadata: Any) -> str:
    actor = cast("dict[str, Any]", metadata).get("actor") if isinstance(metadata, dict) else None
    return actor if isinstance(actor, str) else ""


def _without_message(record: Record, data: Any) -> Any:
    """Return an event's data; a message that became live is among what the event changed."""
    if record.type == "message_appended" and isinstance(data, dict):
        fields = cast("dict[str, Any]", data)
        return {name: value for name, value in fields.items() if name != "message"}
    return data
