"""A proxy that cuts a PostgreSQL connection at one message: for what a lost connection leaves (K6).

It stands between a store and its server and passes on whole messages of the protocol. Armed, it
counts the messages of appends in both directions, and closes both sides of the connection before it
passes on the one that was chosen; connections made later are left alone::

    with CuttingProxy("127.0.0.1", server.port) as proxy:
        store = open_store(f"postgresql://user@127.0.0.1:{proxy.port}/db?sslmode=disable")
        proxy.cut_at(3)
        store.append([...])         # the third message never arrives
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CuttingProxy"]


class CuttingProxy:
    """Listens on loopback, and passes on to a server."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._left: int | None = None
        self.passed: list[str] = []
        """The messages since `cut_at`: ``>`` to the server or ``<`` from it, and the type."""
        self.cuts = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut_at(self, message: int) -> None:
        """Cut at so many messages from now on, counted from 1."""
        with self._lock:
            self._left = message
            self.passed = []

    def spare(self) -> None:
        """Cut nothing any more."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._address)
            except OSError:
                return
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(self, client, server)
            for run in (pair.to_server, pair.to_client):
                threading.Thread(target=run, daemon=True).start()

    def take(self, name: str) -> bool:
        """Count a message; tell whether it may pass."""
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


class _Pair:
    """One connection, seen from both sides."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._listens = False
        """Whether it is there to wait for news: such a connection's messages are not counted, for
        they come when they like."""

    def to_server(self) -> None:
        first = True
        with self._client, self._client.makefile("rb") as stream:
            while message := _read(stream, typed=not first):
                self._listens = self._listens or b"LISTEN " in message
                name = ">startup" if first else f">{chr(message[0])}"
                first = False
                if not self._pass(name, message, self._server):
                    break
            self._cut()

    def to_client(self) -> None:
        with self._server, self._server.makefile("rb") as stream:
            while message := _read(stream, typed=True):
                if not self._pass(f"<{chr(message[0])}", message, self._client):
                    break
            self._cut()

    def _pass(self, name: str, message: bytes, to: socket.socket) -> bool:
        # A good-bye is not counted: it may still be on its way when the cut is planned.
        if not self._listens and name != ">X" and not self._proxy.take(name):
            return False
        try:
            to.sendall(message)
        except OSError:
            return False
        return True

    def _cut(self) -> None:
        """End both sides, which ends what is being read from them."""
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def _read(stream: IO[bytes], *, typed: bool) -> bytes:
    """Read one message: a byte for its type, except of the first, its length, and the rest."""
    try:
        head = stream.read(5 if typed else 4)
        rest = stream.read(int.from_bytes(head[-4:], "big") - 4) if head else b""
    except OSError:
        return b""
    return head + rest
