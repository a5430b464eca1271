"""Crash points inside the writes of a files log, on a simulated disk.

Every method that changes files is a step of its process, taken before the change. A write and a sync
have another step afterwards, where the process may end with the change made and no answer given. The
fault ``cut`` makes a write, a sync or a rename fail.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from eventlog.stores.files.store import FilesStore
from eventlog.testing.crashing import StepFailed, Steps
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.fates import KEPT
from eventlog.testing.disk.files import DiskFiles

if TYPE_CHECKING:
    from eventlog.filesystem import File, FileLock, FileSystem, FileTree, FileView
    from eventlog.local_files import Kind
    from eventlog.store import Store

__all__ = ["FilesBacking", "SteppedFiles"]

FOLDER = "/log"


class _SteppedFile:
    """A file whose changes are steps."""

    def __init__(self, file: File, files: _SteppedTree) -> None:
        self._file = file
        self._files = files

    def append(self, data: bytes) -> None:
        self._files.take("append")
        self._file.append(data)
        self._files.take("append's answer")

    def truncate(self, size: int) -> None:
        self._files.take("truncate")
        self._file.truncate(size)

    def overwrite(self, offset: int, data: bytes) -> None:
        self._files.take("overwrite")
        self._file.overwrite(offset, data)

    def sync(self) -> None:
        self._files.take("sync")
        self._file.sync()
        self._files.take("sync's answer")

    def close(self) -> None:
        self._file.close()


class _SteppedTree:
    """Files whose changes are the steps of one process; see `eventlog.filesystem`."""

    def __init__(self, files: FileTree, steps: Steps, locks: list[FileLock]) -> None:
        self._files = files
        self._steps = steps
        self._locks = locks

    def take(self, name: str) -> None:
        """Take a step; raise `OSError` if it is to fail."""
        try:
            self._steps.take(name)
        except StepFailed as failed:
            raise OSError(errno.EIO, str(failed)) from failed

    def shown(self, path: str) -> str:
        return self._files.shown(path)

    def draw(self) -> str:
        return self._files.draw()

    def read(self, path: str, largest: int | None = None) -> bytes:
        self._steps.refuse_if_dead("read")
        return self._files.read(path, largest)

    def names(self, path: str) -> list[str]:
        self._steps.refuse_if_dead("names")
        return list(self._files.names(path))

    def kind(self, path: str) -> Kind | None:
        self._steps.refuse_if_dead("kind")
        return self._files.kind(path)

    def is_folder(self, path: str) -> bool:
        self._steps.refuse_if_dead("is_folder")
        return self._files.is_folder(path)

    def create(self, path: str, *, like: str | None = None) -> File:
        self.take("create")
        return _SteppedFile(self._files.create(path, like=like), self)

    def open(self, path: str, *, empty: bool = False) -> File:
        self.take("open")
        return _SteppedFile(self._files.open(path, empty=empty), self)

    def view(self, path: str) -> FileView:
        self._steps.refuse_if_dead("view")
        return self._files.view(path)

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        self.take("rename")
        self._files.rename(source, target, lazily=lazily)

    def remove(self, path: str) -> None:
        self.take("remove")
        self._files.remove(path)

    def make_folder(self, path: str) -> None:
        self.take("make_folder")
        self._files.make_folder(path)

    def sync_folder(self, path: str) -> None:
        self.take("sync_folder")
        self._files.sync_folder(path)

    def lock(self, path: str) -> FileLock | None:
        self._steps.refuse_if_dead("lock")
        lock = self._files.lock(path)
        if lock is not None:
            self._locks.append(lock)
        return lock


class SteppedFiles(_SteppedTree):
    """A file system whose changes are the steps of one process."""

    def __init__(self, files: FileSystem, steps: Steps) -> None:
        super().__init__(files, steps, [])
        self._machine = files

    def under(self, path: str, permissions: int | None = None) -> FileTree:
        return _SteppedTree(self._machine.under(path, permissions), self._steps, self._locks)

    def kill(self) -> None:
        """Release the process's locks, as the system does when a process ends."""
        for lock in self._locks:
            lock.release()


class FilesBacking:
    """A files log that several processes write, in turns."""

    def __init__(self, disk: Disk | None = None, *, segment_bytes: int = 1 << 20) -> None:
        self._disk = disk or Disk()
        self._files = DiskFiles(self._disk)
        self._segment_bytes = segment_bytes
        self._opened: list[tuple[FilesStore, SteppedFiles]] = []
        self._watching = self._store(self._files)

    def _store(self, files: FileSystem) -> FilesStore:
        return FilesStore(
            FOLDER, writers="many", busy_timeout=0, segment_bytes=self._segment_bytes, files=files
        )

    def open(self, steps: Steps) -> Store:
        files = SteppedFiles(self._files, steps)
        store = self._store(files)
        self._opened.append((store, files))
        return store

    def watch(self) -> Store:
        return self._watching

    def kill(self, store: Store) -> None:
        for opened, files in self._opened:
            if opened is store:
                files.kill()

    def image(self) -> FilesBacking:
        return FilesBacking(self._disk.after_crash(KEPT), segment_bytes=self._segment_bytes)

    def close(self) -> None:
        self._watching.close()
