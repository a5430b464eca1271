"""The PostgreSQL store: one schema of a database, written by any number of processes and hosts.

A batch of appends is one call of the function `append` in the database: one round trip and one
transaction, in autocommit mode. Each stream has its own lock, so sessions do not wait for each other.
The whole log is read in the order of transactions, up to the oldest one that is still running, so
that no record is ever skipped; `1_log.sql` has the argument.

Appends use one connection. All other calls borrow one from a pool for a single statement, so no
transaction stays open between calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import psycopg
from psycopg import errors

from eventlog.errors import (
    EventLogError,
    Indeterminate,
    InvalidArgument,
    StoreUnavailable,
    TooLarge,
    UnsupportedStore,
    VersionConflict,
)
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
    paged,
    sound_records,
    split_batch,
)
from eventlog.stores.postgres.batch import Batch, Observed, split_entries, unstorable
from eventlog.stores.postgres.checks import findings, server_settings
from eventlog.stores.postgres.connections import Connector, Pool, is_quiet, split_conninfo
from eventlog.stores.postgres.errors import closed, mapped, mapped_errors
from eventlog.stores.postgres.notifications import Notifications
from eventlog.stores.postgres.presence import SessionPresence
from eventlog.stores.postgres.schema import (
    Statements,
    applied_migrations,
    ensure_schema,
    require_schema,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from eventlog.store import EventId

__all__ = ["PostgresStore", "has_log", "open_store"]

SCHEMA: Final = "eventlog"
"""The schema of a log if its URL names none."""

LOOKS: Final = 100
"""How often a batch is decided at most: reaching this means a defect, not competing writers."""

APPEND_LIMIT: Final = 1 << 29
"""Maximum bytes of one append. PostgreSQL takes 1 GiB for all values of one argument together."""

CALL_BYTES: Final = 1 << 26
"""Bytes of data after which the rest of a batch is stored by another call."""

RECORDS_LIMIT: Final = (1 << 20) - 1
"""Maximum records of one transaction: positions have 20 bits to count them."""

_EVERY_VERSION: Final = 1 << 62
"""A version that no stream reaches: the end of a read without a given end."""

_APPEND: Final = (
    "SELECT {schema}.append(%b::text[], %b::bigint[], %b::bytea[], %b::integer[], %b::integer[], "
    "%b::bigint[], %b::bytea[], %b::text[], %b::integer[], %b::bigint[], %b::bytea[], "
    "%b::bytea[], %b::bytea[], %b::text[], %b::bytea[], %b::text[])"
)
_LOOK: Final = (
    "SELECT name, version, hash, NULL FROM {schema}.streams WHERE name = ANY (%s::text[]) "
    "UNION ALL SELECT s.name, r.version, NULL, r.event_id "
    "FROM unnest(%s::text[], %b::bytea[]) AS wanted (name, event_id) "
    "JOIN {schema}.streams AS s USING (name) JOIN {schema}.records AS r USING (stream, event_id)"
)
_COLUMNS: Final = (
    "r.version, r.position, r.event_id, r.type, r.schema, r.time, r.data, r.metadata, r.hash "
    "FROM {schema}.records AS r"
)
_READ: Final = {
    reverse: f"SELECT %s::text, {_COLUMNS} "
    "WHERE r.stream = (SELECT stream FROM {schema}.streams WHERE name = %s) "
    f"AND r.version > %s AND r.version <= %s ORDER BY r.version {order} LIMIT %s"
    for reverse, order in ((False, "ASC"), (True, "DESC"))
}
_READ_SOME: Final = {
    reverse: query.replace("ORDER", "AND r.type = ANY (%s) ORDER")
    for reverse, query in _READ.items()
}
_READ_ALL: Final = (
    f"SELECT s.name, {_COLUMNS} JOIN {{schema}}.streams AS s USING (stream) "
    "WHERE r.position > %s AND r.position < (SELECT {schema}.horizon()) "
    "ORDER BY r.position LIMIT %s"
)
_READ_TYPES: Final = _READ_ALL.replace("ORDER", "AND r.type = ANY (%s) ORDER")
_HEAD: Final = "SELECT version, hash, position, time FROM {schema}.streams WHERE name = %s"
_TIP: Final = (
    "SELECT max(position) FROM {schema}.records WHERE position < (SELECT {schema}.horizon())"
)
_FIND: Final = (
    "SELECT r.event_id, r.version FROM {schema}.records AS r JOIN {schema}.streams AS s "
    "USING (stream) WHERE s.name = %s AND r.event_id = ANY (%b::bytea[])"
)
_SCAN: Final = (
    "SELECT key, value FROM {schema}.entries WHERE key >= %s AND key < %s ORDER BY key LIMIT %s"
)
_PUT_ENTRIES: Final = "SELECT {schema}.put_entries(%b::text[], %b::bytea[], %b::text[])"
_PUT_BLOB: Final = "SELECT stored, revision FROM {schema}.put_blob(%s, %b, %s)"
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_GET_BLOB: Final = "SELECT data, revision FROM {schema}.blobs WHERE key = %s"


def open_store(url: str, location: str, options: dict[str, str]) -> PostgresStore:
    """Open ``postgresql://user@host/database``: a URL of libpq, several hosts included.

    ``?schema=NAME`` is the schema that holds the log (default ``eventlog``). ``?durability=process``
    accepts a server that may lose its latest commits in a loss of power. ``?pool_size=NUMBER`` limits
    the connections for everything except appends (default 10). ``?mode=ro`` reads and changes nothing,
    also on a standby.
    """
    conninfo, own = split_conninfo(url)
    try:
        pool_size = int(own.get("pool_size", "10"))
    except ValueError:
        raise InvalidArgument(f"pool_size={own['pool_size']!r}: write a number") from None
    return PostgresStore(
        conninfo,
        schema=own.get("schema", SCHEMA),
        durability=cast("Durability", own.get("durability", "power")),
        pool_size=pool_size,
        mode=own.get("mode", "rw"),
    )


def has_log(url: str) -> bool:
    """Return whether there is a log at a URL."""
    conninfo, own = split_conninfo(url)
    connector = Connector(conninfo, "process", reads_only=own.get("mode") == "ro")
    with connector.connect() as connection, mapped_errors(connector.where):
        statements = Statements(own.get("schema", SCHEMA))
        return applied_migrations(connection, statements, connector.where) > 0


class PostgresStore:
    """A log in one schema of a database; see `eventlog.store.Store` for the contract."""

    reads_types = True

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = SCHEMA,
        durability: Durability = "power",
        pool_size: int = 10,
        mode: str = "rw",
    ) -> None:
        if mode not in ("rw", "ro"):
            raise InvalidArgument(f"mode={mode!r}: choose one of rw, ro")
        if durability == "none" or durability not in get_args(Durability):
            raise InvalidArgument(f"durability={durability!r}: choose power or process")
        if pool_size < 1:
            raise InvalidArgument(f"pool_size={pool_size}: at least one connection is needed")
        self.durability: Durability = durability
        self.schema = schema
        self.reads_only = mode == "ro"
        self._connector = Connector(conninfo, durability, reads_only=self.reads_only)
        self._where = self._connector.where
        self._statements = Statements(schema)
        self._pool_size = pool_size
        with self._connector.connect() as connection, mapped_errors(self._where):
            prepare = require_schema if self.reads_only else ensure_schema
            prepare(connection, self._statements, self._where)
        self._start()

    def _start(self) -> None:
        self._closed = False
        self._write_lock = threading.RLock()
        self._writer: psycopg.Connection[Any] | None = None
        self._notifications = Notifications(self._connector.connect, f"eventlog {self.schema}")
        self._pool = Pool(self._connector, self._pool_size)
        self._presence = SessionPresence(self._connector.connect, self._plain_rows)

    # ---- appending ----------------------------------------------------------------------------

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        answers: list[Appended | EventLogError] = []
        self._refuse_if_read_only()
        with self._write_lock:
            for part in split_batch(batch, max_bytes=CALL_BYTES, max_records=RECORDS_LIMIT):
                try:
                    answers += self._append(part)
                except EventLogError as error:
                    if not answers or isinstance(error, Indeterminate):
                        raise
                    raise Indeterminate(str(error)) from error
        return answers

    def _append(self, appends: Sequence[Append]) -> list[Appended | EventLogError]:
        refused = [_refused(append) for append in appends]
        if any(refused):
            taken = [
                append for append, error in zip(appends, refused, strict=True) if error is None
            ]
            answers = iter(self._append(taken))
            return [next(answers) if error is None else error for error in refused]
        batch = Batch(appends, None)
        for _ in range(LOOKS):
            if batch.certain:
                base = self._store(batch)
                if base is not None:
                    return batch.answers(base)
            batch = Batch(appends, self._look(appends))
        raise StoreUnavailable(
            f"{self._where}: the streams changed {LOOKS} times while {len(appends)} appends were "
            "being stored; none of them was stored, see `eventlog doctor`"
        )

    def _store(self, batch: Batch) -> int | None:
        """Store a batch in one transaction; return the position before its first record.

        Returns None if nothing was stored because the batch was decided on a wrong assumption.
        """
        if not batch.rows:
            return 0
        writer = self._open_writer()
        try:
            cursor = writer.execute(
                self._statements[_APPEND], batch.arguments(), prepare=True, binary=True
            )
            (base,) = cast("tuple[int | None]", cursor.fetchone())
        except (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure):
            return None
        except psycopg.Error as error:
            if not writer.closed:
                raise mapped(error, self._where) from error
            self._drop_writer()
            said = " ".join(str(error).split())
            raise Indeterminate(f"{self._where}: the connection was lost ({said})") from error
        except BaseException:
            self._drop_writer()  # An answer may still arrive on it.
            raise
        if base is not None:
            self._notifications.announce()
        return base

    def _refuse_if_read_only(self) -> None:
        if self.reads_only:
            raise UnsupportedStore(
                f"{self._where} was opened with mode=ro; open it without to write to it"
            )

    def _open_writer(self) -> psycopg.Connection[Any]:
        if self._closed:
            raise closed(self._where)
        if self._writer is not None and not is_quiet(self._writer):
            self._drop_writer()
        if self._writer is None:
            self._writer = self._connector.connect()
        return self._writer

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _look(self, appends: Sequence[Append]) -> Observed:
        """Read the versions of streams and the versions of stored ids, both at one moment."""
        wanted = [
            (append.stream, record.event_id) for append in appends for record in append.records
        ]
        names = sorted({append.stream for append in appends})
        rows = self._rows(_LOOK, names, [name for name, _ in wanted], [id_ for _, id_ in wanted])
        return Observed(
            ends={name: (version, hash_) for name, version, hash_, id_ in rows if id_ is None},
            stored={(name, id_): version for name, version, _, id_ in rows if id_ is not None},
        )

    # ---- reading ------------------------------------------------------------------------------

    def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        """Run one reading statement and return its rows.

        A connection may have been lost while idle, so reading is tried again on a new one.
        """
        try:
            return self._ask(statement, arguments)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, psycopg.OperationalError):
                raise
            self._pool.drop_idle()
            return self._ask(statement, arguments)

    def _ask(self, statement: str, arguments: Sequence[Any]) -> list[Any]:
        with self._borrowed() as connection, mapped_errors(self._where):
            return connection.execute(
                self._statements[statement], arguments, binary=True
            ).fetchall()

    def _borrowed(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        if self._closed:
            raise closed(self._where)
        return self._pool.lend()

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
        def read_page(
            bounds: tuple[int, int], size: int
        ) -> tuple[list[Record], tuple[int, int] | None]:
            low, high = bounds
            if types:
                query = _READ_SOME[reverse]
                rows = self._rows(query, stream, stream, low, high, list(types), size)
            else:
                rows = self._rows(_READ[reverse], stream, stream, low, high, size)
            page = sound_records(rows)
            if len(page) == len(rows) < size:
                return page, None
            # What is before a damaged record comes first; reading on from there meets it.
            last = page[-1].version
            return page, (low, last - 1) if reverse else (last, high)

        return paged(read_page, (after, _EVERY_VERSION if until is None else until), limit)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        def read_page(after: Position, size: int) -> tuple[list[Record], Position | None]:
            if types:
                rows = self._rows(_READ_TYPES, after, list(types), size)
            else:
                rows = self._rows(_READ_ALL, after, size)
            page = sound_records(rows)
            goes_on = len(rows) == size or len(page) < len(rows)
            return page, page[-1].position if goes_on else None

        return paged(read_page, after, limit)

    def head(self, stream: str) -> Head:
        rows = self._rows(_HEAD, stream)
        return Head._make(rows[0]) if rows else EMPTY_HEAD

    def tip(self) -> Position:
        return Position(self._rows(_TIP)[0][0] or START)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        return dict(self._rows(_FIND, stream, list(ids))) if ids else {}

    def wait(self, after: Position, timeout: float) -> bool:
        return self._notifications.wait_beyond(after, self.tip, timeout)

    # ---- index entries and blobs --------------------------------------------------------------

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        high = _bound(end)

        def read_page(low: str, size: int) -> tuple[list[tuple[str, bytes]], str | None]:
            page: list[tuple[str, bytes]] = self._rows(_SCAN, low, high, size)
            return page, _bound(page[-1][0] + "\0") if len(page) == size else None

        return paged(read_page, _bound(start), limit)

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        self._write(_PUT_ENTRIES, *split_entries(dict(entries)))

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        wanted = None if expected == ANY else int(expected)
        ((stored, revision),) = self._write(_PUT_BLOB, key, data, wanted)
        if not stored:
            raise VersionConflict(key, wanted or 0, revision)
        return int(revision)

    def get_blob(self, key: str) -> Blob | None:
        rows = self._rows(_GET_BLOB, key)
        return Blob._make(rows[0]) if rows else None

    def _write(self, statement: str, *arguments: Any) -> list[Any]:
        """Run one writing statement as a separate transaction, and return its rows."""
        self._refuse_if_read_only()
        with self._borrowed() as connection:
            try:
                with mapped_errors(self._where):
                    return connection.execute(
                        self._statements[statement], arguments, binary=True
                    ).fetchall()
            except StoreUnavailable as error:
                if not connection.closed:
                    raise
                raise Indeterminate(str(error)) from error

    # ---- the log as a whole -------------------------------------------------------------------

    def check(self) -> list[Finding]:
        with self._borrowed() as connection, mapped_errors(self._where):
            return findings(connection, self._statements)

    def settings(self) -> dict[str, str]:
        with self._borrowed() as connection, mapped_errors(self._where):
            return server_settings(connection, self._statements)

    def now(self) -> int:
        """Return the server's time: the one clock of all hosts (see `eventlog.store.StoreClock`)."""
        return int(self._rows(_NOW)[0][0])

    def presence(self) -> str | None:
        return None if self._closed else self._presence.name()

    def is_gone(self, presence: str) -> bool | None:
        return self._presence.is_gone(presence)

    def _plain_rows(self, statement: str, arguments: Sequence[Any]) -> list[Any]:
        with self._borrowed() as connection, mapped_errors(self._where):
            return connection.execute(statement.encode(), arguments).fetchall()

    def reopen_after_fork(self) -> None:
        """Leave the connections to the parent, and begin with none.

        They must not be closed here: that would end the parent's sessions on the server.
        """
        if self._closed:
            return
        _inherited.extend((self._pool, self._writer, self._presence))
        self._notifications.forget()
        self._start()

    def close(self) -> None:
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            self._presence.end()
            self._notifications.close()
            self._drop_writer()
            self._pool.close()


_inherited: list[Any] = []
"""Objects inherited from the parent that a forked child must neither use nor close."""


def _bound(key: str) -> str:
    """Return a bound without NUL that bounds the same range of keys.

    No key contains a NUL. So the keys after ``key + NUL`` are the keys after ``key``, and the first
    possible one is ``key`` followed by the lowest other character.
    """
    before, nul, _ = key.partition("\0")
    return f"{before}\x01" if nul else before


def _refused(append: Append) -> EventLogError | None:
    """Return the error for an append that is too large for PostgreSQL, or None."""
    size = sum(len(record.data) + len(record.metadata) for record in append.records)
    if size > APPEND_LIMIT:
        return TooLarge(append.stream, "the number of bytes of one append", size, APPEND_LIMIT)
    if len(append.records) > RECORDS_LIMIT:
        count = len(append.records)
        return TooLarge(append.stream, "the number of records of one append", count, RECORDS_LIMIT)
    return unstorable(append)
