r"""A simulated disk: files and folders as programs see them, and as they are after a power failure.

The disk has two layers. What a program writes is *seen* at once by every program. It is *stored* only
when synced: a file's contents by `Disk.sync` of the file, a name (created, renamed or removed) by
`Disk.sync_folder` of its folder, as in POSIX. Every call that changes or syncs something is a numbered
step. When the power fails, each operation that was not synced is kept, lost, torn (half of a write) or
zeroed (its size without its bytes)::

    disk = Disk()
    file = disk.open("/notes", create=True)
    disk.write(file, 0, b"first")
    disk.sync(file)                          # the bytes are stored, the name is not
    left = disk.after_crash(Fate(lost=(1,))) # the last unsynchronised operation is lost: the name
    assert not left.exists("/notes")
    print("\n".join(disk.steps.trace))

Given the same calls it takes the same steps, and given the same fate it leaves the same bytes.
"""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

from eventlog.testing.crashing import Crash, StepFailed, Steps
from eventlog.testing.disk.fates import Fate
from eventlog.testing.model.operations import (
    Enter,
    Image,
    Operation,
    Remove,
    Rename,
    Resize,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Disk", "Pending"]


class Pending:
    """An operation that was not synchronised yet, and the step that it was."""

    __slots__ = ("operation", "step", "stuck")

    def __init__(self, step: int, operation: Operation) -> None:
        self.step = step
        self.operation = operation
        self.stuck = False
        """Whether a failed sync made the system forget it: no later one stores it."""


class Disk:
    """Files and folders under ``/``; thread-safe.

    Files are known by number, as an open file is: a name may go while the file is written on.
    Errors are those of the system: `FileNotFoundError`, `FileExistsError`, and `OSError` with
    ``EIO`` or ``ENOSPC`` at steps where `Steps.fail` planned ``cut`` or ``full``.
    """

    def __init__(self, steps: Steps | None = None, *, image: Image | None = None) -> None:
        self.steps = steps or Steps()
        self._stored = image or Image()
        self._seen = self._stored.copy()
        self._pending: list[Pending] = []
        self._lock = threading.RLock()

    # ---- reading: no steps, but impossible after the power failed -----------------------------

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder of this name."""
        return self._find(path) is not None

    def is_folder(self, path: str) -> bool:
        """Return whether there is a folder of this name."""
        return self._find(path) in self._seen.folders

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(self._folder(path))

    def size(self, file: int) -> int:
        """Return a file's length in bytes."""
        self.steps.refuse_if_dead("size")
        return len(self._seen.files[file])

    def read(self, file: int, offset: int = 0, size: int | None = None) -> bytes:
        """Return a file's bytes from ``offset`` on, fewer than ``size`` at its end."""
        self.steps.refuse_if_dead("read")
        content = self._seen.files[file]
        return bytes(content[offset : None if size is None else offset + size])

    def files(self) -> dict[str, bytes]:
        """Return everything as programs see it, by path; folders end in a slash and are empty.

        Unlike the methods for programs, this works after the power has failed.
        """
        return dict(self._seen.walk())

    # ---- changing: each call is a step ---------------------------------------------------------

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """Return the number of the file at a path; a step only if it is created by this."""
        with self._lock:
            found = self._find(path)
            if found is not None:
                if exclusive:
                    raise FileExistsError(errno.EEXIST, "it exists already", path)
                return self._file(path, found)
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            return self._enter(path, "create", is_folder=False)

    def write(self, file: int, offset: int, data: bytes) -> None:
        """Write bytes at an offset; a gap before it is filled with zeros."""
        operation = Write(file, offset, bytes(data))
        self._step(f"write {self.path_of(file)}: {len(data)} bytes at {offset}", operation)

    def resize(self, file: int, size: int) -> None:
        """Set a file's length in bytes: cut it, or lengthen it with zeros."""
        self._step(f"truncate {self.path_of(file)} to {size}", Resize(file, size))

    def make_folder(self, path: str) -> None:
        """Create a folder in an existing one."""
        with self._lock:
            if self._find(path) is not None:
                raise FileExistsError(errno.EEXIST, "it exists already", path)
            self._enter(path, "mkdir", is_folder=True)

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder, replacing an entry with the new name."""
        with self._lock:
            number = self._known(old)
            source, target = self._parent(old), self._parent(new)
            operation = Rename(source, _base(old), target, _base(new), number)
            self._step(f"rename {old} to {new}", operation)

    def remove(self, path: str) -> None:
        """Remove a name; an open file lives on without it."""
        with self._lock:
            self._known(path)
            self._step(f"remove {path}", Remove(self._parent(path), _base(path)))

    # ---- synchronising -------------------------------------------------------------------------

    def sync(self, file: int) -> None:
        """Store a file's contents and length; not its name."""
        self._sync(f"sync {self.path_of(file)}", file)

    def sync_folder(self, path: str) -> None:
        """Store what was created, renamed or removed in a folder."""
        self._sync(f"sync {path.rstrip('/')}/", self._number_of_folder(path))

    def _sync(self, name: str, number: int) -> None:
        with self._lock:
            try:
                self._take(name)
            except OSError:
                # The system reports a page that it could not write once, and takes it for written.
                # Names are in a journal, which the next sync tries to store again.
                for pending in self._pending:
                    if pending.operation.place == number and number not in self._seen.folders:
                        pending.stuck = True
                raise
            for pending in self._pending:
                # What an earlier sync failed on is lost for good: nobody writes it again.
                if pending.operation.place == number and not pending.stuck:
                    pending.operation.apply(self._stored)
            self._pending = [
                pending for pending in self._pending if pending.operation.place != number
            ]

    # ---- power failure -------------------------------------------------------------------------

    @property
    def pending(self) -> list[Pending]:
        """What is not synchronised, oldest first; the step that the power failed in comes last."""
        return list(self._pending)

    def after_crash(self, fate: Fate, steps: Steps | None = None) -> Disk:
        """Return the disk as it is after a restart; this one is unchanged."""
        with self._lock:
            image = self._stored.copy()
            operations = [pending.operation for pending in self._pending]
        for operation, outcome in zip(operations, fate.outcomes(len(operations)), strict=True):
            operation.leave(image, outcome)
        return Disk(steps, image=image)

    # ---- inside --------------------------------------------------------------------------------

    def _take(self, name: str) -> None:
        try:
            self.steps.take(name)
        except StepFailed as failed:
            code = errno.ENOSPC if failed.fault == "full" else errno.EIO
            raise OSError(code, str(failed)) from failed

    def _step(self, name: str, operation: Operation) -> None:
        with self._lock:
            self.steps.refuse_if_dead(name)
            try:
                self._take(name)
            except Crash:
                # It was under way: as much of it is stored as its fate says.
                self._pending.append(Pending(self.steps.count, operation))
                raise
            except OSError:
                partly = operation.half()
                if partly is not None:
                    self._do(partly)
                raise
            self._do(operation)

    def _do(self, operation: Operation) -> None:
        operation.apply(self._seen)
        self._pending.append(Pending(self.steps.count, operation))

    def _enter(self, path: str, verb: str, *, is_folder: bool) -> int:
        # The file itself is stored at once, but nothing that is stored names it.
        folder, number = self._parent(path), self._stored.add(is_folder=is_folder)
        self._seen.adopt(number, is_folder=is_folder)
        self._step(f"{verb} {path}", Enter(folder, _base(path), number))
        return number

    def path_of(self, file: int) -> str:
        """Return a path of a file, for people; its number where it has none."""
        return next((path for path, number in self._seen.names() if number == file), f"#{file}")

    def _find(self, path: str) -> int | None:
        self.steps.refuse_if_dead("look up")
        return self._seen.find(path)

    def _known(self, path: str) -> int:
        found = self._find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such file or folder", path)
        return found

    def _file(self, path: str, number: int) -> int:
        if number in self._seen.folders:
            raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
        return number

    def _number_of_folder(self, path: str) -> int:
        number = self._known(path)
        if number not in self._seen.folders:
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", path)
        return number

    def _folder(self, path: str) -> Iterable[str]:
        return self._seen.folders[self._number_of_folder(path)]

    def _parent(self, path: str) -> int:
        return self._number_of_folder(path.rstrip("/").rpartition("/")[0] or "/")


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
