"""The seam through which files are reached: a few operations, each of them one step.

All files of sessions and of logs are read and written through a `FileTree`. So the same code runs
on the disk (`LocalFiles`) and on a simulated disk that loses power at any step, which is how the
order of writes and syncs is tested; and what is refused for safety (links, FIFOs, names that lead
out of a folder) is refused in one place, `eventlog.local_files`.

Each operation promises what POSIX promises, and no more:

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

Errors are `OSError`, raised by the system or in the same form (`eventlog.descriptors.REFUSED`); the
caller decides what they mean. After a failed ``append`` or ``sync`` the file's content is unknown:
it must be read, or written again.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from eventlog.descriptors import REFUSED, is_supported
from eventlog.errors import InvalidArgument
from eventlog.local_files import LocalFile, LocalFiles, LocalView, checked_permissions
from eventlog.store_url import public_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventlog.local_files import Kind

__all__ = [
    "REFUSED",
    "File",
    "FileLock",
    "FileSystem",
    "FileTree",
    "FileView",
    "LocalFile",
    "LocalFiles",
    "LocalView",
    "make_file",
    "permissions_named",
    "replace_file",
    "replace_named_file",
]


class File(Protocol):
    """An open file that is written at its end."""

    def append(self, data: bytes) -> None:
        """Append all of ``data``."""
        ...

    def sync(self) -> None:
        """Make the content durable."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to its first ``size`` bytes."""
        ...

    def overwrite(self, offset: int, data: bytes) -> None:
        """Write ``data`` once more at an offset where the file holds the same bytes already.

        A failed sync can leave pages that the system takes for clean although they are not on the
        disk; this makes it write them again.
        """
        ...

    def close(self) -> None:
        """Release the file; idempotent. Says nothing about durability."""
        ...


class FileView(Protocol):
    """An open file that is read at any place; it stays readable when its name is removed."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from an offset on; fewer at the end of the file."""
        ...

    def size(self) -> int:
        """Return how many bytes the file has now."""
        ...

    def sync(self) -> None:
        """Make the content durable, whichever process wrote it."""
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...


class FileLock(Protocol):
    """An exclusive lock: it ends with `release`, or with the process."""

    def release(self) -> None:
        """Let others lock; idempotent."""
        ...


class FileTree(Protocol):
    """Files and folders by their path."""

    def read(self, path: str, largest: int | None = None) -> bytes:
        """Return a file's content; raises `FileNotFoundError`, and `OSError` where it is larger."""
        ...

    def names(self, path: str) -> Sequence[str]:
        """Return the names in a folder, sorted; raises `FileNotFoundError`.

        Bytes of a name that are not UTF-8 are surrogates in it; such a name cannot be opened.
        """
        ...

    def kind(self, path: str) -> Kind | None:
        """Return what a path names, without following links; None if nothing is there."""
        ...

    def is_folder(self, path: str) -> bool:
        """Return whether a folder is there."""
        ...

    def open(self, path: str, *, empty: bool = False) -> File:
        """Open a file for appending; create it if it is missing, and with ``empty`` clear it.

        Raises `OSError` with ``EMLINK`` for a file that has another name as well.
        """
        ...

    def create(self, path: str, *, like: str | None = None) -> File:
        """Create a file; raises `FileExistsError`.

        It gets the permissions of the file ``like`` in the same folder, if there is one.
        """
        ...

    def shown(self, path: str) -> str:
        """Return a path as error texts show it."""
        ...

    def draw(self) -> str:
        """Return random text for a name that no other program can predict."""
        ...

    def view(self, path: str) -> FileView:
        """Open a file to read parts of it; raises `FileNotFoundError`."""
        ...

    def rename(self, source: str, target: str, *, lazily: bool = False) -> None:
        """Give a file or folder another name, in place of a file of that name.

        With ``lazily`` the name may reach the disk before the content does. Otherwise most file
        systems write the content first when a file is replaced, which takes longer than the rest.
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
        """Lock a file, creating it if it is missing; None if somebody else holds the lock."""
        ...


class FileSystem(FileTree, Protocol):
    """All files of a machine, and those under one folder."""

    def under(self, path: str, permissions: int | None = None) -> FileTree:
        """Return the files in one folder by paths relative to it, "" being the folder itself.

        No path, and no link in the folder, leads out of it. ``permissions`` are those of new files,
        by default what the folder that they are in allows. Raises `UnsupportedStore` where that
        cannot be promised.
        """
        ...


def replace_file(
    files: FileTree,
    path: str,
    data: bytes,
    *,
    temporary: Callable[[str], str] | None = None,
    durable: bool = True,
) -> None:
    """Create or replace a file: after a crash at any point it is the old one or the new one, whole.

    The content is first written under a name that nobody can predict, by default
    ``path.RANDOM.new``; ``temporary`` makes another one of the random text. A crash may leave that
    file behind. The new file is durable once the caller has synced the folder; without ``durable``
    neither content nor name need be.
    """

    def beside(drawn: str) -> str:
        return f"{path}.{drawn}.new"

    name, file = _create_drawn(files, temporary or beside, path)
    try:
        try:
            file.append(data)
            if durable:
                file.sync()
        finally:
            file.close()
        files.rename(name, path, lazily=not durable)
    except BaseException:
        with suppress(OSError):
            files.remove(name)
        raise


def replace_named_file(files: FileTree, name: str, data: bytes) -> None:
    """Create or replace a file that a caller named, durably; see `replace_file`.

    What is there must be a file: putting one in the place of a FIFO, a device such as ``/dev/stdout``,
    or a link would break what others use. Raises `OSError`.
    """
    kind = files.kind(name)
    if kind not in (None, "file"):
        found = {"folder": "a folder", "link": "a link"}.get(kind, "a FIFO, a socket or a device")
        raise OSError(errno.EEXIST, f"it is {found}, which is not replaced", name)
    replace_file(files, name, data)
    files.sync_folder("")


def _create_drawn(files: FileTree, name_with: Callable[[str], str], like: str) -> tuple[str, File]:
    while True:
        path = name_with(files.draw())
        with suppress(FileExistsError):
            return path, files.create(path, like=like)


def make_file(path: str, permissions: int | None) -> None:
    """Create an empty file, unless something is there, for a library that will open it by its name.

    So it has the permissions of every new file here. An error is left to that library to report.
    """
    if is_supported():
        folder, name = os.path.split(os.path.abspath(path))
        with suppress(OSError):
            LocalFiles().under(folder, permissions).create(name).close()


def permissions_named(text: str | None, url: str) -> int | None:
    """Read the permissions in a store's URL; raise `InvalidArgument` if they are not a mode."""
    if text is None:
        return None
    try:
        return checked_permissions(int(text, 8))
    except ValueError as error:
        why = error if isinstance(error, InvalidArgument) else f"permissions={text} is not octal"
        raise InvalidArgument(f"{public_url(url)}: {why}; write ?permissions=0660") from None
