"""Crash points inside the transactions of a real SQLite file.

A statement that writes, begins or ends a transaction is a step. An ended process leaves its
transaction open, and SQLite rolls it back. The fault ``cut`` makes a statement fail: the disk is full,
or, at the acknowledgement of a commit, the sync fails.
"""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.sqlite_driver import sqlite3
from eventlog.stores.sqlite.connections import connect
from eventlog.stores.sqlite.store import SQLiteStore
from eventlog.testing.crashing import Crash, StepFailed, Steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.store import Store

__all__ = ["CrashingSQLiteStore", "SQLiteBacking"]

_WRITES: Final = ("BEGIN", "COMMIT", "ROLLBACK", "INSERT", "UPDATE", "DELETE")

_images = count(1)


class _SteppedConnection:
    """A connection whose writing statements are steps."""

    def __init__(self, connection: sqlite3.Connection, steps: Steps) -> None:
        self.connection = connection
        self._steps = steps

    def execute(self, statement: str, *parameters: Any) -> Any:
        verb = statement.split(None, 1)[0]
        self._take(verb)
        cursor = self.connection.execute(statement, *parameters)
        if verb == "COMMIT":
            self._take("COMMIT's answer", sqlite3.SQLITE_IOERR)
        return cursor

    def executemany(self, statement: str, rows: Iterable[Any]) -> Any:
        self._take(statement.split(None, 1)[0])
        return self.connection.executemany(statement, rows)

    def _take(self, verb: str, code: int = sqlite3.SQLITE_FULL) -> None:
        if self._steps.dead:
            raise Crash(f"{verb}: this process has ended")
        if not verb.startswith(_WRITES):
            return
        try:
            self._steps.take(verb)
        except StepFailed as failed:
            error = sqlite3.OperationalError(str(failed))
            error.sqlite_errorcode = code
            raise error from failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


class CrashingSQLiteStore(SQLiteStore):
    """A SQLite store whose process can end inside a transaction."""

    def __init__(self, path: Path, steps: Steps, *, synchronous: str) -> None:
        self._steps = steps
        self._opened: list[sqlite3.Connection] = []
        super().__init__(path, synchronous=synchronous, connect=self._open_stepped)

    def _open_stepped(self, path: str, busy_timeout: float) -> sqlite3.Connection:
        connection = connect(path, busy_timeout)
        self._opened.append(connection)
        return cast("sqlite3.Connection", _SteppedConnection(connection, self._steps))

    def drop(self) -> None:
        """Close the files as the system does, which rolls back what was not committed."""
        for connection in self._opened:
            connection.close()


class SQLiteBacking:
    """A SQLite file as storage.

    What a process wrote outlives the process whether or not it was synced. So files that need not
    survive a power failure are opened with ``synchronous=off``, which is several times faster.
    """

    def __init__(self, path: Path, *, synchronous: str = "off") -> None:
        self._path = path
        self._synchronous = synchronous
        self._watching = SQLiteStore(path, synchronous=synchronous)

    def open(self, steps: Steps) -> Store:
        return CrashingSQLiteStore(self._path, steps, synchronous=self._synchronous)

    def watch(self) -> Store:
        return self._watching

    def kill(self, store: Store) -> None:
        cast("CrashingSQLiteStore", store).drop()

    def image(self) -> SQLiteBacking:
        copied = self._path.with_name(f"image-{next(_images)}.db")
        for suffix in ("", "-wal"):
            source = Path(f"{self._path}{suffix}")
            if source.exists():
                shutil.copyfile(source, f"{copied}{suffix}")
        return SQLiteBacking(copied, synchronous=self._synchronous)

    def close(self) -> None:
        self._watching.close()
