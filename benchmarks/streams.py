"""Streamed messages: what a token costs, and what reading costs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import eventlog
from benchmarks.views import viewed
from benchmarks.workload import TEXT, Timing, timed
from eventlog import AsyncMessageStream, Message, Session

__all__ = ["brought", "fill", "read_back", "streamed"]

STREAMS = 10
TOKENS_PER_SECOND = 150
TICKS_PER_SECOND = 30
AT_ONCE = TOKENS_PER_SECOND // TICKS_PER_SECOND
PIECE = "token "


def streamed(path: Path, seconds: float) -> Timing:
    """Write ten messages at once, 150 tokens a second each, as ten models would bring them.

    One message was written before: the classes of its events are built once per process.
    """

    async def run() -> Timing:
        async with eventlog.open_async(f"sqlite:///{path}") as log:
            async with (await log.session("first", create=True)).stream() as out:
                await out.write(PIECE)
            sessions = [await log.session(f"s{n}", create=True) for n in range(STREAMS)]
            opened = [await session.stream().__aenter__() for session in sessions]

            async def write(out: AsyncMessageStream) -> None:
                await out.write(PIECE)

            with timed(_tokens(seconds)) as result:
                await _bring(seconds, [partial(write, out) for out in opened])
                for out in opened:
                    await out.end()
            return result()

    return asyncio.run(run())


def brought(seconds: float) -> Timing:
    """Bring the same tokens and do nothing with them: what that takes is not the library's."""

    async def drop() -> None:
        pass

    async def run() -> Timing:
        with timed(_tokens(seconds)) as result:
            await _bring(seconds, [drop] * STREAMS)
        return result()

    return asyncio.run(run())


def _tokens(seconds: float) -> int:
    return _ticks(seconds) * AT_ONCE * STREAMS


def _ticks(seconds: float) -> int:
    return max(1, int(seconds * TICKS_PER_SECOND))


async def _bring(seconds: float, takers: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Call each with the tokens of a tick, tick after tick."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for tick in range(1, _ticks(seconds) + 1):
        for take in takers:
            for _ in range(AT_ONCE):
                await take()
        await asyncio.sleep(max(0.0, begun + tick / TICKS_PER_SECOND - loop.time()))


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
