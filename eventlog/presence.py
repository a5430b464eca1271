"""The presence of a process at a store in local files, which others can prove to have ended (F2).

A process in another container has a name and process ids of its own, so nobody can look for it. But
containers on one machine share the kernel, and with it the locks on files. Each process that owns
something keeps a lock (``flock``) on a file beside the store for as long as it lives; the kernel lets go
of it however the process ends. Whoever can have the lock has the proof.

It holds only where the lock is the kernel's: same boot, same device, a file system of this machine. If
the file is missing, or anything cannot be read, nothing is proven. It is never a lock on the store's
own files: to close one of those would drop the locks that SQLite has in the process.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows has no flock.
    fcntl = None  # type: ignore[assignment]

__all__ = ["Presence"]

LOCAL: Final = frozenset(
    {
        *("bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay"),
        *("ramfs", "reiserfs", "tmpfs", "xfs", "zfs"),
    }
)
"""File systems whose locks are this kernel's. On any other one nothing is proven."""

KEPT_SECONDS: Final = 2 * 86_400.0
"""How long the file of a process that ended is left for others to find, longer than any lease. A process
that closes its log removes its file."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces and backslashes in the names of what is mounted."""

_presences: weakref.WeakSet[Presence] = weakref.WeakSet()


class Presence:
    """The presence of this process at one store; ``path`` is the store's own file or folder."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 - as the store opens it, links and all
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._name: str | None = None
        self._is_tried = False
        self._known_where: str | None = None
        _presences.add(self)

    def name(self) -> str | None:
        """Return a name for this process, from which it can be proven to be gone; None if it cannot.

        The first call makes the file, and removes those of processes that ended long ago.
        """
        with self._lock:
            if not self._is_tried:
                self._is_tried = True
                with suppress(OSError):
                    self._begin()
            return self._name

    def _begin(self) -> None:
        where = self._where()
        if fcntl is None or where is None:
            return
        self._sweep()
        drawn = secrets.token_hex(8)
        file = self._file(drawn)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(file, flags, 0o600)
        try:
            with suppress(OSError):  # As readable as the store is.
                os.fchmod(descriptor, os.stat(self._path).st_mode & 0o666)  # noqa: PTH116
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            Path(file).unlink(missing_ok=True)
            raise
        self._descriptor = descriptor
        self._name = f"{where}/{os.fstat(descriptor).st_ino}/{drawn}"

    def _where(self) -> str | None:
        """Return the boot and device of the store, None if locks there may not be this kernel's."""
        if self._known_where is None:
            self._known_where = _where(self._path)
        return self._known_where

    def _file(self, drawn: str) -> str:
        return f"{self._path}-owner-{drawn}"

    def is_gone(self, name: str) -> bool | None:
        """Return whether a process is proven to be gone (True) or to live (False); None if neither."""
        boot, device, inode, drawn = (name.split("/") + [""] * 4)[:4]
        if fcntl is None or not (drawn.isalnum() and drawn.isascii()):
            return None
        if f"{boot}/{device}" != self._where():
            return None
        with suppress(OSError):
            descriptor = os.open(self._file(drawn), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if str(os.fstat(descriptor).st_ino) != inode:
                    return None
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            else:
                return True
            finally:
                os.close(descriptor)
        return None

    def _sweep(self) -> None:
        """Remove the files of processes that ended so long ago that nothing can be theirs."""
        own = Path(self._file(""))
        with suppress(OSError):
            for path in own.parent.iterdir():
                drawn = path.name.removeprefix(own.name)
                if drawn == path.name or not drawn.isalnum():
                    continue
                found = path.stat()
                name = f"{self._where()}/{found.st_ino}/{drawn}"
                if time.time() - found.st_mtime > KEPT_SECONDS and self.is_gone(name):
                    path.unlink(missing_ok=True)

    def end(self) -> None:
        """Remove the file: this process owns nothing any more. Idempotent."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            assert self._name is not None
            with suppress(OSError):
                Path(self._file(self._name.rpartition("/")[2])).unlink()
            os.close(descriptor)
            self._name, self._is_tried = None, False

    def forget(self) -> None:
        """In a forked child: the lock is the parent's, so let it go with the parent."""
        self._lock = threading.Lock()
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = self._name = None
        self._is_tried = False


def _where(path: str) -> str | None:
    """Return a name for this boot and the device of a file, None if its locks may not be local."""
    try:
        folder = os.path.split(path)[0]
        if _kind_of_file_system(folder) not in LOCAL:
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.stat(folder).st_dev}"  # noqa: PTH116
    except (OSError, UnicodeError):
        return None


def _kind_of_file_system(folder: str) -> str:
    """Return the type of the file system that a folder is on, as the kernel lists what is mounted."""
    real, found, kind = os.path.realpath(folder), "", ""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
        place, _, rest = line.partition(" - ")
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), place.split()[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(found):
            found, kind = point, rest.split()[0]
    return kind


def _after_fork_in_child() -> None:
    for presence in list(_presences):
        presence.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
