"""How long a single append waits while 64 sessions append at once (B21)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import eventlog
from benchmarks.results import Row, Scale
from benchmarks.wal import PAGES
from benchmarks.workload import messages
from eventlog import AsyncSession

__all__ = ["BESIDE", "SHARES", "Waits", "latency_rows", "waits"]

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


def latency_rows(scale: Scale) -> Iterator[Row]:
    """Yield a line for each thing that runs beside the appends."""
    limits = {"alone": (0.015, 0.025), "beside 4 readers": (None, 0.050)}
    for name, programs in BESIDE.items():
        with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
            seen = waits(Path(folder, "waits.db"), scale.waited_seconds, programs)
        at = dict(zip(SHARES, seen.at, strict=True))
        p99, p999 = limits.get(name, (None, None))
        goals = [f"p99 ≤ {p99 * 1e3:.0f} ms"] if p99 else []
        goals += [f"p99.9 ≤ {p999 * 1e3:.0f} ms"] if p999 else []
        yield Row(
            f"64 sessions, {name}; {seen.per_second:,.0f}/s",
            f"p50 {at[0.5] * 1e3:.1f} ms, p99 {at[0.99] * 1e3:.1f} ms, p99.9 {at[0.999] * 1e3:.1f} ms",
            {},
            ", ".join(goals),
            (p99 is None or at[0.99] <= p99) and at[0.999] <= p999 if p999 else None,
            "ms",
            {},
            [(share, seconds * 1e3) for share, seconds in at.items()],
        )
