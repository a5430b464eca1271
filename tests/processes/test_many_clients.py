"""Many clients of one server over connections that are cut: each message that was answered is there once.

``python -m tests.processes.test_many_clients 200 50 20`` runs 200 clients on 50 sessions for 20 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

import eventlog
from eventlog import EventLogError, Message
from eventlog.http import AsyncClient
from tests.account import figures

ROOT = Path(eventlog.__file__).parents[1]
MESSAGES = 6
"""How many messages a client appends in the suite."""


class CuttingProxy:
    """Carries bytes to a server, and cuts some connections after some of them, either way."""

    def __init__(self, port: int, seed: int, share: float) -> None:
        self._port = port
        self._draw = random.Random(seed)
        self._share = share
        self._carrying: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self._server: asyncio.Server | None = None

    async def begin(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def end(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
        self._carrying.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        left = self._draw.randint(0, 4_000) if self._draw.random() < self._share else None
        pumps = [
            asyncio.ensure_future(self._pump(reader, to_writer, left)),
            asyncio.ensure_future(self._pump(to_reader, writer, left)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.transport.abort()
            to_writer.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, left: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if left is not None and len(data) >= left:
                    self.cuts += 1
                    return  # What is in between is lost.
                left = None if left is None else left - len(data)
                to.write(data)
                await to.drain()


class Outcome(NamedTuple):
    """What became of what the clients appended."""

    acknowledged: int
    doubled: int
    missing: int
    errors: Counter[str]
    cuts: int


async def client_of(
    url: str, sessions: int, number: int, seconds: float | None, said: set[tuple[str, str]]
) -> Counter[str]:
    """Append to sessions in turn until the time is over, or for `MESSAGES`; note what is answered."""
    draw = random.Random(number)
    errors: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    async with AsyncClient(url, attempts=30, sleep=lambda _: asyncio.sleep(0.05)) as client:
        count = 0
        while (count < MESSAGES) if end is None else (loop.time() < end):
            name = f"s{draw.randrange(sessions)}"
            message = Message.user(f"{number}/{count}", id=f"m{number}-{count}")
            try:
                session = await client.session(name, create=True)
                await session.append(message)
            except EventLogError as error:
                errors[f"{type(error).__name__}: {str(error)[:80]}"] += 1
            else:
                said.add((name, message.id))
            count += 1
    return errors


async def through_cuts(
    port: int, clients: int, sessions: int, seconds: float | None
) -> tuple[set[tuple[str, str]], Counter[str], int]:
    proxy = CuttingProxy(port, 1, share=0.3)
    url = f"http://127.0.0.1:{await proxy.begin()}"
    said: set[tuple[str, str]] = set()
    tasks = [client_of(url, sessions, number, seconds, said) for number in range(clients)]
    found = await asyncio.gather(*tasks)
    await proxy.end()
    return said, sum(found, Counter()), proxy.cuts


def run(folder: Path, clients: int, sessions: int, seconds: float | None) -> Outcome:
    """Serve a log, have clients append to it, and compare with what is stored in the end."""
    store = f"sqlite:///{folder}/log.db"
    with subprocess.Popen(
        [sys.executable, "-m", "eventlog", "--store", store, "serve", "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.match(r"serving at http://127\.0\.0\.1:(\d+); ", line)
        assert found, line
        try:
            said, errors, cuts = asyncio.run(
                through_cuts(int(found[1]), clients, sessions, seconds)
            )
        finally:
            process.terminate()
            process.stderr.read()
        assert process.wait(60) == 0
    with eventlog.open(store) as log:
        stored = Counter(
            (session, message.id)
            for session in log.sessions()
            for message in log.session(session).tail()
        )
    return Outcome(
        acknowledged=len(said),
        doubled=sum(count - 1 for count in stored.values()),
        missing=len(said - stored.keys()),
        errors=errors,
        cuts=cuts,
    )


def test_each_message_that_was_answered_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, P8, R9."""
    monkeypatch.chdir(tmp_path)
    outcome = run(tmp_path, clients=12, sessions=4, seconds=None)
    assert (outcome.doubled, outcome.missing, outcome.errors) == (0, 0, Counter())
    assert outcome.acknowledged == 12 * MESSAGES
    assert outcome.cuts > 0
    figures("connections of clients cut")["cuts"] += outcome.cuts


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        clients, sessions, seconds = (int(text) for text in sys.argv[1:4])
        print(run(Path(place), clients, sessions, seconds))
