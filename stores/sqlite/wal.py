"""Keep the WAL of a SQLite log short, and say how large it is and who holds it.

SQLite copies committed pages from the WAL into the file, but begins the WAL anew only at a moment in
which nobody reads from it. Readers that overlap leave no such moment, however short each of them is,
and the WAL grows for as long as they come. So once it is over a limit, the writer makes the moment: it
copies the rest while it holds the write lock (a ``RESTART`` checkpoint). Whoever begins to read after
that reads from the file alone, and those that read before are waited for, for a bounded time.

It is the writing connection that does this, after a commit and under the store's lock: a checkpoint by
another connection beside a writer is what corrupts files in SQLite before 3.51.3.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventlog.sqlite_driver import sqlite3
from eventlog.store import WalState
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KEPT_BYTES", "WalKeeper"]

KEPT_BYTES: Final = 4 * 1024 * 1024
"""What the WAL is cut to when it begins anew: as much as SQLite writes between two checkpoints."""

LIMIT: Final = 8 * 1024 * 1024
"""Bytes from which the writer makes room for a new beginning."""

LARGE: Final = 32 * 1024 * 1024
"""Bytes from which a log line names the readers that do not let it begin anew."""

PATIENCE_SECONDS: Final = 0.05
"""How long it waits for readers at the limit: pages are read in less. Writers wait meanwhile. It waits
longer the larger the WAL is, in proportion."""

LONGEST_PATIENCE_SECONDS: Final = 0.5

PAUSE: Final = 10
"""After waiting in vain it lets this many times as long pass: a reader that stays for hours costs
writers a tenth of their time at most."""

LOOK_EVERY: Final = 16
"""Commits between two looks at the size."""

_READ_LOCKS: Final = range(124, 128)
"""The bytes of the ``-shm`` that readers of the WAL lock (https://sqlite.org/walformat.html)."""


class WalKeeper:
    """Watches the size of one WAL. Not safe for threads: the store's write lock protects it."""

    def __init__(
        self,
        path: str,
        busy_timeout: float,
        *,
        now: Callable[[], float] = time.monotonic,
        size: Callable[[], int] | None = None,
    ) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._now = now
        self._size = size or self._file_size
        self._commits = 0
        self._not_before = 0.0
        self._reported = False

    def committed(self, connection: sqlite3.Connection) -> None:
        """Take note of a commit of the writing connection; now and then, look at the WAL.

        Raises nothing: the commit is done, whatever becomes of the WAL.
        """
        self._commits += 1
        if self._commits % LOOK_EVERY == 0:
            self.look(connection)

    def look(self, connection: sqlite3.Connection) -> None:
        """Let the WAL begin anew if it is too large, and if readers let it."""
        size = self._size()
        if size < LIMIT:
            self._reported = False
            return
        if self._now() < self._not_before:
            return
        patience = min(PATIENCE_SECONDS * size / LIMIT, LONGEST_PATIENCE_SECONDS)
        if not self._restart(connection, patience):
            self._not_before = self._now() + PAUSE * patience
            if size >= LARGE:
                self._report()

    def _report(self) -> None:
        """Log who holds the WAL, once until it is short again."""
        if self._reported:
            return
        self._reported = True
        state = self.state()
        log_fact(
            logging.WARNING,
            "wal_held_by_readers",
            path=self._path,
            bytes=state.bytes,
            readers=", ".join(state.readers) or "unknown",
        )

    def _restart(self, connection: sqlite3.Connection, patience: float) -> bool:
        """Copy the WAL into the file, and wait for its readers; return whether none is left."""
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}").fetchall()
            try:
                answer = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            finally:
                timeout = int(self._busy_timeout * 1000)
                connection.execute(f"PRAGMA busy_timeout = {timeout}").fetchall()
        except sqlite3.Error as error:  # For instance a full disk; the next commit will say so.
            log_fact(logging.WARNING, "wal_not_checkpointed", path=self._path, error=str(error))
            return False
        return answer is not None and answer[0] == 0

    def _file_size(self) -> int:
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except OSError:
            return 0

    def state(self) -> WalState:
        """Return the size, and if it is over the limit, the processes that read now."""
        size = self._size()
        readers = tuple(_readers(f"{self._path}-shm")) if size >= LIMIT else ()
        return WalState(size, readers)


def _readers(shm: str) -> Iterator[str]:
    """Yield the processes that hold a place in the WAL, as ``1234 (name)``; on Linux alone.

    They come from the kernel's list of locks. Asking through a descriptor of the file is no way: to
    close it would drop the locks that SQLite has on it in this process.
    """
    with suppress(OSError):
        found = Path(shm).stat()
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        holders = {
            int(fields[4]): None
            for line in Path("/proc/locks").read_text("ascii").splitlines()
            if len(fields := line.split()) == 8
            and fields[5] == place
            and _touches(fields[6], fields[7])
        }
        for pid in holders:
            name = ""
            with suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
            yield f"{pid} ({name})" if name else str(pid)


def _touches(first: str, last: str) -> bool:
    """Return whether a locked range has one of the bytes that readers lock."""
    end = _READ_LOCKS.stop - 1 if last == "EOF" else int(last)
    return int(first) < _READ_LOCKS.stop and end >= _READ_LOCKS.start
