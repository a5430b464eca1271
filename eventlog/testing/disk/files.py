"""A simulated disk through the seam that stores and session folders reach files by (K1).

`DiskFiles` has the verbs of the product's file system; what each of them promises is there. Every
verb that changes something is one step of the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventlog.testing.disk.disk import Disk

__all__ = ["DiskFile", "DiskFiles", "DiskLock", "DiskView"]


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
        """Nothing is held."""


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
        """Nothing is held."""


class DiskLock:
    """A lock that ends with `release`, or with the power."""

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        self._held.discard(self._path)


class DiskFiles:
    """Files and folders of a disk by their path."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._held: set[str] = set()

    def read(self, path: str) -> bytes:
        return self.disk.read(self.disk.open(path))

    def names(self, path: str) -> list[str]:
        return self.disk.names(path)

    def is_folder(self, path: str) -> bool:
        return self.disk.is_folder(path)

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
