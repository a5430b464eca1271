"""Writing a session folder: in which order, and what is synchronised when.

The log is the truth, so no crash can lose anything here. What the order is for are the programs
that read the files without knowing of a log:

1. What a reader opens is whole. A file is written under a temporary name, synchronised, and then
   gets its own by a rename. Only ``messages.jsonl`` of the session is appended to in place: its
   readers know that the last line may still be on its way.
2. No message is ever in neither place. An archive's messages are durable, name and folder included,
   before the live messages are written without them. A crash in between leaves them in both.
3. ``.done`` and ``.failed.json`` come last, when all that they stand for is durable: the archive's
   summaries, and the session's ``.meta.json`` that counts it.
4. A commit and what becomes of an archive are synchronised, an appended message is not: after a
   loss of power the session's own four files may be of an earlier time, and are written again when
   the session is next opened. The files of archives and of large tool outputs need no such look.
   They never change once they have their name, so a name is proof of the content;
   ``.failed.json`` alone may be replaced.

Each step can be repeated, and follows from the records alone; so a crash after any of them is made
good by doing all of them again.
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
"""Return what the file at a path is to hold; None if it is not to be there."""

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
        """Return what a file holds; None if it is not there."""
        try:
            return self.files.read(path)
        except FileNotFoundError:
            return None

    def names(self, path: str = "") -> list[str]:
        """Return the names in a folder; none if it is not there."""
        try:
            return list(self.files.names(path))
        except FileNotFoundError:
            return []

    def is_folder(self, path: str = "") -> bool:
        """Return whether a folder is there."""
        return self.files.is_folder(path)

    def is_file(self, path: str) -> bool:
        """Return whether a regular file is there."""
        return self.files.kind(path) == "file"

    def append(self, path: str, data: bytes) -> None:
        """Write behind what a file holds, at once and unsynchronised."""
        try:
            file = self.files.open(path)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            # Its other names keep what they have: this one gets a file of its own.
            return self.replace(path, self.files.read(path) + data, durable=False)
        try:
            file.append(data)
        finally:
            file.close()

    def replace(self, path: str, data: bytes, *, durable: bool) -> None:
        """Give a file new content: a reader finds the old or the new, and never a part."""
        parent, name = _split(path)

        def temporary(drawn: str) -> str:
            return _join(parent, temporary_name(name, drawn))

        try:
            replace_file(self.files, path, data, temporary=temporary, durable=durable)
        except FileNotFoundError:
            self.make(parent)
            replace_file(self.files, path, data, temporary=temporary, durable=durable)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self.files.remove(path)

    def rename(self, path: str, name: str) -> None:
        """Give a file or folder another name in the folder that it is in."""
        self.files.rename(path, beside(path, name))

    def quarantine(self, path: str, content: bytes) -> str:
        """Keep what a file is about to lose, durably, beside it; return the path."""
        parent, name = _split(path)
        kept = _join(parent, quarantine_name(name, content))
        if not self.is_file(kept) or self.read(kept) != content:
            self.replace(kept, content, durable=True)
            self.settle(parent)
        return kept

    def make(self, path: str = "") -> None:
        """Create a folder and those that it is in, each of them durable before the next."""
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
        """Create the folders above this one, which are the caller's: links lead through them."""
        if self._machine.is_folder(path):
            return
        parent = _split(path)[0] or "/"
        self._make_above(parent)
        with suppress(FileExistsError):
            self._machine.make_folder(path)
        self._machine.sync_folder(parent)

    def settle(self, path: str = "") -> None:
        """Make the names in a folder durable, if it is there."""
        with suppress(FileNotFoundError):
            self.files.sync_folder(path)


def write_files(folder: Folder, paths: Iterable[str], content: Content, *, durable: bool) -> None:
    """Write or remove files, in the order and with the syncs that the module argues for."""
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
    """Return where a file comes in the order: its phase, its archive, its place in that."""
    archived = split_archive_file(path)
    if archived is not None and archived[1] in ARCHIVE_FILES:
        index, name = archived
        phase = {MESSAGES: _RAW, DONE: _MARKERS, FAILED: _MARKERS}.get(name, _SUMMARIES)
        return phase, index, ARCHIVE_FILES.index(name), ""
    if path in SESSION_FILES:
        return _SESSION, 0, SESSION_FILES.index(path), ""
    return _RAW, 0, 0, path


def beside(path: str, name: str) -> str:
    """Return the path of another name in the folder that a path is in."""
    return _join(_split(path)[0], name)


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent, name


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
