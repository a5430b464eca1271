"""Write a session folder: the order of the writes, and what is synced when.

The log is the truth, so no crash can lose anything here. The order is for programs that read the
files and do not know about the log:

1. A file that a reader opens is complete. It is written under a temporary name, synced, and then
   renamed. Only the session's ``messages.jsonl`` is appended to in place: its readers know that the
   last line may be incomplete.
2. A message is never missing from both places. An archive's messages are durable, name and folder
   included, before the live messages are written without them. A crash in between leaves them in
   both.
3. ``.done`` and ``.failed.json`` come last, when all that they stand for is durable: the archive's
   summaries, and the session's ``.meta.json`` that counts it.
4. Commits and outcomes of archives are synced; an appended message is not. After a loss of power the
   session's own four files may be out of date, and they are rewritten when the session is next
   opened. The files of archives and of large tool outputs need no check: they never change once they
   have their name, so the name is proof of the content. Only ``.failed.json`` may be replaced.

Each step can be repeated, and follows from the records alone. So after a crash at any step, doing
all of them again makes the folder right.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from eventlog.filesystem import replace_file
from eventlog.projections.folder_layout import (
    ARCHIVE_FILES,
    DONE,
    FAILED,
    MESSAGES,
    SESSION_FILES,
    quarantine_name,
    split_archive_file,
    temporary_name,
)

if TYPE_CHECKING:
    from eventlog.filesystem import FileSystem, FileTree

__all__ = ["Content", "Folder", "beside", "write_files"]

Content: TypeAlias = Callable[[str], bytes | None]
"""Return the content that the file at a path should have, or None if it should not exist."""

_RAW: Final = 0
_SUMMARIES: Final = 1
_SESSION: Final = 2
_MARKERS: Final = 3


class Folder:
    """The files of one session, by their path in its folder.

    Nothing in it is trusted: no link is followed, only regular files are opened, and a file with a
    second name is replaced rather than written to (see `eventlog.local_files`). ``permissions`` are
    those of new files. Raises `OSError`; `eventlog.folder.refusing` says what that means.
    """

    def __init__(self, files: FileSystem, path: str, permissions: int | None = None) -> None:
        self.files: FileTree = files.under(path, permissions)
        self.path = path
        self._machine = files

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if it does not exist."""
        try:
            return self.files.read(path)
        except FileNotFoundError:
            return None

    def names(self, path: str = "") -> list[str]:
        """Return the names in a folder; empty if it does not exist."""
        try:
            return list(self.files.names(path))
        except FileNotFoundError:
            return []

    def is_folder(self, path: str = "") -> bool:
        """Return whether a folder exists."""
        return self.files.is_folder(path)

    def is_file(self, path: str) -> bool:
        """Return whether a regular file exists."""
        return self.files.kind(path) == "file"

    def append(self, path: str, data: bytes) -> None:
        """Append to a file without a sync."""
        try:
            file = self.files.open(path)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            # A hard link: the other names keep their content, and this one gets a new file.
            return self.replace(path, self.files.read(path) + data, durable=False)
        try:
            file.append(data)
        finally:
            file.close()

    def replace(self, path: str, data: bytes, *, durable: bool) -> None:
        """Replace a file's content: a reader finds the old or the new, never a part."""
        parent, name = _split(path)

        def temporary(drawn: str) -> str:
            return _join(parent, temporary_name(name, drawn))

        try:
            replace_file(self.files, path, data, temporary=temporary, durable=durable)
        except FileNotFoundError:
            self.make(parent)
            replace_file(self.files, path, data, temporary=temporary, durable=durable)

    def remove(self, path: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError):
            self.files.remove(path)

    def rename(self, path: str, name: str) -> None:
        """Rename a file or folder within its folder."""
        self.files.rename(path, beside(path, name))

    def quarantine(self, path: str, content: bytes) -> str:
        """Write what a file is about to lose beside it, durably; return the path."""
        parent, name = _split(path)
        kept = _join(parent, quarantine_name(name, content))
        if not self.is_file(kept) or self.read(kept) != content:
            self.replace(kept, content, durable=True)
            self.settle(parent)
        return kept

    def make(self, path: str = "") -> None:
        """Create a folder and its parents, each durable before the next."""
        if self.files.is_folder(path):
            return
        if not path:
            self._make_root()
            return
        parent = _split(path)[0]
        self.make(parent)
        with suppress(FileExistsError):
            self.files.make_folder(path)
        self.files.sync_folder(parent)

    def _make_root(self) -> None:
        parent = _split(self.path)[0] or "/"
        self._make_above(parent)
        with suppress(FileExistsError):
            self.files.make_folder("")
        self._machine.sync_folder(parent)

    def _make_above(self, path: str) -> None:
        """Create the folders above this one; they belong to the caller, so links are followed."""
        if self._machine.is_folder(path):
            return
        parent = _split(path)[0] or "/"
        self._make_above(parent)
        with suppress(FileExistsError):
            self._machine.make_folder(path)
        self._machine.sync_folder(parent)

    def settle(self, path: str = "") -> None:
        """Sync a folder, if it exists, so that the names in it are durable."""
        with suppress(FileNotFoundError):
            self.files.sync_folder(path)


def write_files(folder: Folder, paths: Iterable[str], content: Content, *, durable: bool) -> None:
    """Write or remove files, in the order and with the syncs described at the head of the module."""
    for _, group in groupby(sorted(paths, key=_place), key=lambda path: _place(path)[0]):
        touched: list[str] = []
        for path in group:
            _write(folder, path, content(path), durable=durable)
            touched.append(_split(path)[0])
        if durable:
            for parent in dict.fromkeys(touched):
                folder.settle(parent)


def _write(folder: Folder, path: str, content: bytes | None, *, durable: bool) -> None:
    if content is None:
        folder.remove(path)
    else:
        folder.replace(path, content, durable=durable)


def _place(path: str) -> tuple[int, int, int, str]:
    """Return a file's place in the order: its phase, its archive, its rank within the archive."""
    archived = split_archive_file(path)
    if archived is not None and archived[1] in ARCHIVE_FILES:
        index, name = archived
        phase = {MESSAGES: _RAW, DONE: _MARKERS, FAILED: _MARKERS}.get(name, _SUMMARIES)
        return phase, index, ARCHIVE_FILES.index(name), ""
    if path in SESSION_FILES:
        return _SESSION, 0, SESSION_FILES.index(path), ""
    return _RAW, 0, 0, path


def beside(path: str, name: str) -> str:
    """Return the path of another name in the same folder as a path."""
    return _join(_split(path)[0], name)


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent, name


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
