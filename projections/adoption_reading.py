"""Reading a session folder from storage (I/O); nothing in it is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from eventlog.blobs import digest_of
from eventlog.errors import CorruptFolder, InvalidArgument
from eventlog.projections.adoption_folder import ARCHIVE_READ, SESSION_READ, Contents
from eventlog.projections.folder_layout import (
    HISTORY,
    LOCK,
    MESSAGES,
    META,
    is_quarantined,
    is_temporary,
)
from eventlog.session.commit import archive_index
from eventlog.session.events import KeptFile

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
    reading = _Reading(files, path)
    reading.folder("", 0)
    return Contents(
        path=path,
        files=reading.contents,
        folders=tuple(reading.archives),
        unreadable=reading.unreadable,
        kept=reading.kept,
    )


@dataclass(slots=True)
class _Reading:
    """What was read so far, by paths relative to the folder."""

    files: FileSystem
    root: str
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    archives: list[str] = field(default_factory=list[str])
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
            is_folder = self.files.is_folder(f"{self.root}/{path}")
            if is_folder and not _is_read(path):
                if inside == f"{HISTORY}/":
                    self.archives.append(name)
                self.folder(f"{path}/", depth + 1)
            elif is_folder:
                self.unreadable[path] = "it is a folder"
            elif not _is_passing(path, name):
                self._file(path)

    def _file(self, path: str) -> None:
        if not _is_read(path):
            data = self.files.read(f"{self.root}/{path}")
            self.kept[path] = KeptFile(path=path, size=len(data), sha256=digest_of(data))
            return
        try:
            self.contents[path] = self.files.read(f"{self.root}/{path}")
        except OSError as error:
            self.unreadable[path] = error.strerror or str(error)


def _is_read(path: str) -> bool:
    """Tell whether a path is that of a file which means something here."""
    folder, _, name = path.rpartition("/")
    if not folder:
        return name in SESSION_READ
    above, _, archive = folder.rpartition("/")
    return above == HISTORY and archive_index(archive) is not None and name in ARCHIVE_READ


def _is_passing(path: str, name: str) -> bool:
    """Tell whether a file is of the moment: a lock, what a crash left, or in quarantine already."""
    locks = name == ".path.ovlock" or name.startswith(".exact.ovlock.") or path == LOCK
    return locks or is_temporary(name) or is_quarantined(name)
