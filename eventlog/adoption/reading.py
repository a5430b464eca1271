"""Reading a session folder from storage (I/O); nothing in it is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventlog.adoption.foreign_folder import (
    ARCHIVE_READ,
    SESSION_READ,
    Contents,
    named_archives,
)
from eventlog.errors import CorruptFolder, InvalidArgument
from eventlog.projections.folder_layout import (
    HISTORY,
    LOCK,
    MESSAGES,
    META,
    is_quarantined,
    is_temporary,
)
from eventlog.session.folder_events import KeptFile
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from eventlog.filesystem import FileSystem

__all__ = ["read_contents"]

DEEPEST: Final = 16
"""Levels of folders in a session's: a link to one above it would lead on for ever."""


def read_contents(files: FileSystem, path: str) -> Contents:
    """Read a session folder.

    Raises `FileNotFoundError`, `InvalidArgument` for a folder that is no session's,
    `CorruptFolder` for one that is nested too deeply.
    """
    if not files.is_folder(path):
        files.read(path)  # It says that there is nothing, where there is nothing.
        raise InvalidArgument(f"{path} is a file; name the folder of a session")
    names = files.names(path)
    if not {MESSAGES, META, HISTORY} & set(names):
        raise InvalidArgument(
            f"{path} is no session folder: it has neither {MESSAGES} nor {META} nor {HISTORY}/"
        )
    folders = _folders_in(files, path, HISTORY) if HISTORY in names else ()
    reading = _Reading(files, path, frozenset(named_archives(folders)[0].values()))
    reading.folder("", 0)
    return Contents(
        path=path,
        files=reading.contents,
        folders=folders,
        unreadable=reading.unreadable,
        kept=reading.kept,
    )


def _folders_in(files: FileSystem, root: str, path: str) -> tuple[str, ...]:
    if not files.is_folder(f"{root}/{path}"):
        return ()
    names = files.names(f"{root}/{path}")
    return tuple(
        name
        for name in names
        if not is_quarantined(name) and files.is_folder(f"{root}/{path}/{name}")
    )


@dataclass(slots=True)
class _Reading:
    """What was read so far, by paths relative to the folder."""

    files: FileSystem
    root: str
    archives: frozenset[str]
    """The folders in the history that are archives."""
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    kept: dict[str, KeptFile] = field(default_factory=dict[str, KeptFile])

    def folder(self, inside: str, depth: int) -> None:
        """Read a folder and all in it; ``inside`` is empty or ends with a slash."""
        if depth > DEEPEST:
            raise CorruptFolder(
                f"{self.root}/{inside} is nested deeper than {DEEPEST} levels; "
                "does a link lead back to a folder above it?"
            )
        for name in self.files.names(f"{self.root}/{inside}"):
            path = f"{inside}{name}"
            if _is_passing(path, name):
                continue
            is_folder = self.files.is_folder(f"{self.root}/{path}")
            if not is_folder:
                self._file(path)
            elif self._is_read(path):
                self.unreadable[path] = "it is a folder"
            else:
                self.folder(f"{path}/", depth + 1)

    def _file(self, path: str) -> None:
        if not self._is_read(path):
            data = self.files.read(f"{self.root}/{path}")
            self.kept[path] = KeptFile(path=path, size=len(data), sha256=digest_of(data))
            return
        try:
            self.contents[path] = self.files.read(f"{self.root}/{path}")
        except OSError as error:
            self.unreadable[path] = error.strerror or str(error)

    def _is_read(self, path: str) -> bool:
        """Tell whether a path is that of a file which means something here."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return name in SESSION_READ
        above, _, archive = folder.rpartition("/")
        return above == HISTORY and archive in self.archives and name in ARCHIVE_READ


def _is_passing(path: str, name: str) -> bool:
    """Tell whether something is of the moment: a lock, what a crash left, or in quarantine."""
    locks = name == ".path.ovlock" or name.startswith(".exact.ovlock.") or path == LOCK
    return locks or is_temporary(name) or is_quarantined(name)
