"""How long a single append waits while 64 sessions append at once (B21)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import eventlog
from benchmarks.wal import PAGES
from benchmarks.workload import messages
from eventlog import AsyncSession

__all__ = ["BESIDE", "SHARES", "Waits", "waits"]

SESSIONS = 64

SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)
"""Of the appends: 0.99 stands for the time that 99 of 100 take at most."""

_VERIFIES = """
import sys, time, eventlog
end = time.monotonic() + float(sys.argv[2])
with eventlog.open(sys.argv[1]) as log:
    while time.monotonic() < end:
        for session in log.sessions():
            assert not log.verify(session)
            if time.monotonic() > end:
                break
"""
_COPIES = """
import os, sys, time, eventlog
end, number = time.monotonic() + float(sys.argv[2]), 0
with eventlog.open(sys.argv[1]) as log:
    while time.monotonic() < end:
        log.backup(sys.argv[1].removeprefix("sqlite:///") + f".copy-{number}")
        os.remove(sys.argv[1].removeprefix("sqlite:///") + f".copy-{number}")
        number += 1
"""

BESIDE: dict[str, tuple[str, ...]] = {
    "alone": (),
    "beside 4 readers": (PAGES,) * 4,
    "beside `verify`": (_VERIFIES,),
    "beside `backup`": (_COPIES,),
}
"""What runs meanwhile, each as a program of its own."""


class Waits(NamedTuple):
    """The seconds that appends took, at each of `SHARES`, and how many there were a second."""

    at: tuple[float, ...]
    per_second: float


def waits(path: Path, seconds: float, programs: tuple[str, ...]) -> Waits:
    """Append to 64 sessions for a while beside other programs."""
    url = f"sqlite:///{path}"
    eventlog.open(url).close()
    with _running(programs, url, seconds):
        taken = sorted(asyncio.run(_append(url, seconds)))
    at = tuple(taken[min(int(len(taken) * share), len(taken) - 1)] for share in SHARES)
    return Waits(at, len(taken) / seconds)


@contextmanager
def _running(programs: tuple[str, ...], url: str, seconds: float) -> Generator[None]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, url, str(seconds)], stdout=subprocess.DEVNULL
        )
        for program in programs
    ]
    try:
        yield
    finally:
        failed = [process for process in started if process.wait(seconds + 120)]
    assert not failed


async def _append(url: str, seconds: float) -> list[float]:
    taken: list[float] = []
    async with eventlog.open_async(url) as log:
        sessions = [await log.session(f"chat-{n}", create=True) for n in range(SESSIONS)]
        end = time.perf_counter() + seconds

        async def append(session: AsyncSession) -> None:
            while (begun := time.perf_counter()) < end:
                await session.append(messages(1)[0])
                taken.append(time.perf_counter() - begun)

        await asyncio.gather(*(append(session) for session in sessions))
    return taken
