"""Open the connections of a SQLite store; each setting is made and then read back (P9).

A pragma that fails does not raise, so each one is queried afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidArgument, StoreUnavailable
from eventlog.sqlite_driver import driver_name, sqlite3
from eventlog.stores.sqlite.errors import mapped_errors
from eventlog.stores.sqlite.schema import SCHEMA_VERSION, refuse_foreign
from eventlog.stores.sqlite.wal import KEPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.store import Durability

__all__ = ["Connecting", "connect"]

_SYNCHRONOUS: Final[dict[str, tuple[int, Durability]]] = {
    "off": (0, "process"),
    "normal": (1, "process"),
    "full": (2, "power"),
    "extra": (3, "power"),
}

_CACHE_KIB: Final = 8_192
"""The writer's page cache, in KiB: enough for merging the tail into the index tables."""

_CHECKPOINT_PAGES: Final = 1_000
"""WAL pages (of 4 KiB) after which SQLite checkpoints and reuses the WAL. Syncing a file that keeps
its size is cheaper than syncing one that grows, so a larger WAL would make each commit slower."""


def connect(path: str, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection that any thread may use; the store manages its transactions."""
    return sqlite3.connect(
        path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
    )


class Connecting:
    """Opens connections to one file, all with the same settings."""

    def __init__(
        self,
        path: str,
        synchronous: str,
        busy_timeout: float,
        connect: Callable[[str, float], sqlite3.Connection],
        *,
        reads_only: bool = False,
    ) -> None:
        if synchronous not in _SYNCHRONOUS:
            raise InvalidArgument(
                f"synchronous={synchronous!r}: choose one of {', '.join(_SYNCHRONOUS)}"
            )
        level, durability = _SYNCHRONOUS[synchronous]
        self.durability: Durability = durability
        self._level = level
        self._path = path
        self._busy_timeout = busy_timeout
        self._connect = connect
        self._reads_only = reads_only

    def writer(self) -> sqlite3.Connection:
        """Open a connection that writes; of a file that is only read, one that does not."""
        if self._reads_only:
            return self.reader()
        return self._open(f"cache_size = -{_CACHE_KIB}")

    def reader(self) -> sqlite3.Connection:
        """Open a connection that cannot write."""
        return self._open("query_only = 1")

    def _open(self, role: str) -> sqlite3.Connection:
        connection = self._connect(self._path, self._busy_timeout)
        try:
            refuse_foreign(connection, self._path)
            if self._reads_only:
                connection.execute(f"PRAGMA {role}").fetchall()
                return connection
            self._set(connection, "journal_mode", "wal", "wal")
            self._set(connection, "synchronous", self._level, self._level)
            self._set(connection, "wal_autocheckpoint", _CHECKPOINT_PAGES, _CHECKPOINT_PAGES)
            self._set(connection, "journal_size_limit", KEPT_BYTES, KEPT_BYTES)
            connection.execute(f"PRAGMA {role}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _set(self, connection: sqlite3.Connection, name: str, value: Any, expected: Any) -> None:
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != expected:
            raise StoreUnavailable(
                f"{self._path}: SQLite keeps {name} at {found!r}, and {expected!r} is needed; "
                "use a local file system"
            )

    def settings(self, connection: sqlite3.Connection) -> dict[str, str]:
        """Return the settings that a connection reports."""

        def pragma(name: str) -> str:
            with mapped_errors(self._path):
                return str(connection.execute(f"PRAGMA {name}").fetchone()[0])

        levels = {str(level): name for name, (level, _) in _SYNCHRONOUS.items()}
        return {
            "sqlite": sqlite3.sqlite_version,
            "driver": driver_name(),
            "schema": str(SCHEMA_VERSION),
            "journal_mode": pragma("journal_mode"),
            "synchronous": levels[pragma("synchronous")],
            "busy_timeout": f"{self._busy_timeout:g} s",
        }
