"""The presence of a process at a PostgreSQL log, which others can prove to have ended (F2).

Each process that owns something keeps an advisory lock in a session of its own. When the process ends,
however and wherever, the server ends the session, and the lock is gone. A thread looks every few
seconds whether the session still has it, and takes it again, under the same number, if the connection was
lost; so a lock that stays away for longer than that proves that nobody is left to take it again.

A server that was restarted has no locks, so presences name the start of the server, and prove nothing
about another one. Behind a pooler that changes sessions between transactions nothing is proven.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg

from eventlog.errors import EventLogError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SessionPresence"]

LOOK_SECONDS: Final = 2.0
"""How often the thread looks after the lock."""

ABSENT_SECONDS: Final = 15.0
"""How long a lock must be away before its owner counts as gone: several looks of its thread."""

_SERVER: Final = (
    "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, oid::bigint "
    "FROM pg_database WHERE datname = current_database()"
)
_LOCKS: Final = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = %s::bigint >> 32 AND objid::bigint = %s::bigint & 4294967295"
)
_HELD: Final = f"SELECT EXISTS (SELECT {_LOCKS})"
_HELD_HERE: Final = f"SELECT EXISTS (SELECT {_LOCKS} AND pid = pg_backend_pid())"


class SessionPresence:
    """The presence of this process at one log."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        ask: Callable[[str, Sequence[Any]], list[Any]],
    ) -> None:
        self._connect = connect
        self._ask = ask
        self._lock = threading.Lock()
        self._key = secrets.randbits(62)
        self._connection: psycopg.Connection[Any] | None = None
        self._name: str | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._absent_since: dict[str, float] = {}

    def name(self) -> str | None:
        """Return the name, with the lock held: whoever has lost it owns nothing new until it is back.

        Raises `StoreUnavailable` while it cannot be had.
        """
        with self._lock:
            if self._ending.is_set():
                return None
            if not self._is_held():
                self._take()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_look_after,
                    args=(weakref.ref(self), self._ending),
                    name="eventlog-presence",
                    daemon=True,
                )
                self._thread.start()
            return self._name

    def _is_held(self) -> bool:
        if self._connection is None:
            return False
        try:
            row = self._connection.execute(_HELD_HERE, (self._key, self._key)).fetchone()
        except psycopg.Error:
            return False
        return row is not None and bool(row[0])

    def _take(self) -> None:
        self._drop()
        connection = self._connect()
        try:
            connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", (self._key,))
            started, database = connection.execute(_SERVER).fetchone() or (0, 0)
        except psycopg.Error as error:
            connection.close()
            raise StoreUnavailable(f"the session of this process was lost ({error})") from error
        self._connection = connection
        # Without the lock in this very session, as behind a pooler, nothing can be proven.
        self._name = f"{started}/{database}/{self._key}" if self._is_held() else None

    def look(self) -> None:
        """Take the lock again if it was lost."""
        with self._lock:
            if not self._ending.is_set() and not self._is_held():
                with suppress(EventLogError):  # Tried again at the next look.
                    self._take()

    def is_gone(self, name: str) -> bool | None:
        """Return whether a process is proven to be gone (True) or to live (False); None if neither."""
        server, _, key = name.rpartition("/")
        if not (key.isdecimal() and key.isascii()) or int(key) >= 1 << 62:
            return None
        ((started, database),) = self._ask(_SERVER, ())
        if server != f"{started}/{database}":
            return None
        ((held,),) = self._ask(_HELD, (int(key), int(key)))
        if held:
            self._absent_since.pop(name, None)
            return False
        now = monotonic()
        return True if now - self._absent_since.setdefault(name, now) >= ABSENT_SECONDS else None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def end(self) -> None:
        """Give the lock back: this process owns nothing any more. Idempotent."""
        self._ending.set()
        with self._lock:
            self._drop()


def _look_after(presence: weakref.ref[SessionPresence], ending: threading.Event) -> None:
    while not ending.wait(LOOK_SECONDS):
        found = presence()
        if found is None:
            return
        found.look()
        del found
