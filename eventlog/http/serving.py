"""Serving a log by itself: a token, a socket, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Final

import uvicorn
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from eventlog import AsyncLog, InvalidArgument
from eventlog.http.application import LOOPBACK, Pages, create_app
from eventlog.http.limits import Limits
from eventlog.http.peers import BoundedProtocol, bounded_protocol
from eventlog.http.principal import ANY, Authorize, Principal

__all__ = ["by_token", "hosts_for", "is_loopback", "new_loop", "serve"]

TOKEN_CHARACTERS: Final = 16
"""A token that others may try to guess has at least this many characters."""

GRACE_SECONDS: Final = 5
"""How long requests that run may go on once the server is to stop."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_for(host: str, more: Sequence[str]) -> tuple[str, ...]:
    """Return the names by which a server may be called that listens at an address."""
    if is_loopback(host):
        return (*LOOPBACK, host, *more)
    if host in ("0.0.0.0", "::", "") and not more:  # noqa: S104 - it is compared, not bound
        return ("*",)  # The token is what a page of another site lacks.
    return (host, *more)


def by_token(token: str | None) -> Authorize:
    """Return what lets in who has the token, as an operator; everybody if there is none."""
    if token is None:
        return lambda request: Principal(ANY)
    expected = token.encode()

    def authorize(request: Request) -> Principal | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), expected)
        return Principal(ANY) if scheme.lower() == "bearer" and is_same else None

    return authorize


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop for a server: uvloop's where it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:  # On Windows there is none.
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller: uvicorn's raises them again, exit status -15."""

    def __init__(self, config: uvicorn.Config, started: Callable[[str, int], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port, *_ = self.servers[0].sockets[0].getsockname()
            self._tell(host, port)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(
    log: AsyncLog,
    *,
    host: str = "127.0.0.1",
    port: int = 8137,
    token: str | None = None,
    hosts: Sequence[str] = (),
    limits: Limits | None = None,
    pages: Pages | None = None,
    started: Callable[[str, int], None] = lambda host, port: None,
) -> None:
    """Serve a log until SIGTERM or SIGINT, and end the streams of events that are open.

    ``started`` is called with the address once requests are accepted; with port 0 the system
    chooses one. Beyond this machine's own addresses a token is required: raises `InvalidArgument`.
    """
    if not is_loopback(host) and token is None:
        raise InvalidArgument(
            f"{host} can be reached from other machines; give --token or EVENTLOG_TOKEN, or listen "
            "on 127.0.0.1"
        )
    if token is not None and (len(token) < TOKEN_CHARACTERS or not token.isprintable()):
        raise InvalidArgument(
            f"a token has at least {TOKEN_CHARACTERS} characters; `openssl rand -hex 32` draws one"
        )
    limits = limits or Limits()
    app = create_app(
        log,
        authorize=by_token(token),
        hosts=hosts_for(host, hosts),
        limits=limits,
        pages=pages,
    )

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http" or not server.should_exit:
                raise
            await app.refuse_stopped(scope, receive, send)

    server = _Server(
        uvicorn.Config(
            served,
            host=host,
            port=port,
            http=bounded_protocol(limits),
            log_config=None,
            log_level="error",  # Warnings are about requests; a peer could fill the log with them.
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
        started,
    )

    def stop() -> None:
        server.should_exit = True
        app.end_streams()
        for connection in [*server.server_state.connections]:
            if isinstance(connection, BoundedProtocol):
                connection.end_stream()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C interrupts as usual.
            loop.add_signal_handler(number, stop)
    await server.serve()
