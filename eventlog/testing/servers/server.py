"""Shared by the test servers: a folder, a port, and a process that ends with the tests."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

__all__ = [
    "LOOPBACK",
    "PAUSE_SECONDS",
    "START_SECONDS",
    "Closing",
    "Server",
    "ServerFailed",
    "ending_with_parent",
    "free_port",
    "with_options",
]

LOOPBACK: Final = "127.0.0.1"

START_SECONDS: Final = 240.0
"""How long a server may take to answer; after that it has failed to start."""

PAUSE_SECONDS: Final = 0.01
"""Seconds between two checks whether it answers."""

PORTS: Final = range(10_000, 32_000)
"""Where servers listen; see `free_port`."""

MEMORY_BYTES: Final = 4 << 30
"""The free memory that is needed to put a server's files there."""


_given: Final = set[int]()


class ServerFailed(Exception):
    """A test server did not start; the text has its output."""


class Closing(ABC):
    """Something that ends with its ``with`` block."""

    @abstractmethod
    def close(self) -> None:
        """End it, and leave nothing behind."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _beginning(self) -> Generator[None]:
        """Begin, and clean up if that fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise


class Server(Closing):
    """One server, listening on one address; everything is gone after `close`.

    Its files are in memory if there is room, unless ``disk`` is set: tests kill servers, but no machine
    loses power, and syncing a disk is slow.
    """

    STOP: ClassVar = signal.SIGTERM
    """The signal that shuts it down cleanly."""

    MAY_BE_HELD_UP: ClassVar = False
    """Whether it may fail to start because of what a killed one leaves behind for a moment."""

    def __init__(self, name: str, *, disk: bool, host: str) -> None:
        self.name = name
        self.host = host
        self.port = free_port(host)
        place = None if disk else _memory()
        self.folder = Path(mkdtemp(prefix=f"eventlog-{name}-", dir=place))
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the process."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether it accepts connections."""

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        log = self.folder / "server.log"
        deadline = time.monotonic() + START_SECONDS
        while not self._is_started(log, deadline):
            if not self.MAY_BE_HELD_UP or time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace")[-2_000:]
                raise ServerFailed(f"{self.name} did not start: {said}")

    def _is_started(self, log: Path, deadline: float) -> bool:
        with log.open("ab") as output:
            self._process = self._launch(output)
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(PAUSE_SECONDS)
        self.kill()
        return False

    def stop(self) -> None:
        """Shut the server down cleanly; connections are cut."""
        self._end(self.STOP)

    def kill(self) -> None:
        """End the server with signal 9."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the server without a clean shutdown: its files are removed anyway."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


def ending_with_parent(name: str) -> list[str]:
    """Return a prefix for a command that ends it when the tests end in any way.

    The prefix is empty if the system cannot do that.
    """
    return ["setpriv", "--pdeathsig", name] if shutil.which("setpriv") else []


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on.

    It is not one of the ports for outgoing connections: such a connection could take the port of a
    server that is being restarted. No port is returned twice, in this process or in another worker of
    pytest-xdist.
    """
    ports = _own_ports()
    while True:
        port = secrets.choice(ports)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _own_ports() -> range:
    """Return the ports of this process: workers of pytest-xdist share them out."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return PORTS[worker % workers :: workers]


def _is_free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def with_options(address: str, options: dict[str, object]) -> str:
    """Return an address with options, as URLs have them."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{address}?{query}" if query else address


def _memory() -> Path | None:
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None
