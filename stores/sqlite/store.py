"""The SQLite store: one file, durable against power loss, written by any number of processes.

WAL with ``synchronous=FULL``, set by `connections`. Each process writes on one connection, always in
``BEGIN IMMEDIATE``: if another process writes, a deferred transaction that has read is refused at
once, whatever the busy timeout. Reading uses other connections and returns whole pages, so that no
read transaction stays open between two calls of the caller.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventlog.errors import (
    CorruptLog,
    EventLogError,
    Indeterminate,
    InvalidArgument,
    StoreUnavailable,
    UnsupportedStore,
    VersionConflict,
)
from eventlog.filesystem import make_file, permissions_named
from eventlog.presence import Presence
from eventlog.sqlite_driver import sqlite3
from eventlog.store import (
    ANY,
    EMPTY_HEAD,
    START,
    Append,
    Appended,
    Blob,
    Durability,
    Expected,
    Finding,
    Head,
    Position,
    Record,
    Wakeups,
    WalState,
    paged,
)
from eventlog.store_url import public_url
from eventlog.stores.sqlite.backup import copy_pages
from eventlog.stores.sqlite.batch import Batch, put_entries
from eventlog.stores.sqlite.check import check_tables
from eventlog.stores.sqlite.connections import Connecting
from eventlog.stores.sqlite.connections import connect as local_connect
from eventlog.stores.sqlite.errors import mapped, mapped_errors
from eventlog.stores.sqlite.evidence import Evidence
from eventlog.stores.sqlite.lookup import Lookup
from eventlog.stores.sqlite.pages import Bounds, log_page, stream_page
from eventlog.stores.sqlite.schema import ensure_schema, refuse_older
from eventlog.stores.sqlite.tail import MERGE_AT
from eventlog.stores.sqlite.wal import WalKeeper
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from eventlog.store import EventId

__all__ = ["SQLiteStore", "open_store"]

POLL_SECONDS: Final = 0.05
"""How often a waiting reader checks for records of other processes."""

_SCAN: Final = (
    "SELECT key, CAST(value AS BLOB) FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
)


def open_store(url: str, location: str, options: dict[str, str]) -> SQLiteStore:
    """Open ``sqlite:///file.db``; ``?synchronous=normal`` trades power safety for speed, and
    ``?mode=ro`` changes nothing, nor anything beside it."""
    unknown = options.keys() - {"synchronous", "busy_timeout", "permissions", "mode"}
    if unknown or not location:
        raise InvalidArgument(
            f"{public_url(url)}: write sqlite:///file.db, with "
            "?synchronous=full|extra|normal|off, ?busy_timeout=SECONDS, ?permissions=0660 and "
            "?mode=ro if need be"
        )
    try:
        busy_timeout = float(options.get("busy_timeout", "5"))
    except ValueError:
        raise InvalidArgument(
            f"{public_url(url)}: busy_timeout takes a number of seconds"
        ) from None
    return SQLiteStore(
        location,
        synchronous=options.get("synchronous", "full"),
        busy_timeout=busy_timeout,
        permissions=permissions_named(options.get("permissions"), url),
        mode=options.get("mode", "rw"),
    )


class SQLiteStore:
    """A log in one SQLite file; see `eventlog.store.Store` for the contract.

    ``permissions`` is the mode of a new file, such as ``0o660``. By default its owner may read and
    write it, and group and others may do what they may do in the folder.
    """

    reads_types = True
    appends_briefly = True

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "full",
        busy_timeout: float = 5.0,
        permissions: int | None = None,
        mode: str = "rw",
        connect: Callable[[str, float], sqlite3.Connection] = local_connect,
    ) -> None:
        self.path = str(path)
        if mode not in ("rw", "ro"):
            raise InvalidArgument(f"mode={mode!r}: choose one of rw, ro")
        self._evidence = Evidence(self.path) if mode == "ro" else None
        self.reads_only = self._evidence is not None
        if self._evidence is not None:
            connect = self._evidence.connect
            log_fact(logging.INFO, "evidence_opened", path=self.path, how=self._evidence.how)
        self._connecting = Connecting(
            self.path, synchronous, busy_timeout, connect, reads_only=self.reads_only
        )
        if connect is local_connect and self.path != ":memory:":
            make_file(self.path, permissions)
        self.durability: Durability = self._connecting.durability
        self._wal = WalKeeper(self.path, busy_timeout)
        is_file = connect is local_connect and self.path != ":memory:"
        self._presence = Presence(self.path) if is_file else None
        self._start()

    def _start(self) -> None:
        self._closed = False
        self._begin_unlocked()
        try:
            self._open()
        except BaseException:
            if self._evidence is not None:
                self._evidence.discard()
            raise
        _open_stores.add(self)

    def _open(self) -> None:
        with mapped_errors(self.path):
            writer = self._connecting.writer()
            try:
                (refuse_older if self.reads_only else ensure_schema)(writer, self.path)
                self._lookup = Lookup(writer, self.path)
            except BaseException:
                writer.close()
                raise
        self._writer = writer
        self._writer_closed = False
        self._others_write = True

    def _begin_unlocked(self) -> None:
        self._write_lock = threading.RLock()
        self._gate = threading.Condition()
        self._borrowed = 0
        self._paused = False
        self._wakeups = Wakeups(POLL_SECONDS)
        self._idle_readers: list[sqlite3.Connection] = []

    # ---- appending ----------------------------------------------------------------------------

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        with self._write_lock:
            connection = self._open_writer()
            lookup = self._lookup
            try:
                work, answers = self._run(connection, batch)
                merged = None
                if lookup.tail.size >= MERGE_AT:
                    merged = lookup.merge(connection)
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.Error):
                    raise mapped(error, self.path) from error
                raise
            self._commit(connection)
            with lookup.lock:
                if work.new_streams:
                    lookup.streams.update(work.new_streams)
                if merged is not None:
                    lookup.tail.merged(merged)
                lookup.tail.add(work.rows)
            self._wal.committed(connection)
        self._wakeups.notify()
        return answers

    def _run(
        self, connection: sqlite3.Connection, batch: Sequence[Append]
    ) -> tuple[Batch, list[Appended | EventLogError]]:
        """Begin a transaction and insert what can be appended.

        Usually nobody else has written since the last time, so there is no check beforehand: the
        position that SQLite gives to the last row shows it. If another process has written, the
        transaction is rolled back and done again with the new tail.
        """
        lookup = self._lookup
        connection.execute("BEGIN IMMEDIATE")
        if self._others_write:
            self._others_write = lookup.catch_up(connection)
        known = lookup.tail.last
        work = Batch(lookup, connection, batch)
        answers = work.run()
        if work.is_current:
            return work, answers
        if not work.rows:
            lookup.catch_up(connection)
            # Not whether this has found anything: a reader may have caught up since the answers.
            if lookup.tail.last == known:
                return work, answers
        connection.execute("ROLLBACK")
        self._others_write = True
        return self._run(connection, batch)

    def _open_writer(self, *, writes: bool = True) -> sqlite3.Connection:
        if writes and self.reads_only:
            raise UnsupportedStore(
                f"{self.path} was opened with mode=ro; open it without to write to it"
            )
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed; open the log again")
        if self._writer_closed:
            with mapped_errors(self.path):
                self._writer = self._connecting.writer()
            self._writer_closed = False
        return self._writer

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_IOERR:
                self._roll_back(connection)
                raise mapped(error, self.path) from error
            # A failed sync: the pages may or may not be on disk, and this connection's view of
            # them cannot be trusted. A new connection sees what recovery makes of them.
            self._reconnect()
            raise Indeterminate(f"{self.path}: the commit failed ({error})") from error

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK").fetchall()
        except sqlite3.Error:
            self._reconnect()

    def _reconnect(self) -> None:
        self._writer.close()
        self._writer_closed = True
        writer = self._open_writer()
        with mapped_errors(self.path):
            self._lookup = Lookup(writer, self.path)

    # ---- reading ------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend a connection together with a tail that is up to date with it."""
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed; open the log again")
        with self._gate:
            while self._paused:
                self._gate.wait()
            self._borrowed += 1
        try:
            with mapped_errors(self.path):
                yield from self._lend()
        finally:
            with self._gate:
                self._borrowed -= 1
                self._gate.notify_all()

    def _lend(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = self._connecting.reader()
        try:
            self._lookup.catch_up(connection)
            yield connection
        finally:
            if self._closed:
                connection.close()
            else:
                self._idle_readers.append(connection)

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        types: Sequence[str] = (),
    ) -> Iterator[Record]:
        def read_page(bounds: Bounds, size: int) -> tuple[list[Record], Bounds | None]:
            with self._reading() as connection:
                return stream_page(
                    connection, self._lookup, stream, bounds, size, reverse=reverse, types=types
                )

        if types:  # Of a page any number may be of these types.
            return islice(paged(read_page, (after, until)), limit)
        return paged(read_page, (after, until), limit)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        def read_page(after: Position, size: int) -> tuple[list[Record], Position | None]:
            with self._reading() as connection:
                page, goes_on = log_page(connection, after, types, size)
            return page, page[-1].position if goes_on else None

        return paged(read_page, after, limit)

    def head(self, stream: str) -> Head:
        with self._reading() as connection:
            stream_id = self._lookup.stream_id(connection, stream)
            if stream_id is None:
                return EMPTY_HEAD
            with self._lookup.lock:
                return Head._make(self._lookup.end(connection, stream_id))

    def heads(self, streams: Sequence[str]) -> list[Head]:
        with self._reading() as connection:
            return self._lookup.heads(connection, streams)

    def tip(self) -> Position:
        with self._reading():
            return Position(self._lookup.tail.last)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        with self._reading() as connection:
            stream_id = self._lookup.stream_id(connection, stream)
            if stream_id is None:
                return {}
            with self._lookup.lock:
                found = self._lookup.stored(connection, ids)
        return {
            event_id: found[stream_id, event_id]
            for event_id in ids
            if (stream_id, event_id) in found
        }

    def wait(self, after: Position, timeout: float) -> bool:
        return self._wakeups.wait_beyond(after, self.tip, timeout)

    # ---- index entries and blobs --------------------------------------------------------------

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        def read_page(low: str, size: int) -> tuple[list[tuple[str, bytes]], str | None]:
            with self._reading() as connection:
                rows = connection.execute(_SCAN, (low, end, size)).fetchall()
            # No key lies between a key and the same key followed by a NUL.
            return rows, rows[-1][0] + "\0" if len(rows) == size else None

        return paged(read_page, start, limit)

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        with self._writing() as connection:
            put_entries(connection, entries)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        with self._writing() as connection:
            row = connection.execute("SELECT revision FROM blobs WHERE key = ?", (key,)).fetchone()
            # A damaged blob has no revision to count on from.
            revision = row[0] if row is not None and isinstance(row[0], int) else 0
            if expected not in (ANY, revision):
                raise VersionConflict(key, int(expected), revision)
            connection.execute(
                "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET revision = excluded.revision, data = excluded.data",
                (key, revision + 1, data),
            )
            return revision + 1

    def get_blob(self, key: str) -> Blob | None:
        with self._reading() as connection:
            row = connection.execute(
                "SELECT data, revision FROM blobs WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        data, revision = row
        if not isinstance(data, bytes) or not isinstance(revision, int):
            raise CorruptLog(
                f"{self.path}: the blob {key!r} is damaged: it is not bytes with a revision; restore "
                "it from a backup, or remove it if it is a snapshot"
            )
        return Blob(data, revision)

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend the writing connection for one separate, durable transaction."""
        with self._write_lock:
            connection = self._open_writer()
            with mapped_errors(self.path):
                connection.execute("BEGIN IMMEDIATE").fetchall()
                try:
                    yield connection
                except BaseException:
                    self._roll_back(connection)
                    raise
            self._commit(connection)
            self._wal.look(connection)

    # ---- the log as a whole -------------------------------------------------------------------

    def check(self) -> list[Finding]:
        with self._reading() as connection:
            return check_tables(connection)

    def wal(self) -> WalState:
        return self._wal.state()

    def presence(self) -> str | None:
        return None if self._presence is None or self._closed else self._presence.name()

    def is_gone(self, presence: str) -> bool | None:
        return None if self._presence is None else self._presence.is_gone(presence)

    def backup(self, path: str, advance: Callable[[int, int], object]) -> None:
        with mapped_errors(path), closing(self._connecting.reader()) as connection:
            copy_pages(connection, path, advance)

    def settings(self) -> dict[str, str]:
        with self._write_lock:
            settings = self._connecting.settings(self._open_writer(writes=False))
        opened = {} if self._evidence is None else {"opened": self._evidence.how}
        return {"file": str(Path(self.path).resolve()), **settings, **opened}

    def reopen_after_fork(self) -> None:
        """Do nothing: `pause_for_fork` has done what is needed."""

    def pause_for_fork(self) -> None:
        """Wait for running calls, and close every connection.

        SQLite keeps a table of the locks that the process holds, and a forked child inherits the
        table without the locks. If a connection stayed open, the child's connections would take no
        locks, and the parent could delete the WAL that the child writes to.
        """
        self._write_lock.acquire()
        with self._gate:
            self._paused = True
            while self._borrowed:
                self._gate.wait()
        while self._idle_readers:
            self._idle_readers.pop().close()
        self._writer.close()
        self._writer_closed = True

    def resume_after_fork(self) -> None:
        """Let the parent continue; connections are opened again when needed."""
        with self._gate:
            self._paused = False
            self._gate.notify_all()
        self._write_lock.release()

    def begin_after_fork(self) -> None:
        """Let the child continue, with new locks, and new connections when needed."""
        self._lookup.lock = threading.Lock()
        self._begin_unlocked()

    def close(self) -> None:
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            _open_stores.discard(self)
            if self._presence is not None:
                self._presence.end()
            # The index tables may lag behind; the next opening reads the rest.
            with suppress(sqlite3.Error, EventLogError):
                self._index_rest()
            while self._idle_readers:
                self._idle_readers.pop().close()
            self._writer.close()
            if self._evidence is not None:
                self._evidence.discard()

    def _index_rest(self) -> None:
        writer = self._writer
        if self.reads_only or self._writer_closed or not self._lookup.tail.size:
            return
        writer.execute("BEGIN IMMEDIATE").fetchall()
        try:
            self._lookup.catch_up(writer)
            self._lookup.merge(writer)
            writer.execute("COMMIT").fetchall()
        except BaseException:
            self._roll_back(writer)
            raise


_open_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()
_paused_stores: list[SQLiteStore] = []


def _before_fork() -> None:
    for store in list(_open_stores):
        store.pause_for_fork()
        _paused_stores.append(store)


def _after_fork_in_parent() -> None:
    while _paused_stores:
        _paused_stores.pop().resume_after_fork()


def _after_fork_in_child() -> None:
    while _paused_stores:
        _paused_stores.pop().begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
