"""SQLite's file operations as steps: on real files, and on a simulated disk.

The VFS of the disk does what SQLite's Unix VFS does, as far as it matters for a crash: the first sync
of a new journal or WAL also syncs its name, and a write that a power failure interrupts changes no
byte outside its range (``SQLITE_IOCAP_POWERSAFE_OVERWRITE``).
"""

from __future__ import annotations

import errno
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from eventlog.testing.crashing import Steps
    from eventlog.testing.disk.disk import Disk

__all__ = ["DiskVFS", "SteppedVFS"]

_JOURNALS: Final = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)
_SECTOR_BYTES: Final = 4_096

_numbers = count(1)


class SteppedVFS(apsw.VFS):
    """The files of this machine; every change and sync is preceded by a step."""

    def __init__(self, steps: Steps) -> None:
        self.vfs_name = f"eventlog-{next(_numbers)}"
        super().__init__(self.vfs_name, "")
        self.steps = steps

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return SteppedFile(name, flags, self.steps)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.steps.take(f"remove {filename}")
        super().xDelete(filename, syncdir)


class SteppedFile(apsw.VFSFile):
    """A real file of SQLite's."""

    def __init__(self, name: Any, flags: list[int], steps: Steps) -> None:
        super().__init__("", name, flags)
        self._steps = steps

    def xWrite(self, data: Any, offset: int) -> None:
        self._steps.take(f"write {len(data)} bytes at {offset}")
        file: Any = super()
        file.xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._steps.take(f"truncate to {newsize}")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._steps.take("sync")
        super().xSync(flags)


class DiskVFS(SteppedVFS):
    """SQLite's view of a simulated disk."""

    def __init__(self, disk: Disk, random: Random) -> None:
        super().__init__(disk.steps)
        self.disk = disk
        self._random = random

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        flags[1] = flags[0]
        if name is None:
            return ScratchFile()
        path = name if isinstance(name, str) else name.filename()
        created = not self.disk.exists(path)
        if created and not flags[0] & apsw.SQLITE_OPEN_CREATE:
            raise apsw.CantOpenError(f"{path} does not exist")
        number = _translated(apsw.SQLITE_CANTOPEN, lambda: self.disk.open(path, create=True))
        folder = path.rpartition("/")[0] or "/"
        return DiskFile(self.disk, number, folder if created and flags[0] & _JOURNALS else None)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if not self.disk.exists(filename):
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT)
        _translated(apsw.SQLITE_IOERR_DELETE, lambda: self.disk.remove(filename))
        if syncdir:
            folder = filename.rpartition("/")[0] or "/"
            _translated(apsw.SQLITE_IOERR_DIR_FSYNC, lambda: self.disk.sync_folder(folder))

    def xAccess(self, pathname: str, flags: int) -> bool:
        return self.disk.exists(pathname)

    def xFullPathname(self, name: str) -> str:
        return name

    def xRandomness(self, numbytes: int) -> bytes:
        return self._random.randbytes(numbytes)

    def xSleep(self, microseconds: int) -> int:
        return microseconds

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """Ignore an error that cannot be raised: SQLite is cleaning up after the power has failed."""
        return True


class ScratchFile:
    """A file without a name, which SQLite uses if memory is not enough; no crash keeps it."""

    def __init__(self) -> None:
        self._content = bytearray()

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._content[offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:
        self._content.extend(bytes(max(0, offset - len(self._content))))
        self._content[offset : offset + len(data)] = data

    def xTruncate(self, size: int) -> None:
        del self._content[size:]

    def xSync(self, flags: int) -> None:
        """Do nothing: nothing is kept."""

    def xFileSize(self) -> int:
        return len(self._content)

    def xClose(self) -> None:
        """Do nothing: there is nothing to release."""

    def xLock(self, level: int) -> None:
        """One connection has the file for itself."""

    xUnlock = xLock

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def excepthook(self, *error: Any) -> bool:
        """Ignore an error, as the VFS does."""
        return True


class DiskFile(ScratchFile):
    """A file of the disk, with a folder to synchronise at its first sync if it is a new journal."""

    def __init__(self, disk: Disk, number: int, folder: str | None) -> None:
        self._disk = disk
        self._number = number
        self._unsynced_folder = folder

    def xRead(self, amount: int, offset: int) -> bytes:
        return self._disk.read(self._number, offset, amount)

    def xWrite(self, data: Any, offset: int) -> None:
        _translated(apsw.SQLITE_IOERR_WRITE, lambda: self._disk.write(self._number, offset, data))

    def xTruncate(self, size: int) -> None:
        _translated(apsw.SQLITE_IOERR_TRUNCATE, lambda: self._disk.resize(self._number, size))

    def xSync(self, flags: int) -> None:
        _translated(apsw.SQLITE_IOERR_FSYNC, lambda: self._disk.sync(self._number))
        folder, self._unsynced_folder = self._unsynced_folder, None
        if folder is not None:
            with suppress(OSError):  # SQLite's own passes over this one error as well.
                self._disk.sync_folder(folder)

    def xFileSize(self) -> int:
        return self._disk.size(self._number)


def _translated(code: int, call: Callable[[], Any]) -> Any:
    """Call, and raise SQLite's error in the place of the system's: this code, or a full disk."""
    try:
        return call()
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise apsw.exception_for(apsw.SQLITE_FULL if full else code) from error
