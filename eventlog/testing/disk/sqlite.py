"""Real SQLite on a simulated disk, used through the code of the SQLite store.

SQLite accesses files through a VFS, and APSW allows one to be written in Python. So the pager, the WAL
and the recovery are SQLite's, and each of their writes and syncs is a step at which the power can fail.
APSW contains another SQLite than the standard library's module, which takes no VFS in Python; so
`Database.connect` returns an object that looks like a `sqlite3.Connection`.

A VFS in Python has no shared memory, so a database is opened in exclusive locking mode and has one
connection. All connections of the store share it, taking turns: a transaction excludes the others.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import apsw

from eventlog.sqlite_driver import sqlite3
from eventlog.testing.crashing import Crash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventlog.testing.crashing import Steps
    from eventlog.testing.disk.vfs import SteppedVFS

__all__ = ["Database"]


class Database:
    """A SQLite file behind a VFS, open as long as it is in use.

    When the store sets or reads one of the ``pragmas``, it gets the value given here instead: for
    stores that do not do what they declare.
    """

    def __init__(
        self, vfs: SteppedVFS, path: str, *, pragmas: Mapping[str, Any] | None = None
    ) -> None:
        self.path = path
        self.pragmas = dict(pragmas or {})
        self.lock = threading.RLock()
        self._vfs = vfs
        self._connection: Any = None
        self._held = False

    def hold(self) -> None:
        """Exclude the other threads, for a transaction."""
        self.lock.acquire()
        self._held = True

    def let_go(self) -> None:
        """Admit the other threads; idempotent. If there was a crash, they find out themselves."""
        if self._held:
            self._held = False
            self.lock.release()

    def connect(self, path: str = "", timeout: float = 0.0) -> sqlite3.Connection:
        """Return a connection, as `eventlog.stores.sqlite.store.SQLiteStore` wants one."""
        return cast("sqlite3.Connection", _Connection(self))

    @property
    def steps(self) -> Steps:
        """The steps of the disk that has the file."""
        return self._vfs.steps

    @property
    def connection(self) -> Any:
        """The one connection, opened when first needed."""
        if self._connection is None:
            self._connection = apsw.Connection(self.path, vfs=self._vfs.vfs_name)
            locking = self.pragmas.get("locking_mode", "exclusive")
            self._connection.execute(f"PRAGMA locking_mode = {locking}").fetchall()
        return self._connection

    def close(self) -> None:
        """Close the file, as far as possible on a disk whose power has failed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Of a process that has ended, nothing more reaches the disk.
            with suppress(apsw.Error, Crash):
                connection.close()


class _Cursor:
    """The rows of one statement, which was carried out entirely."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        try:
            self.description: Any = cursor.get_description()
        except apsw.ExecutionCompleteError:
            self.description = ()
        self._rows: Iterator[Any] = iter(list(cursor))
        self.lastrowid = connection.last_insert_rowid()
        self.rowcount = connection.changes()

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def close(self) -> None:
        self._rows = iter(())

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class _Answer(_Cursor):
    """The answer to a pragma that was not executed."""

    def __init__(self, value: Any) -> None:
        self._rows = iter([(value,)])


class _Connection:
    """An object that the store uses as a `sqlite3.Connection`."""

    isolation_level = None

    def __init__(self, database: Database) -> None:
        self._database = database
        self._only_reads = False
        self._told: dict[str, Any] = {}

    @property
    def in_transaction(self) -> bool:
        return not self._database.steps.dead and self._database.connection.in_transaction

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> _Cursor:
        pragma = self._pragma(statement)
        if pragma is not None:
            return pragma
        database = self._database
        database.steps.refuse_if_dead(statement)
        verb = statement.split(None, 1)[0].upper().rstrip(";")
        if verb == "BEGIN":
            database.hold()
        try:
            with database.lock:
                return self._run(statement, parameters)
        except BaseException as error:
            if verb == "BEGIN" or isinstance(error, Crash):
                database.let_go()
            raise
        finally:
            if verb in ("COMMIT", "ROLLBACK"):
                database.let_go()

    def executemany(self, statement: str, rows: Iterable[Any]) -> None:
        for row in rows:
            self.execute(statement, row)

    def _run(self, statement: str, parameters: Sequence[Any]) -> _Cursor:
        database = self._database
        database.steps.refuse_if_dead(statement)
        try:
            connection = database.connection
            cursor = connection.cursor().execute(statement, parameters)
            return _Cursor(connection, cursor)
        except apsw.Error as error:
            raise _translated(error) from error

    def _pragma(self, statement: str) -> _Cursor | None:
        """Answer a pragma that must not reach the one connection, or must be changed first."""
        words = statement.replace("=", " ").rstrip(";").split()
        if words[0].upper() != "PRAGMA":
            return None
        name, value = words[1].lower(), words[2] if len(words) > 2 else None
        if name == "query_only":
            self._only_reads = True
            return _Answer(value)
        if name not in self._database.pragmas:
            return None
        if value is not None:
            self._told[name] = int(value) if value.isdigit() else value
            self._run(f"PRAGMA {name} = {self._database.pragmas[name]}", ())
        return _Answer(self._told.get(name))

    def close(self) -> None:
        """Close the file if this is the writing connection; the next use opens it again."""
        if not self._only_reads:
            self._database.close()


def _translated(error: apsw.Error) -> sqlite3.Error:
    """Return the standard library's error for one of APSW's."""
    code = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    name = getattr(error, "result", code) & 0xFF
    kind = sqlite3.DatabaseError if name in (11, 26) else sqlite3.OperationalError
    translated = kind(str(error))
    translated.sqlite_errorcode = code
    return translated
