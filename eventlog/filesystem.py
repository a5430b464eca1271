"""The seam through which files are reached (K1): a few verbs, each of them one step.

Whatever writes files of a session, or a log of its own, writes them through a `FileSystem` and
through nothing else. So the same code runs on the disk (`LocalFiles`) and on a simulated one that
loses power at any step, and the argument about order and syncing can be tried out.

What each verb promises is what POSIX promises, and no more:

==================  ================================================================================
``File.append``     others read it at once; after a loss of power it may be there, gone, or torn
``File.sync``       the content appended so far survives a loss of power; the name may still not
``File.truncate``   others see the shorter file at once; may be undone by a loss of power, until
                    ``sync``
``rename``          replaces the target in one step for every reader; may be undone by a loss of
                    power, until ``sync_folder``
``remove``          likewise
``make_folder``     likewise
``sync_folder``     the names in the folder are durable as they are now
==================  ================================================================================

Errors are the `OSError` of the system: what they mean is up to the caller. After an error of
``append`` or ``sync`` nothing is known of the file's content: it has to be read, or written anew.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "File",
    "FileLock",
    "FileSystem",
    "FileView",
    "LocalFile",
    "LocalFiles",
    "LocalView",
    "replace_file",
]


_HERE: Final = -100
"""What stands for the current folder where a system call wants an open one (``AT_FDCWD``)."""

_EXCHANGE: Final = 2
"""``RENAME_EXCHANGE`` of renameat2(2)."""


class File(Protocol):
    """An open file that is written at its end."""

    def append(self, data: bytes) -> None:
        """Write all of ``data`` behind what is there."""
        ...

    def sync(self) -> None:
        """Make the content durable."""
        ...

    def truncate(self, size: int) -> None:
        """Drop what is behind the first ``size`` bytes."""
        ...

    def overwrite(self, offset: int, data: bytes) -> None:
        """Write all of ``data`` over what is at an offset: bytes of the same value.

        A sync that failed leaves pages that are clean and yet not on the disk; this makes the
        system write them once more.
        """
        ...

    def close(self) -> None:
        """Release the file; idempotent. Says nothing about durability."""
        ...


class FileView(Protocol):
    """An open file that is read at any place; it stays readable when its name is removed."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from an offset on; fewer at the end of the file."""
        ...

    def size(self) -> int:
        """Return how many bytes the file has now."""
        ...

    def sync(self) -> None:
        """Make the content durable, whoever has written it."""
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...


class FileLock(Protocol):
    """An exclusive lock: it ends with `release`, or with the process."""

    def release(self) -> None:
        """Let others lock; idempotent."""
        ...


class FileSystem(Protocol):
    """Files and folders by their path."""

    def read(self, path: str) -> bytes:
        """Return a file's content; raises `FileNotFoundError`."""
        ...

    def names(self, path: str) -> Sequence[str]:
        """Return the names in a folder, sorted; raises `FileNotFoundError`."""
        ...

    def is_folder(self, path: str) -> bool:
        """Tell whether a folder is there."""
        ...

    def open(self, path: str, *, empty: bool = False) -> File:
        """Open a file to append to; it is created, or with ``empty`` emptied, if need be."""
        ...

    def view(self, path: str) -> FileView:
        """Open a file to read parts of it; raises `FileNotFoundError`."""
        ...

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        """Give a file or folder another name, in place of a file of that name.

        ``lazily``: the content need not be on the disk before the name is. Most file systems see to
        that otherwise, when a file is replaced, which takes longer than all the rest.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove a file; raises `FileNotFoundError`."""
        ...

    def make_folder(self, path: str) -> None:
        """Create a folder in an existing one; raises `FileExistsError`."""
        ...

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        ...

    def lock(self, path: str) -> FileLock | None:
        """Lock a file, which is created if need be; None if somebody else holds the lock."""
        ...


def replace_file(files: FileSystem, path: str, data: bytes) -> None:
    """Put a file in place of what has the name, if anything: after a crash at any point it is the
    old one or the new one, whole.

    Durable once the folder is synced, which is the caller's to do.
    """
    file = files.open(f"{path}.new", empty=True)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    files.rename(f"{path}.new", path)


class LocalFiles:
    """The files of this machine."""

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def open(self, path: str, *, empty: bool = False) -> LocalFile:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if empty else 0)
        return LocalFile(os.open(path, flags, 0o666), path)

    def view(self, path: str) -> LocalView:
        return LocalView(os.open(path, os.O_RDONLY))

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        # A name that two files have exchanged is as good to a reader, and no file is replaced by it:
        # the old one goes afterwards. In between, a crash leaves it under the other name.
        if lazily and _exchange(source, target):
            os.unlink(source)
        else:
            os.replace(source, target)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        os.mkdir(path)

    def sync_folder(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> LocalLock | None:
        # A lock of flock belongs to the open file, not to the process: closing another descriptor
        # of the same file does not drop it, as it would with fcntl.
        import fcntl  # Imported when first needed: Windows has none, and no session folders.

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return LocalLock(descriptor)


def _exchange(first: str, second: str) -> bool:
    """Let two files have each other's name, in one step; False where that cannot be."""
    rename = _renameat2()
    if rename is None:
        return False
    done: int = rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE)
    return done == 0


@cache
def _renameat2() -> Callable[..., int] | None:
    import ctypes  # Imported when first needed: only attached folders do.

    return getattr(ctypes.CDLL(None), "renameat2", None)  # Only Linux has it.


class _Descriptor:
    """An open file of the system, closed at the latest when nobody knows it any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self._close()


class LocalFile(_Descriptor):
    """A file of this machine, open to append to."""

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor)
        self._path = path

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def overwrite(self, offset: int, data: bytes) -> None:
        # A descriptor opened to append writes at the end, wherever it is told to.
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._close()


class LocalView(_Descriptor):
    """A file of this machine, open to read."""

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        self._close()


class LocalLock(_Descriptor):
    """A lock on a file of this machine."""

    def release(self) -> None:
        self._close()
