"""Peers that send half a request, too much of it, or do not read: they are cut off, others are served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from eventlog import AsyncLog, Log, Message
from eventlog.http import Limits, peers
from eventlog.http.serving import serve
from eventlog.stores.memory import MemoryStore

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
    sent: list[bytes], answers: list[bytes]
) -> None:
    async def use(port: int) -> None:
        said, served = await asyncio.gather(said_to(port, sent), is_served(port))
        found = [piece.split(b" ")[1] for piece in said.split(b"HTTP/1.1")[1:]]
        assert found == answers, said
        assert served

    serving(Limits(header_seconds=0.3), use)


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


def test_a_peer_that_reads_nothing_is_cut_off_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits for it is no more than the buffers of one connection."""
    waiting: dict[peers._BoundedProtocol, int] = {}
    cut = asyncio.Event()
    connection_lost = peers._BoundedProtocol.connection_lost
    pause_writing = peers._BoundedProtocol.pause_writing

    def noted(self: peers._BoundedProtocol, error: Exception | None) -> None:
        if self in waiting:
            cut.set()
        connection_lost(self, error)

    def paused(self: peers._BoundedProtocol) -> None:
        waiting[self] = self.transport.get_write_buffer_size()
        pause_writing(self)

    monkeypatch.setattr(peers._BoundedProtocol, "connection_lost", noted)
    monkeypatch.setattr(peers._BoundedProtocol, "pause_writing", paused)

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
