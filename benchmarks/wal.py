"""The WAL beside writers and readers that overlap (B18)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import eventlog
from eventlog import AsyncSession, Message

__all__ = ["PAGES", "Pressure", "under_pressure"]

PAGES = """
import sys, time, eventlog
end, count = time.monotonic() + float(sys.argv[2]), 0
with eventlog.open(sys.argv[1]) as log:
    while time.monotonic() < end:
        for _ in log.store.read_all():
            count += 1
            if time.monotonic() > end:
                break
print(count)
"""
"""Reads the whole log again and again, through the library."""

_HOLDS = """
import sqlite3, sys, time
end, hold = time.monotonic() + float(sys.argv[2]), float(sys.argv[3])
time.sleep(hold * int(sys.argv[4]) / 4)
connection, count = sqlite3.connect(sys.argv[1].removeprefix("sqlite:///"), isolation_level=None), 0
while time.monotonic() < end:
    connection.execute("BEGIN")
    connection.execute("SELECT max(position) FROM records").fetchall()
    time.sleep(hold)
    connection.execute("COMMIT")
    count += 1
print(count)
"""
"""Keeps a read transaction open for a while, again and again, as another program may."""


class Pressure(NamedTuple):
    """What was seen."""

    appends_per_second: float
    largest_wal: int
    """In bytes, looked at every 20 ms."""
    p99: float
    p999: float
    """Seconds that an append took."""
    failed_readers: int


def under_pressure(path: Path, seconds: float, hold_seconds: float | None) -> Pressure:
    """Append to 64 sessions beside four readers: of the library's pages, or that hold a transaction."""
    url = f"sqlite:///{path}"
    with eventlog.open(url) as log:
        log.session("chat-0", create=True).append(Message.user("hello"))
    readers = [_reader(url, seconds, hold_seconds, number) for number in range(4)]
    try:
        waits, largest = asyncio.run(_write(url, path, seconds))
    finally:
        failed = sum(reader.wait(seconds + 60) != 0 for reader in readers)
    waits.sort()
    return Pressure(
        len(waits) / seconds,
        largest,
        waits[int(len(waits) * 0.99)],
        waits[int(len(waits) * 0.999)],
        failed,
    )


def _reader(
    url: str, seconds: float, hold_seconds: float | None, number: int
) -> subprocess.Popen[bytes]:
    program = PAGES if hold_seconds is None else _HOLDS
    arguments = [url, str(seconds), str(hold_seconds), str(number)]
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)


async def _write(url: str, path: Path, seconds: float) -> tuple[list[float], int]:
    end = 0.0
    waits: list[float] = []
    largest = 0

    async def write(session: AsyncSession) -> None:
        while not waits or time.monotonic() < end:
            begun = time.monotonic()
            await session.append(Message.user("x" * 350))
            waits.append(time.monotonic() - begun)

    async def watch() -> None:
        nonlocal largest
        while time.monotonic() < end:
            largest = max(largest, (await log.health()).wal_bytes or 0)
            await asyncio.sleep(0.02)

    async with eventlog.open_async(url) as log:
        sessions = [await log.session(f"chat-{n}", create=True) for n in range(64)]
        end = time.monotonic() + seconds
        await asyncio.gather(watch(), *(write(session) for session in sessions))
    return waits, largest
