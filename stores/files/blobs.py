"""The blob area of a files log: one file for each key, named by the key's SHA-256.

Blobs are replaced (snapshots) or large; in the log itself, which is never rewritten, they would stay
for ever. A separate file is found without an index, and replaced in one step: written under another
name, synced, renamed, its folder synced.

    "evlogblb" ‖ format u16 ‖ 2 × 0 ‖ revision u64 ‖ key length u32 ‖ data length u64
    ‖ CRC-32 (zlib) of the data u32 ‖ CRC-32 of the header and the key u32 ‖ key ‖ data
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import CorruptLog, Indeterminate
from eventlog.filesystem import replace_file
from eventlog.store import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.filesystem import FileTree

__all__ = ["BlobFiles"]

_MAGIC: Final = b"evlogblb"
_FORMAT: Final = 1
_header = Struct(">8sHxxQIQI")
_u32 = Struct(">I")


class _Header(NamedTuple):
    revision: int
    key: str
    data_at: int
    size: int
    checksum: int


class BlobFiles:
    """The blobs under one folder."""

    def __init__(self, files: FileTree, folder: str) -> None:
        self._files = files
        self._folder = folder
        self._made: set[str] = set()

    def path(self, key: str) -> str:
        """Return the path of a blob in the file tree."""
        name = sha256(key.encode()).hexdigest()
        return os.path.join(self._folder, name[:2], f"{name[2:]}.blob")

    def shown(self, path: str) -> str:
        """Return a path as it is shown to people."""
        return self._files.shown(path)

    def get(self, key: str) -> Blob | None:
        """Return a blob; raise `CorruptLog` if it is damaged."""
        try:
            data = self._files.read(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        header = _read(data)
        if header is None or header.key != key:
            raise _damaged(self._files.shown(self.path(key)))
        content = data[header.data_at :]
        if len(content) != header.size or zlib.crc32(content) != header.checksum:
            raise _damaged(self._files.shown(self.path(key)))
        return Blob(content, header.revision)

    def revision(self, key: str) -> int:
        """Return the revision of a blob, or 0 if there is none that can be read."""
        try:
            header = _read(self._files.read(self.path(key)))
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return 0 if header is None else header.revision

    def put(self, key: str, data: bytes, revision: int) -> None:
        """Store a blob durably, replacing the one that is there."""
        path = self.path(key)
        name = key.encode()
        header = _header.pack(_MAGIC, _FORMAT, revision, len(name), len(data), zlib.crc32(data))
        self._make_folder(os.path.dirname(path))
        checksum = _u32.pack(zlib.crc32(header + name))
        replace_file(self._files, path, b"".join((header, checksum, name, data)))
        try:
            self._files.sync_folder(os.path.dirname(path))
        except OSError as error:
            shown = self._files.shown(path)
            raise Indeterminate(f"{shown}: its name could not be synced ({error})") from error

    def _make_folder(self, folder: str) -> None:
        if folder not in self._made:
            with suppress(FileExistsError):
                self._files.make_folder(folder)
            # Also if it existed: its creator may have been killed before the sync.
            self._files.sync_folder(self._folder)
            self._made.add(folder)

    def paths(self) -> Iterator[str]:
        """Yield the paths of all blobs in the file tree."""
        for folder in self._names(self._folder):
            inside = os.path.join(self._folder, folder)
            yield from (os.path.join(inside, name) for name in self._names(inside))

    def _names(self, folder: str) -> list[str]:
        try:
            return [name for name in self._files.names(folder) if not name.endswith(".new")]
        except FileNotFoundError:
            return []

    def key_at(self, path: str) -> str | None:
        """Return the key of a blob's file, or None if the header cannot be read."""
        header = _read(self._files.read(path))
        return None if header is None else header.key


def _read(data: bytes) -> _Header | None:
    if len(data) < _header.size + 4:
        return None
    magic, format_, revision, key_size, size, checksum = _header.unpack_from(data)
    key_at = _header.size + 4
    key = data[key_at : key_at + key_size]
    (found,) = _u32.unpack_from(data, _header.size)
    if (magic, format_) != (_MAGIC, _FORMAT) or found != zlib.crc32(data[: _header.size] + key):
        return None
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return None
    return _Header(revision, name, key_at + key_size, size, checksum)


def _damaged(path: str) -> CorruptLog:
    return CorruptLog(
        f"{path} is not the blob that was written; restore it from a backup, or remove it if it is "
        "a snapshot"
    )
