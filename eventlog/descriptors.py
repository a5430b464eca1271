"""Opening files and folders by descriptor, so that nothing outside a folder is ever reached.

An attacker may have put anything into a folder, and may swap it while it is in use. So a path is
walked one name at a time, each opened relative to the folder before it, and never through a link.
A file is examined before it is opened (a FIFO would block, a device may do anything) and again once
it is open, since it may have been swapped in between; so it is opened without blocking, too. A new
file is created exclusively.

A refusal is an `OSError` with an error number in `REFUSED`; its text says what was found and what
to do.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Final

__all__ = [
    "REFUSED",
    "create_file",
    "is_supported",
    "open_folder",
    "open_regular",
    "permissions_in",
    "read_whole",
    "refusal",
    "refuse_unless_regular",
    "split_path",
    "too_large",
]

REFUSED: Final = frozenset({errno.ELOOP, errno.ENXIO, errno.EMLINK, errno.EFBIG, errno.EILSEQ})
"""The error numbers of refusals: a link; something without content, such as a FIFO; a file with
several names; a file or folder that is too large; a name that is not UTF-8 or leads elsewhere."""

_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_SAFE: Final = _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)

_CHUNK: Final = 1 << 20
"""Bytes that are read at a time; a file that grows meanwhile is noticed after at most this many."""


def is_supported() -> bool:
    """Return whether this system can open files relative to a folder, and refuse links."""
    return bool(_NOFOLLOW) and os.open in os.supports_dir_fd


def refusal(number: int, what: str, path: str) -> OSError:
    """Return the error for a path that is refused; bytes in it that are not UTF-8 are escaped."""
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return OSError(number, what, shown)


def split_path(path: str) -> list[str]:
    """Split a relative path into names ("" has none); raise `OSError` if it leaves the folder."""
    names = path.split("/") if path else []
    for name in names:
        if name in ("", ".", "..") or "\0" in name:
            raise refusal(errno.EILSEQ, "the name leads out of the folder", path)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise refusal(errno.EILSEQ, "the name is not UTF-8; rename it", path) from None
    return names


def open_folder(name: str, path: str, parent: int | None = None) -> int:
    """Open a folder by its name in an open folder; errors call it ``path``."""
    try:
        return os.open(name, _FOLDER | _NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(name, parent):
            raise _link(path) from error
        error.filename = path
        raise


def _is_link(name: str, parent: int | None) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    return False


def _link(path: str) -> OSError:
    return refusal(errno.ELOOP, "it is a link, and links are not followed", path)


def open_regular(
    name: str, flags: int, path: str, parent: int | None = None, *, alone: bool = False
) -> int:
    """Open an existing regular file; with ``alone`` only if it has no second hard link."""
    try:
        refuse_unless_regular(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
        descriptor = os.open(name, flags | _SAFE, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ELOOP and error.strerror == os.strerror(errno.ELOOP):
            raise _link(path) from error  # It became one after it was looked at.
        error.filename = path
        raise
    try:
        found = os.fstat(descriptor)
        refuse_unless_regular(found, path)
        if alone and found.st_nlink > 1:
            raise refusal(
                errno.EMLINK, "it has several hard links, so it is not written in place", path
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


_KINDS: Final = {
    stat.S_IFLNK: "a link, and links are not followed",
    stat.S_IFIFO: "a FIFO, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


def refuse_unless_regular(found: os.stat_result, path: str) -> None:
    """Raise `OSError` for anything but a regular file."""
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFREG:
        return
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", path)
    number = errno.ELOOP if kind == stat.S_IFLNK else errno.ENXIO
    raise refusal(number, f"it is {_KINDS.get(kind, 'not a file')}", path)


def create_file(
    name: str, flags: int, path: str, parent: int | None = None, *, permissions: int = 0o600
) -> int:
    """Create a new file with exactly these permissions; raises `FileExistsError`."""
    try:
        descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL | _SAFE, 0o600, dir_fd=parent)
    except OSError as error:
        error.filename = path
        raise
    if permissions != 0o600:
        # File systems without modes refuse that; the file then keeps the mode that they give it.
        with suppress(PermissionError):
            os.fchmod(descriptor, permissions)
    return descriptor


def permissions_in(mode: int) -> int:
    """Return the permissions for new files in a folder with this mode.

    Group and others get the read and write bits that they have on the folder; none if the sticky
    bit says that strangers share it.
    """
    return 0o600 if mode & stat.S_ISVTX else 0o600 | (mode & 0o066)


def read_whole(descriptor: int, largest: int, path: str) -> bytes:
    """Read a whole file; raise `OSError` as soon as it turns out to exceed ``largest`` bytes."""
    size = os.fstat(descriptor).st_size
    if size > largest:
        raise too_large(size, largest, path)
    parts: list[bytes] = []
    total = 0
    while part := os.read(descriptor, min(max(size - total, 0) + 1, _CHUNK)):
        parts.append(part)
        total += len(part)
        if total > largest:
            raise too_large(total, largest, path)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(size: int, largest: int, path: str) -> OSError:
    """Return the error for a file that is larger than the limit."""
    return refusal(errno.EFBIG, f"it has {size:,} bytes, the limit is {largest:,}", path)
