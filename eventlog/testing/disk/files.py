"""A simulated disk behind the file interface that stores and session folders use.

`DiskFiles` has the methods of `eventlog.filesystem`, which says what each promises. Every method that
changes something is one step of the disk.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.filesystem import File, FileLock, FileSystem, FileView
    from eventlog.local_files import Kind
    from eventlog.testing.disk.disk import Disk

__all__ = ["DiskFile", "DiskFiles", "DiskLock", "DiskView", "FilesInFolder"]


class DiskFile:
    """An open file that is written at its end."""

    def __init__(self, disk: Disk, number: int) -> None:
        self._disk = disk
        self._number = number

    def append(self, data: bytes) -> None:
        self._disk.write(self._number, self._disk.size(self._number), data)

    def truncate(self, size: int) -> None:
        self._disk.resize(self._number, size)

    def overwrite(self, offset: int, data: bytes) -> None:
        self._disk.write(self._number, offset, data)

    def sync(self) -> None:
        self._disk.sync(self._number)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class DiskView:
    """An open file that is read at any place."""

    def __init__(self, disk: Disk, number: int) -> None:
        self._disk = disk
        self._number = number

    def read_at(self, offset: int, size: int) -> bytes:
        return self._disk.read(self._number, offset, size)

    def size(self) -> int:
        return self._disk.size(self._number)

    def sync(self) -> None:
        self._disk.sync(self._number)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class DiskLock:
    """A lock that ends with `release`, or with the power."""

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        self._held.discard(self._path)


class DiskFiles:
    """Files and folders of a disk by their path.

    The disk has neither links nor permissions, so `under` only puts a folder before each path.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._held: set[str] = set()
        self._drawn = 0

    def under(self, path: str, permissions: int | None = None) -> FilesInFolder:
        """Return the files in a folder, by paths relative to it."""
        return FilesInFolder(self, path)

    def shown(self, path: str) -> str:
        return path

    def draw(self) -> str:
        """Return another text each time, and the same ones in each run."""
        self._drawn += 1
        return f"{self._drawn:04d}"

    def read(self, path: str, largest: int | None = None) -> bytes:
        number = self.disk.open(path)
        size = self.disk.size(number)
        if largest is not None and size > largest:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, the limit is {largest:,}", path)
        return self.disk.read(number)

    def names(self, path: str) -> list[str]:
        return self.disk.names(path)

    def kind(self, path: str) -> Kind | None:
        if self.disk.is_folder(path):
            return "folder"
        return "file" if self.disk.exists(path) else None

    def is_folder(self, path: str) -> bool:
        return self.disk.is_folder(path)

    def create(self, path: str, *, like: str | None = None) -> DiskFile:
        return DiskFile(self.disk, self.disk.open(path, create=True, exclusive=True))

    def open(self, path: str, *, empty: bool = False) -> DiskFile:
        number = self.disk.open(path, create=True)
        if empty and self.disk.size(number):
            self.disk.resize(number, 0)
        return DiskFile(self.disk, number)

    def view(self, path: str) -> DiskView:
        return DiskView(self.disk, self.disk.open(path))

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        self.disk.rename(source, target)

    def remove(self, path: str) -> None:
        self.disk.remove(path)

    def make_folder(self, path: str) -> None:
        self.disk.make_folder(path)

    def sync_folder(self, path: str) -> None:
        self.disk.sync_folder(path)

    def lock(self, path: str) -> DiskLock | None:
        self.disk.open(path, create=True)
        if path in self._held:
            return None
        self._held.add(path)
        return DiskLock(self._held, path)


class FilesInFolder:
    """The files in one folder of a file system, by paths relative to it: a folder before each path."""

    def __init__(self, files: FileSystem, folder: str) -> None:
        self._files = files
        self._folder = folder

    def _full(self, path: str) -> str:
        return f"{self._folder.rstrip('/')}/{path}" if path else self._folder

    def shown(self, path: str) -> str:
        return self._full(path)

    def draw(self) -> str:
        return self._files.draw()

    def read(self, path: str, largest: int | None = None) -> bytes:
        return self._files.read(self._full(path), largest)

    def names(self, path: str) -> Sequence[str]:
        return self._files.names(self._full(path))

    def kind(self, path: str) -> Kind | None:
        return self._files.kind(self._full(path))

    def is_folder(self, path: str) -> bool:
        return self._files.is_folder(self._full(path))

    def create(self, path: str, *, like: str | None = None) -> File:
        return self._files.create(self._full(path), like=None if like is None else self._full(like))

    def open(self, path: str, *, empty: bool = False) -> File:
        return self._files.open(self._full(path), empty=empty)

    def view(self, path: str) -> FileView:
        return self._files.view(self._full(path))

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        self._files.rename(self._full(source), self._full(target), lazily=lazily)

    def remove(self, path: str) -> None:
        self._files.remove(self._full(path))

    def make_folder(self, path: str) -> None:
        self._files.make_folder(self._full(path))

    def sync_folder(self, path: str) -> None:
        self._files.sync_folder(self._full(path))

    def lock(self, path: str) -> FileLock | None:
        return self._files.lock(self._full(path))
