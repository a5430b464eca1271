"""A proxy that cuts a connection at a chosen message, to test lost connections (K6).

It is placed between a store and its server and passes on whole messages of PostgreSQL's protocol or,
with `NatsWire`, of NATS. When armed, it counts the messages of appends in both directions and closes
both sides of the connection before it passes on the chosen one; later connections are left alone::

    with CuttingProxy("127.0.0.1", server.port) as proxy:
        store = open_store(f"postgresql://user@127.0.0.1:{proxy.port}/db?sslmode=disable")
        proxy.cut_at(3)
        store.append([...])         # the third message never arrives
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, Protocol

from eventlog.testing.servers.server import LOOPBACK, Closing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CuttingProxy", "NatsWire", "PostgresWire", "Wire"]

ENOUGH: Final = 60
"""More messages than any append takes."""


class CuttingProxy(Closing):
    """Listens on loopback, and passes on to a server."""

    def __init__(self, host: str, port: int, wire: Callable[[], Wire] | None = None) -> None:
        self._address = host, port
        self._wire = wire or PostgresWire
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._left: int | None = None
        self.passed: list[str] = []
        """The messages since `cut_at`: ``>`` to the server or ``<`` from it, and the type."""
        self.cuts = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut_at(self, message: int) -> None:
        """Cut at the n-th message from now on, counted from 1."""
        with self._lock:
            self._left = message
            self.passed = []

    def each_cut(self) -> Iterator[int]:
        """Yield 1, 2, 3 …, each planned with `cut_at`, until there are fewer messages than that."""
        for message in range(1, ENOUGH):
            self.cuts = 0
            yield message
            if not self.cuts:
                break
        self.spare()

    def spare(self) -> None:
        """Cancel the planned cut."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._address)
            except OSError:
                return
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(self, self._wire(), client, server)
            for run in (pair.to_server, pair.to_client):
                threading.Thread(target=run, daemon=True).start()

    def take(self, name: str) -> bool:
        """Count a message; return whether it may pass."""
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            if self._left:
                self.passed.append(name)
                return True
            self._left = None
            self.cuts += 1
            return False


class Wire(Protocol):
    """Splits the bytes of one connection into messages, in both directions."""

    def read(self, stream: IO[bytes], *, to_server: bool) -> tuple[str, bytes]:
        """Read one message: its name and its bytes; no bytes at the end of the stream.

        A message without a name is not counted: such messages come at any time.
        """
        ...


class PostgresWire:
    """Messages of a type byte (missing in the first one), a length, and a body."""

    def __init__(self) -> None:
        self._begun = False
        self._listens = False
        """Whether it listens for notifications: the messages of such a connection are not counted."""

    def read(self, stream: IO[bytes], *, to_server: bool) -> tuple[str, bytes]:
        first = to_server and not self._begun
        head = stream.read(4 if first else 5)
        message = head + (stream.read(int.from_bytes(head[-4:], "big") - 4) if head else b"")
        if to_server:
            self._begun = True
            self._listens = self._listens or b"LISTEN " in message
        name = "startup" if first else chr(message[0]) if message else ""
        # A good-bye is not counted: it may still be on its way when the cut is planned.
        return "" if self._listens or name == "X" else name, message


class NatsWire:
    """Messages of a line, which for some is followed by a payload; its last word is the length.

    Only publications and the answers to them are counted, no notifications.
    """

    def read(self, stream: IO[bytes], *, to_server: bool) -> tuple[str, bytes]:
        line = stream.readline()
        words = line.split()
        verb = words[0].decode().upper() if words else ""
        if verb not in ("PUB", "HPUB", "MSG", "HMSG"):
            return "", line
        message = line + stream.read(int(words[-1]) + 2)
        return "" if words[1].endswith(b".news") else verb, message


class _Pair:
    """One connection, seen from both sides."""

    def __init__(
        self, proxy: CuttingProxy, wire: Wire, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy = proxy
        self._wire = wire
        self._client = client
        self._server = server

    def to_server(self) -> None:
        self._run(self._client, self._server, to_server=True)

    def to_client(self) -> None:
        self._run(self._server, self._client, to_server=False)

    def _run(self, source: socket.socket, target: socket.socket, *, to_server: bool) -> None:
        with source, source.makefile("rb") as stream, suppress(OSError):
            while True:
                name, message = self._wire.read(stream, to_server=to_server)
                sign = ">" if to_server else "<"
                if not message or (name and not self._proxy.take(f"{sign}{name}")):
                    break
                target.sendall(message)
        # Close both sides, which ends the reads from them.
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
