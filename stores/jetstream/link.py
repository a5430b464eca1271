"""The connection to NATS: a thread that runs an event loop, for synchronous callers.

A lost connection is not repaired; the next call opens a new one. So requests under way end at once
with an unknown outcome, and nothing that was buffered is sent later, when nobody expects it any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from urllib.parse import unquote

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, Error, TimeoutError

from eventlog.errors import EventLogError
from eventlog.stores.jetstream.errors import mapped_connect
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from ssl import SSLContext

__all__ = ["Caller", "Link"]

Answer = TypeVar("Answer")


class Caller(Protocol):
    """Work done with a connection; it may be repeated."""

    def __call__(self, work: Callable[[Client], Coroutine[Any, Any, Answer]], /) -> Answer: ...


CONNECT_SECONDS: Final = 2
"""How long one server may take to accept a connection."""

CLOSE_SECONDS: Final = 1.0
"""How long closing a connection may take."""

PING_SECONDS: Final = 5
"""How often a silent connection is pinged; after two unanswered pings it counts as lost."""

PENDING_BYTES: Final = 8 << 20
"""Bytes that are buffered before publishing waits for the network."""


class Link:
    """One connection at a time, used from any thread."""

    def __init__(
        self,
        hosts: Sequence[str],
        where: str,
        *,
        user: str = "",
        credentials: str | None = None,
        tls: SSLContext | None = None,
        greet: Callable[[Client], Awaitable[None]],
    ) -> None:
        self._login = _login(user)
        self._tls = tls
        self._address = "nats://{}" if tls is None else "tls://{}"
        self._servers = [self._address.format(host) for host in hosts]
        self._where = where
        self._credentials = credentials
        self._greet = greet
        self.connections = 0
        """The number of connections so far; a change means another server, or the same one restarted."""
        self._client: Client | None = None
        self._lost: asyncio.Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_note_failed_task)
        self._turn = asyncio.Lock()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="eventlog-nats", daemon=True
        )
        self._thread.start()

    def run(self, work: Callable[[Client], Coroutine[Any, Any, Answer]]) -> Answer:
        """Do some work with a connection, and return its result.

        Raises `StoreUnavailable` or `UnsupportedStore` if no connection can be opened, and nats-py's
        errors; after `TimeoutError` and `ConnectionClosedError` it is unknown what the server did.
        """
        with self._gate:
            if self._closed:
                raise ConnectionClosedError
            future = asyncio.run_coroutine_threadsafe(self._work(work), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _work(self, work: Callable[[Client], Coroutine[Any, Any, Answer]]) -> Answer:
        async with self._turn:
            client, lost = await self._connected()
        working = asyncio.create_task(work(client))
        waiting: set[asyncio.Future[Any]] = {working, lost}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError, Error):
                await working
            raise ConnectionClosedError
        try:
            return working.result()
        except TimeoutError:
            # The reason is unknown; another server may work.
            await self._drop(client)
            raise

    async def _connected(self) -> tuple[Client, asyncio.Future[None]]:
        client, lost = self._client, self._lost
        # A client does not always report that it has closed: not if the network fails while it closes.
        if client is None or lost is None or lost.done() or client.is_closed:
            self._client, self._lost = client, lost = await self._connect()
            self.connections += 1
            known = [self._address.format(server.netloc) for server in client.discovered_servers]
            # If this connection is lost, the next server is tried first.
            servers = self._servers[1:] + self._servers[:1]
            self._servers = servers + [server for server in known if server not in servers]
        return client, lost

    async def _drop(self, client: Client) -> None:
        """Close a connection, without waiting for a server that does not read."""
        if self._client is client:
            self._client = None
        with suppress(Error, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()

    async def _connect(self) -> tuple[Client, asyncio.Future[None]]:
        """Connect to the first server that takes the connection."""
        failures: list[EventLogError] = []
        for server in self._servers:
            lost: asyncio.Future[None] = self._loop.create_future()
            try:
                return await self._connect_to(server, lost), lost
            except EventLogError as error:
                failures.append(error)
        raise failures[0]

    async def _connect_to(self, server: str, lost: asyncio.Future[None]) -> Client:
        said: list[Exception] = []

        async def closed() -> None:
            if not lost.done():
                lost.set_result(None)

        async def note(error: Exception) -> None:
            said.append(error)

        client = Client() if self._tls is None else _TLSClient()
        options: dict[str, Any] = {} if self._tls is None else {"tls": self._tls}
        try:
            await client.connect(
                [server],
                name="eventlog",
                allow_reconnect=False,
                no_echo=True,  # The store's own messages need no echo.
                # Two attempts without a pause; then the next server is tried.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                pending_size=PENDING_BYTES,
                user_credentials=self._credentials,
                **cast("dict[str, Any]", self._login),
                **options,
                closed_cb=closed,
                error_cb=note,
            )
        except (OSError, Error) as error:
            await self._drop(client)
            raise mapped_connect(said[0] if said else error, self._where) from error
        try:
            await self._greet(client)
        except BaseException:
            await self._drop(client)
            raise
        return client

    def abandon(self) -> None:
        """Leave everything to the parent; a forked child may do no more."""
        _inherited.append(self)

    def close(self) -> None:
        """Close the connection and end the thread."""

        async def close() -> None:
            if self._client is not None:
                await self._drop(self._client)
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            if rest:  # Requests that wait for an answer end with an error.
                await asyncio.wait(rest, timeout=CLOSE_SECONDS)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.sleep(0)  # Closed transports are notified in the loop's next iteration.

        with self._gate:
            self._closed = True
        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _TLSClient(Client):
    """A client that sends nothing to a server without TLS, least of all a password."""

    async def _process_info(
        self,
        info: Any,
        initial_connection: bool = False,  # noqa: FBT002 - the signature is nats-py's
    ) -> None:
        if not info.get("tls_required"):
            raise Error("the server offers no TLS, which the URL asks for")
        await super()._process_info(info, initial_connection)


def _login(user: str) -> dict[str, str]:
    """Return how nats-py takes ``name:password`` or a token, both percent-encoded as in a URL."""
    name, colon, password = user.partition(":")
    if colon:
        return {"user": unquote(name), "password": unquote(password)}
    return {"token": unquote(user)} if user else {}


def _note_failed_task(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ignore the error: the requests that wait for an answer report it."""
    error = context.get("exception") or context["message"]
    log_fact(logging.DEBUG, "connection_failed", error=str(error))


_inherited: list[Link] = []
"""Objects inherited from the parent that a forked child must neither use nor close."""
