"""Connections to PostgreSQL: where to, as whom, and whether the server keeps what it is to keep."""

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
"""How long a call waits for a connection that others use."""

OLDEST: Final = 16
"""The oldest major version of the server that is tested."""

OPTIONS: Final = frozenset({"schema", "durability", "pool_size"})
"""What a URL may say to this store; all other parameters are libpq's."""

_DEFAULTS: Final = {
    "application_name": "eventlog",
    "connect_timeout": "10",
    # A peer that is gone without a word is noticed after half a minute, not after hours.
    "tcp_user_timeout": "30000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
}

SETTINGS: Final = ("synchronous_commit", "fsync", "full_page_writes")
"""The settings that decide what survives a loss of power."""

_POWER: Final = ({"on", "remote_write", "remote_apply"}, {"on"}, {"on"})
"""Their values that durability ``power`` needs."""

_PLANNING: Final = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_sort",
)
"""Ways to carry out a statement that are turned off. Plans are made while tables are small, and
kept; everything that is asked here follows an index in its order, and must go on to when a log has
grown. What has no index, such as a look over the whole, is done all the same."""

_LOOK_OVER: Final = (
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, "
    "current_setting('server_encoding'), "
    + ", ".join(f"current_setting('{name}')" for name in SETTINGS)
    + "".join(f", set_config('{name}', 'off', false)" for name in _PLANNING)
)
"""Asked on every new connection."""


def split_conninfo(url: str) -> tuple[str, dict[str, str]]:
    """Split a URL into what libpq is told and the options of this store."""
    parts = urlsplit(url)
    options = {name: value for name, value in parse_qsl(parts.query) if name in OPTIONS}
    # The rest stays as it is written: libpq decodes it in a way of its own.
    rest = [said for said in parts.query.split("&") if said.partition("=")[0] not in OPTIONS]
    try:
        given = conninfo_to_dict(parts._replace(query="&".join(rest)).geturl())
    except psycopg.ProgrammingError as error:
        said = public_url(" ".join(str(error).split()))
        raise InvalidArgument(
            f"{said}; write postgresql://user@host/database, with ?schema=NAME, "
            "?durability=power|process and ?pool_size=NUMBER if need be"
        ) from error
    if "," in str(given.get("host", "")):
        given.setdefault("target_session_attrs", "read-write")
    if "@" in f"{given.get('host', '')}{given.get('port', '')}{given.get('dbname', '')}":
        raise InvalidArgument(
            f"{public_url(url)} cannot be taken apart: write / and @ in a password as %2F and %40"
        )
    settings: dict[str, Any] = {**_DEFAULTS, **given}
    return make_conninfo("", **settings), options


class Connector:
    """Opens connections that are what the store takes for granted, or says why they are not."""

    def __init__(self, conninfo: str, durability: Durability) -> None:
        self.conninfo = conninfo
        self.durability = durability
        given = conninfo_to_dict(conninfo)
        host, database = given.get("host", "localhost"), given.get("dbname", given.get("user", ""))
        self.where = f"PostgreSQL {database}@{host}"
        """What to call the database in messages; without the password."""

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection in autocommit mode, looked over."""
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
        """Refuse a server that is too old, read-only, or not as durable as declared (P9)."""
        version = connection.info.server_version // 10_000
        if version < OLDEST:
            raise UnsupportedStore(
                f"{self.where} is version {version}; the log needs {OLDEST} or newer, upgrade it"
            )
        row = connection.execute(_LOOK_OVER).fetchone()
        assert row is not None
        read_only, encoding, *settings = row[: 2 + len(SETTINGS)]
        if read_only:
            raise StoreUnavailable(
                f"{self.where} is read-only, as a standby is; connect to the primary: name all "
                "hosts in the URL, with target_session_attrs=read-write"
            )
        if encoding != "UTF8":
            raise UnsupportedStore(
                f"{self.where} is encoded in {encoding}; create a database with ENCODING 'UTF8'"
            )
        if self.durability == "power":
            self._check_power(settings)

    def _check_power(self, settings: list[str]) -> None:
        for name, value, good in zip(SETTINGS, settings, _POWER, strict=True):
            if value not in good:
                raise UnsupportedStore(
                    f"{self.where} has {name} = {value}, with which a loss of power takes what was "
                    f"acknowledged; set it to on, or open the log with ?durability=process"
                )


def is_quiet(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether an idle connection has nothing to say.

    One that the server has ended meanwhile has: that it is over. Who asks before sending a command
    spares the caller an outcome that is unknown.
    """
    if connection.closed:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return not selector.select(0)


class Pool:
    """A limited number of connections, lent for one statement each.

    There is nothing behind its callers' backs: who finds no idle connection makes one, so a server
    that is gone is an error at once, with its reason, and one that is back is used at once.
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
        # One that was interrupted may still get the answer to somebody else's question.
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.append(connection)
        if self._closed:
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close the connections, those that are lent when they come back."""
        self._closed = True
        self.drop_idle()
