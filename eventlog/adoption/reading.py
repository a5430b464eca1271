"""Read a session folder from storage (I/O); nothing in it is changed."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from hashlib import sha256
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
from eventlog.session.commit import archive_index
from eventlog.session.folder_events import KeptFile

if TYPE_CHECKING:
    from eventlog.adoption.limits import FolderLimits
    from eventlog.filesystem import FileSystem, FileTree
    from eventlog.local_files import Kind

__all__ = ["read_contents"]

DEEPEST: Final = 16
"""Levels of folders that are read."""

_CHUNK: Final = 1 << 20
"""Bytes of a kept file that are in memory at once."""

_KINDS: Final[dict[Kind | None, str]] = {
    "link": "it is a link, and links are not followed",
    "other": "it is a FIFO, a socket or a device, not a file",
    "folder": "it is a folder",
    None: "it disappeared while the folder was read",
}


def read_contents(machine: FileSystem, path: str, limits: FolderLimits) -> Contents:
    """Read a session folder.

    An entry that is no regular file is not opened: it counts as unreadable if its name means
    something here, and is left out otherwise. Raises `FileNotFoundError`; `InvalidArgument` if the
    folder is not a session's; `CorruptFolder` if it is nested too deeply or exceeds the limits.
    """
    files = machine.under(path)
    if not files.is_folder(""):
        machine.names(path)  # Raises `FileNotFoundError` if there is no folder.
    names = files.names("")
    if not {MESSAGES, META, HISTORY} & set(names):
        raise InvalidArgument(
            f"{path} is not a session folder: it has neither {MESSAGES} nor {META} nor {HISTORY}/"
        )
    folders = _folders_in(files, path, HISTORY) if HISTORY in names else ()
    reading = _Reading(files, path, frozenset(named_archives(folders)[0].values()), limits)
    reading.folder("", 0)
    return Contents(
        path=path,
        files=reading.contents,
        folders=folders,
        unreadable=reading.unreadable,
        kept=reading.kept,
        left_out=reading.left_out,
    )


def _folders_in(files: FileTree, root: str, path: str) -> tuple[str, ...]:
    """Return the folders in the history; raise if a link is in the place of an archive."""
    if files.kind(path) == "link":
        raise CorruptFolder(_link(root, path))
    if not files.is_folder(path):
        return ()
    found: list[str] = []
    for name in files.names(path):
        kind = None if is_quarantined(name) or not _is_text(name) else files.kind(f"{path}/{name}")
        if kind == "folder":
            found.append(name)
        elif kind == "link" and archive_index(name) is not None:
            raise CorruptFolder(_link(root, f"{path}/{name}"))
    return tuple(found)


def _link(root: str, path: str) -> str:
    return (
        f"{root}/{path} is a link, and links are not followed; put the folder itself there, "
        "or remove it"
    )


def _is_text(name: str) -> bool:
    """Return whether a name is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(slots=True)
class _Reading:
    """What has been read so far, by paths relative to the folder."""

    files: FileTree
    root: str
    archives: frozenset[str]
    """The folders in the history that are archives."""
    limits: FolderLimits
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    kept: dict[str, KeptFile] = field(default_factory=dict[str, KeptFile])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    entries: int = 0
    size: int = 0

    def folder(self, path: str, depth: int) -> None:
        """Read a folder and everything in it."""
        if depth > DEEPEST:
            raise CorruptFolder(
                f"{self.root}/{path} is nested deeper than {DEEPEST} levels; move what is in it up"
            )
        names = self.files.names(path)
        self.entries += len(names)
        self._refuse_beyond("entries", self.entries, self.limits.entries)
        for name in names:
            inner = f"{path}/{name}" if path else name
            if not _is_text(name):
                shown = inner.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                self.left_out[shown] = "its name is not UTF-8"
            elif not _is_passing(inner, name):
                self._entry(inner, depth)

    def _entry(self, path: str, depth: int) -> None:
        kind = self.files.kind(path)
        if kind == "file":
            self._file(path)
        elif self._is_read(path):
            self.unreadable[path] = _KINDS[kind]
        elif kind == "folder":
            self.folder(path, depth + 1)
        else:
            self.left_out[path] = _KINDS[kind]

    def _file(self, path: str) -> None:
        if not self._is_read(path):
            self.kept[path] = self._digest(path)
            return
        try:
            data = self.files.read(path, self.limits.file_bytes)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise
            self.unreadable[path] = error.strerror or str(error)
        else:
            self.contents[path] = data
            self._count(len(data))

    def _digest(self, path: str) -> KeptFile:
        """Return the record of a kept file without reading all of it into memory."""
        view = self.files.view(path)
        try:
            size = view.size()
            self._refuse_beyond(f"bytes in {path}", size, self.limits.file_bytes)
            self._count(size)
            digest = sha256()
            for offset in range(0, size, _CHUNK):
                digest.update(view.read_at(offset, min(_CHUNK, size - offset)))
        finally:
            view.close()
        return KeptFile(path=path, size=size, sha256=digest.hexdigest())

    def _count(self, size: int) -> None:
        self.size += size
        self._refuse_beyond("bytes", self.size, self.limits.folder_bytes)

    def _refuse_beyond(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise CorruptFolder(
                f"{self.root} has {count:,} {what} or more, and the limit is {limit:,}; check the folder, "
                "or set a higher limit (FolderLimits; `eventlog import --max-bytes`)"
            )

    def _is_read(self, path: str) -> bool:
        """Return whether a path is that of a file that this library understands."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return name in SESSION_READ
        above, _, archive = folder.rpartition("/")
        return above == HISTORY and archive in self.archives and name in ARCHIVE_READ


def _is_passing(path: str, name: str) -> bool:
    """Return whether an entry is transient: a lock, a temporary file, or a quarantine file."""
    locks = name == ".path.ovlock" or name.startswith(".exact.ovlock.") or path == LOCK
    return locks or is_temporary(name) or is_quarantined(name)
