"""Real SQLite on a simulated disk, driven through the code of the SQLite store.

SQLite reaches its files through a VFS; APSW lets one be written in Python. So the pager, the WAL and
the recovery are SQLite's own, and every write and sync of theirs is a step at which the power can
fail. APSW brings a SQLite of its own, which the standard library's module cannot be given a VFS for;
hence `Database.connect`, which hands out what looks like a `sqlite3.Connection`.

A VFS in Python has no shared memory, so a database is opened in exclusive locking mode and has one
connection, which all connections of the store share, in turn: a transaction keeps the others out.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import apsw

from eventlog.testing.crashing import Crash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventlog.testing.crashing import Steps
    from eventlog.testing.disk.vfs import SteppedVFS

__all__ = ["Database"]


class Database:
    """A SQLite file behind a VFS, open for as long as somebody uses it.

    ``pragmas`` are set behind the store's back when it sets or asks for one of these names: for
    stores that do not do what they say.
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
        """Keep the other threads out, for a transaction."""
        self.lock.acquire()
        self._held = True

    def let_go(self) -> None:
        """Let the others in; idempotent, and theirs to find out that there was a crash."""
        if self._held:
            self._held = False
            self.lock.release()

    def connect(self, path: str = "", timeout: float = 0.0) -> sqlite3.Connection:
        """Return a connection, as `eventlog.stores.sqlite.store.SQLiteStore` wants one."""
        return cast("sqlite3.Connection", _Connection(self))

    @property
    def steps(self) -> Steps:
        """The steps of whatever the file is on."""
        return self._vfs.steps

    @property
    def connection(self) -> Any:
        """The one connection there is; opened when it is needed."""
        if self._connection is None:
            self._connection = apsw.Connection(self.path, vfs=self._vfs.vfs_name)
            locking = self.pragmas.get("locking_mode", "exclusive")
            self._connection.execute(f"PRAGMA locking_mode = {locking}").fetchall()
        return self._connection

    def close(self) -> None:
        """Close the file, as far as that is possible on a disk without power."""
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
    """The answer to a pragma that was not asked."""

    def __init__(self, value: Any) -> None:
        self._rows = iter([(value,)])


class _Connection:
    """What the store takes for a `sqlite3.Connection` of its own."""

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
        """Answer what the one connection is not to be told, or is told otherwise."""
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
        """Close the file if this is the connection that writes; reopened by whoever goes on."""
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
