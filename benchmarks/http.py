"""Appends over HTTP: what the server's process spends on each, the durable append included."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import eventlog
from benchmarks.workload import TEXT, Timing
from eventlog.http.serving import new_loop, serve

__all__ = ["appends"]

HOST = "127.0.0.1"

WARM_UP = 20
"""Requests of each connection before the measurement."""


class Server(NamedTuple):
    """A process of its own that serves a log, as ``eventlog serve`` does."""

    process: subprocess.Popen[str]
    port: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads."""
        return float(self._ask("cpu"))

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline()


@contextmanager
def served(path: Path) -> Generator[Server]:
    """Run a server of a new log."""
    command = [sys.executable, "-m", "benchmarks.http", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.stdin.close()  # It ends with its input.


def appends(path: Path, count: int, connections: int) -> Timing:
    """Append from many connections at once, one session and one message at a time each."""
    with served(path) as server:
        return asyncio.run(_append_all(server, count // connections, connections))


async def _append_all(server: Server, each: int, connections: int) -> Timing:
    opened = [await asyncio.open_connection(HOST, server.port) for _ in range(connections)]

    async def post(number: int, requests: int) -> None:
        reader, writer = opened[number]
        content = _request(number)
        for _ in range(requests):
            writer.write(content)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *fields = head.lower().split(b"\r\n")
            assert b" 201 " in status, head
            (length,) = (field[15:] for field in fields if field.startswith(b"content-length:"))
            await reader.readexactly(int(length))

    async def post_all(requests: int) -> None:
        await asyncio.gather(*(post(number, requests) for number in range(connections)))

    await post_all(WARM_UP)
    cpu, wall = server.cpu_seconds(), time.perf_counter()
    await post_all(each)
    ended = time.perf_counter()
    timing = Timing(each * connections, ended - wall, server.cpu_seconds() - cpu)
    for _, writer in opened:
        writer.close()
    return timing


def _request(number: int) -> bytes:
    message = {"role": "user", "parts": [{"type": "text", "text": TEXT}]}
    body = json.dumps(message).encode()
    head = (
        f"POST /api/v1/sessions/chat-{number}/messages HTTP/1.1\r\n"
        f"Host: {HOST}\r\n"
        "Accept: application/json\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _serve(path: str) -> None:
    """Serve a log on a free port, and answer each line of input with the CPU time so far."""

    def answer() -> None:
        for _ in sys.stdin:
            _say(time.process_time())
        os.kill(os.getpid(), signal.SIGTERM)

    def started(_: str, port: int) -> None:
        _say(port)
        threading.Thread(target=answer, daemon=True).start()

    async def run() -> None:
        async with eventlog.open_async(f"sqlite:///{path}") as log:
            await serve(log, port=0, started=started)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


def _say(figure: float) -> None:
    sys.stdout.write(f"{figure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
