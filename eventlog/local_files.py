"""The files of this machine behind the seam of `eventlog.filesystem`, hardened against attacks.

`LocalFiles` takes any path. `LocalFiles.under` confines every operation to one folder: paths are
relative to it and no link below it is followed; on a platform that cannot promise this it raises
`UnsupportedStore`. How files are opened is in `eventlog.descriptors`.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from eventlog.argument_checks import check_count
from eventlog.descriptors import (
    create_file,
    is_supported,
    open_folder,
    open_regular,
    permissions_in,
    read_whole,
    refusal,
    refuse_unless_regular,
    split_path,
    too_large,
)
from eventlog.errors import InvalidArgument, UnsupportedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "FilesUnder",
    "Kind",
    "LocalFile",
    "LocalFiles",
    "LocalLock",
    "LocalView",
    "checked_permissions",
]

Kind = Literal["file", "folder", "link", "other"]
"""What is found under a name; ``other`` is a FIFO, a socket or a device."""

LARGEST_FILE: Final = 1 << 30
"""The most bytes of one file that are read into memory, unless another limit is set."""

MOST_NAMES: Final = 1_000_000
"""The most names of one folder that are read, unless another limit is set: about 100 MB."""

_TRIES: Final = 100
"""How often opening is retried while a file keeps appearing and disappearing."""

_EXCHANGE: Final = 2
"""``RENAME_EXCHANGE`` of renameat2(2)."""


class _Verbs:
    """The operations of the seam, on the paths that `_parent` and `_folder` open."""

    def __init__(self, largest: int, most_names: int) -> None:
        self.largest = largest
        self.most_names = most_names

    def draw(self) -> str:
        """Return random text for a name that nobody can predict."""
        return secrets.token_hex(8)

    # ---- reading ------------------------------------------------------------------------------

    def read(self, path: str, largest: int | None = None) -> bytes:
        limit = self.largest if largest is None else largest
        with self._parent(path) as (folder, name):
            descriptor = open_regular(name, os.O_RDONLY, self.shown(path), folder)
        try:
            return read_whole(descriptor, limit, self.shown(path))
        finally:
            os.close(descriptor)

    def view(self, path: str) -> LocalView:
        with self._parent(path) as (folder, name):
            descriptor = open_regular(name, os.O_RDONLY, self.shown(path), folder)
        return LocalView(descriptor, self.shown(path), self.largest)

    def names(self, path: str) -> list[str]:
        with self._folder(path) as folder:
            found: list[str] = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    found.append(entry.name)
                    if len(found) > self.most_names:
                        raise refusal(
                            errno.EFBIG,
                            f"the folder has more than {self.most_names:,} names, which is the limit",
                            self.shown(path),
                        )
            return sorted(found)

    def kind(self, path: str) -> Kind | None:
        try:
            with self._parent(path) as (folder, name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISREG(found):
            return "file"
        if stat.S_ISDIR(found):
            return "folder"
        return "link" if stat.S_ISLNK(found) else "other"

    def is_folder(self, path: str) -> bool:
        return self.kind(path) == "folder"

    # ---- writing ------------------------------------------------------------------------------

    def open(self, path: str, *, empty: bool = False) -> LocalFile:
        flags = os.O_WRONLY | os.O_APPEND
        with self._parent(path) as (folder, name):
            descriptor = self._found_or_made(name, flags, path, folder)
        file = LocalFile(descriptor)
        if empty:
            file.truncate(0)
        return file

    def create(self, path: str, *, like: str | None = None) -> LocalFile:
        flags = os.O_WRONLY | os.O_APPEND
        with self._parent(path) as (folder, name):
            permissions = self._permissions_of(folder, like)
            return LocalFile(
                create_file(name, flags, self.shown(path), folder, permissions=permissions)
            )

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        with self._parent(source) as (folder, old):
            inside, _, new = target.rpartition("/")
            if folder is not None and new and inside == source.rpartition("/")[0]:
                _rename(folder, old, folder, *split_path(new), lazily=lazily)
            else:
                with self._parent(target) as (other, name):
                    _rename(folder, old, other, name, lazily=lazily)

    def remove(self, path: str) -> None:
        with self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def sync_folder(self, path: str) -> None:
        with self._folder(path) as folder:
            os.fsync(folder)

    def lock(self, path: str) -> LocalLock | None:
        # A lock of flock belongs to the open file, not to the process: closing another descriptor
        # of the same file does not drop it, as it would with fcntl.
        import fcntl  # Imported when first needed: Windows has none, and no session folders.

        with self._parent(path) as (folder, name):
            for _ in range(_TRIES):
                lock = LocalLock(self._found_or_made(name, os.O_RDWR, path, folder))
                try:
                    fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.release()
                    return None
                if _is_still(lock.descriptor, name, folder):
                    return lock
                lock.release()  # Somebody put another file in its place meanwhile.
        raise OSError(errno.EBUSY, "the lock file keeps being replaced", self.shown(path))

    # ---- inside -------------------------------------------------------------------------------

    def shown(self, path: str) -> str:
        """Return a path as errors show it."""
        raise NotImplementedError

    @contextmanager
    def _parent(self, path: str) -> Generator[tuple[int | None, str]]:
        """Open the folder that a path is in; yield it with the name in it."""
        raise NotImplementedError

    @contextmanager
    def _folder(self, path: str) -> Generator[int]:
        """Open a folder."""
        raise NotImplementedError

    def _permissions_of(self, folder: int | None, like: str | None) -> int:
        """Return the permissions of a new file: those of the file that it replaces, if any."""
        return 0o600 if folder is None else permissions_in(os.fstat(folder).st_mode)

    def _found_or_made(self, name: str, flags: int, path: str, folder: int | None) -> int:
        """Open a file that has no second hard link, or create it."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return open_regular(name, flags, self.shown(path), folder, alone=True)
            with suppress(FileExistsError):
                permissions = self._permissions_of(folder, None)
                return create_file(name, flags, self.shown(path), folder, permissions=permissions)
        raise OSError(errno.EBUSY, "the file keeps appearing and disappearing", self.shown(path))


class LocalFiles(_Verbs):
    """The files of this machine.

    ``largest`` limits the bytes that are read from one file, ``most_names`` the names from one
    folder. More raises an `OSError` before it is in memory.
    """

    def __init__(self, *, largest: int = LARGEST_FILE, most_names: int = MOST_NAMES) -> None:
        super().__init__(largest, most_names)

    def under(self, path: str, permissions: int | None = None) -> FilesUnder:
        """Return the files in one folder, which need not be there yet, by paths relative to it.

        The path itself may lead through links; it is resolved now. ``permissions`` are those of new
        files, by default what the folder that they are in allows. Raises `UnsupportedStore` where
        the platform cannot keep to a folder.
        """
        if not is_supported():
            raise UnsupportedStore(
                f"{path}: this platform cannot open files relative to a folder without following "
                "links, so folders are not supported on it; use a SQLite log, or Linux or macOS"
            )
        if permissions is not None:
            checked_permissions(permissions)
        return FilesUnder(self, os.path.realpath(path), permissions)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def make_folder(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def shown(self, path: str) -> str:
        return path

    @contextmanager
    def _parent(self, path: str) -> Generator[tuple[int | None, str]]:
        yield None, path

    @contextmanager
    def _folder(self, path: str) -> Generator[int]:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class FilesUnder(_Verbs):
    """The files of this machine in one folder; see `LocalFiles.under`."""

    def __init__(self, files: LocalFiles, root: str, permissions: int | None) -> None:
        super().__init__(files.largest, files.most_names)
        self._root = root
        self._permissions = permissions

    def kind(self, path: str) -> Kind | None:
        if path:
            return super().kind(path)
        with suppress(FileNotFoundError), self._folder(""):
            return "folder"
        return None

    def make_folder(self, path: str) -> None:
        if not path:
            os.mkdir(self._root, 0o700)
            if self._permissions is not None:
                with self._folder("") as made:
                    os.fchmod(made, _entering(self._permissions))
            return
        with self._parent(path) as (parent, name):
            assert parent is not None
            os.mkdir(name, 0o700, dir_fd=parent)
            wanted = _entering(self._permissions_of(parent, None))
            if wanted != 0o700:
                made = open_folder(name, self.shown(path), parent)
                try:
                    with suppress(PermissionError):
                        os.fchmod(made, wanted)
                finally:
                    os.close(made)

    def shown(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _parent(self, path: str) -> Generator[tuple[int | None, str]]:
        *folders, name = split_path(path) or [""]
        if not name:
            raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", self._root)
        descriptor = self._walk(folders)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)

    @contextmanager
    def _folder(self, path: str) -> Generator[int]:
        descriptor = self._walk(split_path(path))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _walk(self, names: list[str]) -> int:
        """Open the folder that a list of names leads to from the root."""
        descriptor, path = open_folder(self._root, self._root), self._root
        for name in names:
            path = f"{path}/{name}"
            try:
                inner = open_folder(name, path, descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor

    def _permissions_of(self, folder: int | None, like: str | None) -> int:
        if like is not None:
            with suppress(OSError):
                found = os.stat(like.rpartition("/")[2], dir_fd=folder, follow_symlinks=False)
                refuse_unless_regular(found, like)
                return stat.S_IMODE(found.st_mode) & 0o777
        if self._permissions is not None:
            return self._permissions
        return super()._permissions_of(folder, None)


def checked_permissions(permissions: int) -> int:
    """Return ``permissions`` if a new file can have them; raise `InvalidArgument` otherwise."""
    check_count("mode", permissions, "permission bits")
    if permissions & ~0o666 or permissions & 0o600 != 0o600:
        raise InvalidArgument(
            f"mode {permissions:#o}: the owner must have read and write permission, group and others "
            "may have either, and no execute permission is possible; use 0o600, 0o640 or 0o660"
        )
    return permissions


def _entering(permissions: int) -> int:
    """Return the permissions for the folder of such files: whoever may read them may enter it."""
    return 0o700 | permissions | (permissions & 0o044) >> 2


def _is_file(name: str, folder: int | None) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _is_still(descriptor: int, name: str, folder: int | None) -> bool:
    """Return whether a name still refers to an open file."""
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(found, os.fstat(descriptor))
    return False


_HERE: Final = -100
"""``AT_FDCWD``: the current folder, for system calls that take the descriptor of a folder."""


def _rename(folder: int | None, old: str, other: int | None, new: str, *, lazily: bool) -> None:
    # For a reader, exchanging two names is as good as replacing one; but no file is replaced by it,
    # so the file system does not write the content first. The old file is removed afterwards; a
    # crash in between leaves it under the other name.
    if lazily and _is_file(new, other) and _exchange(folder, old, other, new):
        os.unlink(old, dir_fd=folder)
    else:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=other)


def _exchange(folder: int | None, first: str, other: int | None, second: str) -> bool:
    """Exchange the names of two files in one step; return whether that was possible."""
    rename = _renameat2()
    if rename is None:
        return False
    done: int = rename(
        _HERE if folder is None else folder,
        os.fsencode(first),
        _HERE if other is None else other,
        os.fsencode(second),
        _EXCHANGE,
    )
    return done == 0


@cache
def _renameat2() -> Callable[..., int] | None:
    import ctypes  # Imported when first needed: only attached folders do.

    return getattr(ctypes.CDLL(None), "renameat2", None)  # Only Linux has it.


class _Descriptor:
    """An open file of the system, closed at the latest when this object is no longer referenced."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class LocalFile(_Descriptor):
    """A file of this machine, open to append to."""

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self.descriptor, size)

    def overwrite(self, offset: int, data: bytes) -> None:
        # A descriptor in append mode writes at the end, whatever the offset, so that mode is turned
        # off first. Opening the file again would mean trusting its name once more.
        import fcntl

        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~os.O_APPEND)
        try:
            while data:
                written = os.pwrite(self.descriptor, data, offset)
                data, offset = data[written:], offset + written
        finally:
            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags)


class LocalView(_Descriptor):
    """A file of this machine, open to read."""

    def __init__(self, descriptor: int, path: str, largest: int) -> None:
        super().__init__(descriptor)
        self._path = path
        self._largest = largest

    def read_at(self, offset: int, size: int) -> bytes:
        if size > self._largest:
            raise too_large(size, self._largest, self._path)
        return os.pread(self.descriptor, size, offset)

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def sync(self) -> None:
        os.fdatasync(self.descriptor)


class LocalLock(_Descriptor):
    """A lock on a file of this machine."""

    def release(self) -> None:
        self.close()
