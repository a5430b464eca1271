"""Where a program was when its power failed: the lines of its own code, and the events it stored."""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import eventlog
import eventlog.projections
import eventlog.stores
from eventlog.stores.sqlite.store import SQLiteStore
from eventlog.testing.crashing import Crash

if TYPE_CHECKING:
    from eventlog.errors import EventLogError
    from eventlog.store import Append, Appended

__all__ = ["CodeLine", "Noted", "NotingStore", "StoredEvents", "lines_of"]

LINES_SHOWN: Final = 6
"""Calls of the program that are shown, the innermost ones."""

_OURS: Final = tuple(
    str(Path(package.__path__[0]).resolve())
    for package in (eventlog, eventlog.projections, eventlog.stores)
)
_PYTHON: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "<frozen")
_INSTALLED: Final = ("site-packages", "dist-packages")


class CodeLine(NamedTuple):
    """A line of the program, in the function that was called."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.number).strip()
        where = f"{Path(self.file).name}:{self.number}, in {self.function}"
        return f"{where}: {code}" if code else where


def lines_of(error: BaseException) -> tuple[CodeLine, ...]:
    """Return the lines of the program that led to a crash, the innermost last.

    They are of neither this library nor Python; those of installed packages only if no others are.
    Each call of a dead process crashes, too: the first crash counts that the program saw.
    """
    found: tuple[CodeLine, ...] = ()
    for crash in _crashes(error):
        found = _own_lines(crash) or found
    return found


def _crashes(error: BaseException) -> Iterator[Crash]:
    """Yield a crash, then the one during whose handling it came, and so on."""
    following: BaseException | None = error
    seen: set[int] = set()
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        if isinstance(following, Crash):
            yield following
        following = following.__cause__ or following.__context__


def _own_lines(crash: Crash) -> tuple[CodeLine, ...]:
    calls = [
        CodeLine(frame.filename, frame.lineno or 0, frame.name)
        for frame in traceback.extract_tb(crash.__traceback__)
        if not _is_in(frame.filename, _OURS) and not frame.filename.endswith(".c")
    ]
    installed = [call for call in calls if _is_installed(call.file)]
    own = [call for call in calls if call not in installed and not _is_in(call.file, _PYTHON)]
    return tuple((own or installed)[-LINES_SHOWN:])


def _is_in(file: str, folders: Sequence[str]) -> bool:
    return file.startswith(tuple(folders)) or str(Path(file).resolve()).startswith(tuple(folders))


def _is_installed(file: str) -> bool:
    return any(part in _INSTALLED for part in Path(file).parts)


class StoredEvents(NamedTuple):
    """The events of one append to a session."""

    path: str
    """The file of the log, on the host's disk."""
    session_id: str
    first: int
    types: tuple[str, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.types) - 1

    def __str__(self) -> str:
        several = self.last > self.first
        versions = f"versions {self.first} to {self.last}" if several else f"version {self.first}"
        return f"{', '.join(self.types)} ({versions} of session {self.session_id!r})"


class Noted:
    """What a host's logs were storing, and what they had stored last."""

    def __init__(self) -> None:
        self.storing: tuple[StoredEvents, ...] = ()
        self.stored: tuple[StoredEvents, ...] = ()


class NotingStore(SQLiteStore):
    """The SQLite store, which notes what it is appending."""

    noted: Noted

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.noted.storing = events = tuple(self._events(batch))
        try:
            answers = super().append(batch)
        except Exception:
            self.noted.storing = ()
            raise
        self.noted.storing, self.noted.stored = (), events
        return answers

    def _events(self, batch: Sequence[Append]) -> Iterator[StoredEvents]:
        for append in batch:
            if records := append.records:
                types = tuple(record.type for record in records)
                yield StoredEvents(self.path, append.stream, records[0].version, types)
