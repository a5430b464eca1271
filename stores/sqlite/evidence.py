"""How a SQLite file is opened that must not change: evidence, a read-only medium (``?mode=ro``).

A file in WAL mode needs more than itself to be read. What committed last is in ``-wal``, and SQLite
finds it through ``-shm``, which it would create where it is missing. So:

- with a ``-shm`` beside it, the file is opened read-only, whether or not its writer still lives;
- without one, and with a ``-wal`` that is not empty, a process was killed and the ``-shm`` is lost:
  both files are copied to a private temporary folder, and the copy is read;
- without either, nobody can be writing and the file is all there is: it is read as immutable, which
  creates nothing beside it.

A file is never read as immutable beside a WAL: that shows it without what committed last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from eventlog.errors import StoreUnavailable
from eventlog.sqlite_driver import sqlite3

__all__ = ["Evidence"]

AS_IT_IS: Final = "read-only, with the -wal and -shm beside it"
COPIED: Final = "from a private copy, since its -wal is there without the -shm"
IMMUTABLE: Final = "read-only, as a file that nobody writes to"


class Evidence:
    """A file to be read, and what of it is opened; `discard` removes a copy."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._folder: str | None = None
        self._owner = os.getpid()
        wal, shm = Path(f"{path}-wal"), Path(f"{path}-shm")
        try:
            if not Path(path).is_file():
                raise FileNotFoundError(2, "No such file", path)
            if shm.exists():
                self.how, self._uri = AS_IT_IS, _uri(path, "mode=ro")
            elif wal.exists() and wal.stat().st_size:
                self.how, self._uri = COPIED, _uri(self._copy(wal), "mode=rw")
            else:
                self.how, self._uri = IMMUTABLE, _uri(path, "mode=ro&immutable=1")
        except OSError as error:
            self.discard()
            raise StoreUnavailable(f"{path} cannot be read ({error.strerror or error})") from error

    def _copy(self, wal: Path) -> str:
        folder = self._folder = tempfile.mkdtemp(prefix="eventlog-evidence-")
        copied = str(Path(folder, "log.db"))
        shutil.copyfile(self.path, copied)
        shutil.copyfile(wal, f"{copied}-wal")
        return copied

    def connect(self, path: str, busy_timeout: float) -> sqlite3.Connection:
        """Open a connection that any thread may use; it cannot write to the evidence."""
        return sqlite3.connect(
            self._uri,
            uri=True,
            timeout=busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def discard(self) -> None:
        """Remove the copy, if there is one and this process made it. Idempotent."""
        if self._folder is not None and os.getpid() == self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _uri(path: str, options: str) -> str:
    return f"file:{quote(str(Path(path).absolute()))}?{options}"
