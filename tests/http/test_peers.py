"""Peers that send half a request, too much of it, or do not read: they are cut off, others are served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest

from eventlog import AsyncLog, Log, Message
from eventlog.http import Limits, peers
from eventlog.http.serving import serve
from eventlog.stores.memory import MemoryStore
from tests.http.api import until

START = b"GET /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LARGE = 400_000
"""The characters of a message that fills the buffers of a connection soon."""


def serving(limits: Limits, use: Callable[[int], Awaitable[None]], *, messages: int = 0) -> None:
    """Serve a log on a real socket while something uses it, and stop as SIGTERM does."""

    async def main() -> None:
        log = Log(MemoryStore())
        session = log.session("s", create=True)
        session.ensure_created()
        for _ in range(messages):
            session.append(Message.user("x" * LARGE))
        ports: asyncio.Queue[int] = asyncio.Queue()
        server = asyncio.create_task(
            serve(
                AsyncLog(log),
                port=0,
                limits=limits,
                started=lambda host, port: ports.put_nowait(port),
            )
        )
        port = await ports.get()
        try:
            async with asyncio.timeout(60):
                await use(port)
        finally:
            signal.raise_signal(signal.SIGTERM)
            await server
            log.close()

    asyncio.run(main())


async def is_served(port: int) -> bool:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer: httpx2.Response = await client.get("/api/v1/sessions/s")
        return answer.status_code == 200


async def said_to(port: int, sent: list[bytes]) -> bytes:
    """Send pieces and no more, and return what is answered until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


WHOLE = START + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([], [b"408"]),
        ([START], [b"408"]),
        ([b"\r\n", b"\r\n"], [b"408"]),
        ([WHOLE, START], [b"200", b"408"]),
        ([WHOLE + START], [b"200", b"408"]),
        ([START, b"X-Long: " + b"y" * 70_000], [b"431"]),
        ([START, b"X-A: b\r\n" * 9_000], [b"431"]),
        ([b"GET /" + b"z" * 70_000], [b"431"]),
    ],
)
def test_a_header_that_does_not_end_is_answered_and_the_connection_closed(
    sent: list[bytes], answers: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    timers = Timers(monkeypatch)

    async def use(port: int) -> None:
        saying = asyncio.ensure_future(said_to(port, sent))
        await until(lambda: timers.has_come(sum(map(len, sent))))
        assert await is_served(port)
        timers.ring()
        said = await saying
        found = [piece.split(b" ")[1] for piece in said.split(b"HTTP/1.1")[1:]]
        assert found == answers, said
        assert await is_served(port)

    serving(Limits(), use)


class Timers:
    """The timers of connections, which ring when the test says so; and what comes on the first one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls: dict[peers._Timer, Callable[[], None]] = {}
        self._first: peers.BoundedProtocol | None = None
        self._received = 0
        made = peers.BoundedProtocol.connection_made
        received = peers.BoundedProtocol.data_received

        def begin(timer: peers._Timer, loop: object, seconds: float, call: Any) -> None:
            timer.end()
            self._calls[timer] = call
            cancel = partial(self._calls.pop, timer, None)
            timer._handle = cast("Any", SimpleNamespace(cancel=cancel))

        def connection_made(protocol: peers.BoundedProtocol, transport: Any) -> None:
            self._first = self._first or protocol
            made(protocol, transport)

        def data_received(protocol: peers.BoundedProtocol, data: bytes) -> None:
            received(protocol, data)
            self._received += len(data) if protocol is self._first else 0

        monkeypatch.setattr(peers._Timer, "begin", begin)
        monkeypatch.setattr(peers.BoundedProtocol, "connection_made", connection_made)
        monkeypatch.setattr(peers.BoundedProtocol, "data_received", data_received)

    def has_come(self, size: int) -> bool:
        """Return whether the first connection has that many bytes, and its answers are written."""
        first = self._first
        if first is None or first.transport.is_closing():
            return first is not None
        cycle: Any = first.cycle
        return self._received == size and (cycle is None or cycle.response_complete)

    def ring(self) -> None:
        for call in [*self._calls.values()]:
            call()


def test_half_a_body_is_answered_and_the_connection_closed() -> None:
    head = (
        b"POST /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    )

    async def use(port: int) -> None:
        half = head + b"Content-Length: 1000\r\n\r\n{"
        said, served = await asyncio.gather(said_to(port, [half]), is_served(port))
        assert said.startswith(b"HTTP/1.1 408 ")
        assert served

    serving(Limits(body_seconds=0.3), use)


def test_a_request_that_the_end_cuts_off_is_asked_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventlog.http.serving.GRACE_SECONDS", 0)
    head = b"POST /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

    async def use(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        signal.raise_signal(signal.SIGTERM)
        answer = await reader.read()
        assert answer.startswith(b"\r\nHTTP/1.1 503 ")
        assert b"indeterminate" in answer
        writer.close()

    serving(Limits(), use)


def test_a_peer_that_reads_nothing_of_a_stream_does_not_hold_up_the_end() -> None:
    cut = asyncio.Event()

    async def use(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        request = START.replace(b"sessions", b"sessions/s/events")
        writer.write(request + b"Accept: text/event-stream\r\n\r\n")
        await reader.readline()
        assert await is_served(port)
        signal.raise_signal(signal.SIGTERM)
        with suppress(ConnectionResetError):
            while await reader.read(100_000):
                pass
        cut.set()
        writer.close()

    serving(Limits(), use, messages=60)
    assert cut.is_set()


def test_a_peer_that_reads_nothing_is_cut_off_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits for it is no more than the buffers of one connection."""
    waiting: dict[peers.BoundedProtocol, int] = {}
    cut = asyncio.Event()
    connection_lost = peers.BoundedProtocol.connection_lost
    pause_writing = peers.BoundedProtocol.pause_writing

    def noted(self: peers.BoundedProtocol, error: Exception | None) -> None:
        if self in waiting:
            cut.set()
        connection_lost(self, error)

    def paused(self: peers.BoundedProtocol) -> None:
        waiting[self] = self.transport.get_write_buffer_size()
        pause_writing(self)

    monkeypatch.setattr(peers.BoundedProtocol, "connection_lost", noted)
    monkeypatch.setattr(peers.BoundedProtocol, "pause_writing", paused)

    async def use(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        request = START.replace(b"sessions", b"sessions/s/events")
        writer.write(request + b"Accept: text/event-stream\r\n\r\n")
        await reader.readline()
        assert await is_served(port)
        await cut.wait()
        assert max(waiting.values()) < 4 * LARGE
        assert await is_served(port)
        writer.transport.abort()

    serving(Limits(write_seconds=0.3), use, messages=60)


def test_fields_behind_a_body_are_no_part_of_its_header() -> None:
    head = b"POST /api/v1/sessions/s/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"role": "user", "content": "hi"}'
    trailers = b"Host: evil.example\r\nIf-Match: 99\r\nConnection: close\r\n"

    async def use(port: int) -> None:
        whole = head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole)
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        writer.close()

    serving(Limits(), use)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (b"http://127.0.0.1/api/v1/sessions", b"200"),
        (b"http://evil.example/api/v1/sessions", b"403"),
    ],
)
def test_the_host_of_a_whole_url_counts_in_place_of_the_field(url: bytes, status: bytes) -> None:
    async def use(port: int) -> None:
        request = START.replace(b"/api/v1/sessions", url) + b"Connection: close\r\n\r\n"
        assert (await said_to(port, [request])).split(b" ")[1] == status

    serving(Limits(), use)
