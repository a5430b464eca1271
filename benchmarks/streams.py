"""Streamed messages: what a token costs, and what reading costs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlog
from benchmarks.views import viewed
from benchmarks.workload import TEXT, Timing, timed
from eventlog import Message, Session

__all__ = ["fill", "read_back", "streamed"]

STREAMS = 10
TOKENS_PER_SECOND = 150
TICKS_PER_SECOND = 30
PIECE = "token "


def streamed(path: Path, seconds: float) -> Timing:
    """Write ten messages at once, 150 tokens a second each, as ten models would bring them."""
    ticks = max(1, int(seconds * TICKS_PER_SECOND))
    at_once = TOKENS_PER_SECOND // TICKS_PER_SECOND

    async def run() -> Timing:
        async with eventlog.open_async(f"sqlite:///{path}") as log:
            sessions = [await log.session(f"s{n}", create=True) for n in range(STREAMS)]
            streams = [session.stream() for session in sessions]
            opened = [await stream.__aenter__() for stream in streams]
            begun = asyncio.get_running_loop().time()
            with timed(ticks * at_once * STREAMS) as result:
                for tick in range(ticks):
                    for out in opened:
                        for _ in range(at_once):
                            await out.write(PIECE)
                    late = begun + (tick + 1) / TICKS_PER_SECOND
                    await asyncio.sleep(max(0.0, late - asyncio.get_running_loop().time()))
                for out in opened:
                    await out.end()
            return result()

    return asyncio.run(run())


def fill(path: Path, count: int, *, by_chunks: bool) -> None:
    """Write questions and answers, these in ten chunks each if ``by_chunks``."""
    with eventlog.open(f"sqlite:///{path}?synchronous=off") as log:
        session = log.session("chat", create=True)
        for _ in range(count):
            session.append(Message.user("question"))
            if not by_chunks:
                session.append(Message.assistant(TEXT))
                continue
            message_id, fence, _ = session.begin_message()
            length = -(-len(TEXT) // 10)
            for number in range(10):
                piece = TEXT[number * length : (number + 1) * length]
                session.append_chunk(message_id, fence, number + 1, piece)
            session.end_message(message_id, fence)


def read_back(
    path: Path, count: int, view: Callable[[Session], Any], *, by_chunks: bool, runs: int
) -> Timing:
    """Read a view of such a session that is open."""
    if not path.exists():
        fill(path, count, by_chunks=by_chunks)
    return viewed(path, view, runs)[0]
