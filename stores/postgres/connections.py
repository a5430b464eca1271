"""Connections to PostgreSQL: the URL, the checks of a server's settings, and the pool."""

from __future__ import annotations

import selectors
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from eventlog.errors import InvalidArgument, StoreUnavailable, UnsupportedStore
from eventlog.store_url import public_url
from eventlog.stores.postgres.errors import mapped_connect, mapped_errors

if TYPE_CHECKING:
    from collections.abc import Generator

    from eventlog.store import Durability

__all__ = ["Connector", "Pool", "is_quiet", "split_conninfo"]

POOL_SECONDS: Final = 10.0
"""How long a call waits if all connections are in use."""

OLDEST: Final = 16
"""The oldest major version of the server that is tested."""

OPTIONS: Final = frozenset({"schema", "durability", "pool_size", "mode"})
"""The URL parameters of this store; all others are libpq's."""

_DEFAULTS: Final = {
    "application_name": "eventlog",
    "connect_timeout": "10",
    # A peer that has silently gone is noticed after half a minute, not after hours.
    "tcp_user_timeout": "30000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
}

SETTINGS: Final = ("synchronous_commit", "fsync", "full_page_writes")
"""The settings that decide what survives a loss of power."""

_POWER: Final = ({"on", "remote_write", "remote_apply"}, {"on"}, {"on"})
"""The values that durability ``power`` needs."""

_PLANNING: Final = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_sort",
)
"""Plan types that are turned off. Plans are made while tables are small, and kept; every query here
follows an index in its order, and must still do so when the log has grown. A query without a fitting
index, such as a check of everything, runs all the same."""

_LOOK_OVER: Final = (
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, "
    "current_setting('server_encoding'), "
    + ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    + "".join(f", set_config('{name}', 'off', false)" for name in _PLANNING)
)
"""Run on every new connection."""


def split_conninfo(url: str) -> tuple[str, dict[str, str]]:
    """Split a URL into libpq's part and the options of this store."""
    parts = urlsplit(url)
    options = {name: value for name, value in parse_qsl(parts.query) if name in OPTIONS}
    # The rest stays as written: libpq decodes it by its own rules.
    rest = [said for said in parts.query.split("&") if said.partition("=")[0] not in OPTIONS]
    try:
        given = conninfo_to_dict(parts._replace(query="&".join(rest)).geturl())
    except psycopg.ProgrammingError as error:
        said = public_url(" ".join(str(error).split()))
        raise InvalidArgument(
            f"{said}; write postgresql://user@host/database, with ?schema=NAME, "
            "?durability=power|process, ?pool_size=NUMBER and ?mode=ro if need be"
        ) from error
    if "," in str(given.get("host", "")) and options.get("mode") != "ro":
        given.setdefault("target_session_attrs", "read-write")
    if "@" in f"{given.get('host', '')}{given.get('port', '')}{given.get('dbname', '')}":
        raise InvalidArgument(
            f"{public_url(url)} cannot be taken apart: write / and @ in a password as %2F and %40"
        )
    settings: dict[str, Any] = {**_DEFAULTS, **given}
    return make_conninfo("", **settings), options


class Connector:
    """Opens connections and checks that the server is as the store needs it."""

    def __init__(self, conninfo: str, durability: Durability, *, reads_only: bool = False) -> None:
        self.conninfo = conninfo
        self.durability = durability
        self.reads_only = reads_only
        """Whether the server is only read, so that a standby will do."""
        given = conninfo_to_dict(conninfo)
        host, database = given.get("host", "localhost"), given.get("dbname", given.get("user", ""))
        self.where = f"PostgreSQL {database}@{host}"
        """The name of the database in messages, without the password."""

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection in autocommit mode, and check it."""
        try:
            connection = psycopg.connect(self.conninfo, autocommit=True)
        except psycopg.Error as error:
            raise mapped_connect(error, self.where) from error
        try:
            with mapped_errors(self.where):
                self.look_over(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def look_over(self, connection: psycopg.Connection[Any]) -> None:
        """Refuse a server that is too old, read-only, or less durable than declared (P9)."""
        version = connection.info.server_version // 10_000
        if version < OLDEST:
            raise UnsupportedStore(
                f"{self.where} is version {version}; the log needs {OLDEST} or newer: upgrade it"
            )
        row = connection.execute(_LOOK_OVER).fetchone()
        assert row is not None
        read_only, encoding, *settings = row[: 2 + len(SETTINGS)]
        if self.reads_only:
            connection.execute("SET default_transaction_read_only = on")
        elif read_only:
            raise StoreUnavailable(
                f"{self.where} is read-only, as a standby is; connect to the primary: name all "
                "hosts in the URL, with target_session_attrs=read-write"
            )
        if encoding != "UTF8":
            raise UnsupportedStore(
                f"{self.where} is encoded in {encoding}; create a database with ENCODING 'UTF8'"
            )
        if self.durability == "power" and not self.reads_only:
            self._check_power(settings)

    def _check_power(self, settings: list[str]) -> None:
        for name, value, good in zip(SETTINGS, settings, _POWER, strict=True):
            if value not in good:
                raise UnsupportedStore(
                    f"{self.where} has {name} = {value}, so a loss of power can lose what was "
                    f"acknowledged; set it to on, or open the log with ?durability=process"
                )


def is_quiet(connection: psycopg.Connection[Any]) -> bool:
    """Return whether an idle connection has nothing to read.

    If the server has closed it, there is something to read. Checking before a command is sent spares
    the caller an unknown outcome.
    """
    if connection.closed:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return not selector.select(0)


class Pool:
    """A limited number of connections, lent for one statement each.

    It does nothing in the background: a caller who finds no idle connection opens one. So a server
    that has gone is an error at once, with the reason, and one that is back is used at once.
    """

    def __init__(self, connector: Connector, size: int) -> None:
        self._connector = connector
        self._size = size
        self._free = threading.BoundedSemaphore(size)
        self._idle: deque[psycopg.Connection[Any]] = deque()
        self._closed = False

    @contextmanager
    def lend(self) -> Generator[psycopg.Connection[Any], None, None]:
        """Lend a connection; wait for one if all are lent."""
        if not self._free.acquire(timeout=POOL_SECONDS):
            raise StoreUnavailable(
                f"{self._connector.where}: all {self._size} connections were busy for "
                f"{POOL_SECONDS:g} s; raise ?pool_size in the URL"
            )
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    def _take(self) -> psycopg.Connection[Any]:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connector.connect()
            if is_quiet(connection):
                return connection
            connection.close()

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        # An interrupted connection may still receive the answer to the interrupted query.
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.append(connection)
        if self._closed:
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close all connections; those that are lent, when they come back."""
        self._closed = True
        self.drop_idle()
