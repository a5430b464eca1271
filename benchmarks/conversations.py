"""Conversations of a file as a mixed load: appends, contexts, commits, and archives that are finalised."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import eventlog
from benchmarks.results import Row
from eventlog import AsyncLog, AsyncWorker, Message
from eventlog.exchange.reading import read_conversations

__all__ = ["conversation_rows"]

T = TypeVar("T")

BUDGET = 8_000
"""Tokens of the context that is read before each answer."""

LIVE = 20
"""Messages after which a session is committed; the newest four stay live."""

Taken = dict[str, list[float]]
"""The seconds of each operation, every time."""


def conversation_rows(path: Path) -> Iterator[Row]:
    """Yield what each operation takes when all conversations of a file are held at once."""
    conversations = [found.messages for found in read_conversations(path)]
    if not conversations:
        yield Row("not measured", f"{path.name} has no conversations")
        return
    taken: Taken = {}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
        asyncio.run(_hold_all(f"sqlite:///{folder}/held.db", conversations, taken))
    seconds = time.perf_counter() - began
    rate = len(taken["append"]) / seconds
    yield Row(
        f"{len(conversations):,} conversations at once, messages",
        f"{rate:,.0f}/s with all that follows",
    )
    for name, times in taken.items():
        times.sort()
        yield Row(name, f"p50 {_at(times, 0.5)}, p99 {_at(times, 0.99)}; {len(times):,} times")


def _at(times: list[float], share: float) -> str:
    return f"{times[min(int(len(times) * share), len(times) - 1)] * 1e3:.2f} ms"


async def _hold_all(url: str, conversations: Sequence[Sequence[Message]], taken: Taken) -> None:
    """Hold all conversations at once, then finalise what is left."""
    async with eventlog.open_async(url) as log:
        held = (_hold(log, f"c-{n}", each, taken) for n, each in enumerate(conversations))
        await asyncio.gather(*held)
        archives = await _timed(taken, "finalise all archives", AsyncWorker(log).run_once())
        assert archives or not taken.get("commit")


async def _hold(log: AsyncLog, name: str, messages: Sequence[Message], taken: Taken) -> None:
    """Hold one conversation: before each answer its context is read, as for a model."""
    session = await log.session(name, create=True)
    for message in messages:
        if message.role == "assistant":
            await _timed(taken, "context", session.context(token_budget=BUDGET))
        await _timed(taken, "append", session.append(message))
        if session.meta.message_count >= LIVE:
            await _timed(taken, "commit", session.commit(keep_recent=4))


async def _timed(taken: Taken, name: str, work: Awaitable[T]) -> T:
    begun = time.perf_counter()
    result = await work
    taken.setdefault(name, []).append(time.perf_counter() - begun)
    return result
