"""Reading: views of a long session, whole conversations, lists of sessions, and the summariser."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventlog
from benchmarks.workload import TEXT, Timing, best_of, messages, timed
from eventlog import Message, Session, SummaryRequest
from eventlog.engine.listings import list_sessions
from eventlog.log import engine_of
from eventlog.summary.summarizer import summarize

__all__ = ["VIEWS", "conversation", "fill_sessions", "listed", "summarised", "viewed", "whole"]

VIEWS: dict[str, Callable[[Session], Any]] = {
    "context(token_budget=8_000)": lambda session: session.context(token_budget=8_000),
    "tail(last=20)": lambda session: session.tail(last=20),
    "truncated(recent=20)": lambda session: session.truncated(recent=20),
}

AT_ONCE = 512
"""Sessions that are filled at the same time."""


def viewed(path: Path, view: Callable[[Session], Any], runs: int = 30) -> tuple[Timing, int]:
    """Read a view of a session that is open: the best of many, and the peak of memory in bytes."""
    best = cpu = 1e9
    with eventlog.open(f"sqlite:///{path}") as log:
        session = log.session("chat")
        view(session)
        for _ in range(runs):
            begun, cpu_begun = time.perf_counter(), time.process_time()
            view(session)
            best = min(best, time.perf_counter() - begun)
            cpu = min(cpu, time.process_time() - cpu_begun)
        gc.collect()
        tracemalloc.start()
        view(session)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return Timing(1, best, cpu), peak


def whole(path: Path, count: int, read: Callable[[Session], tuple[Message, ...]]) -> Timing:
    """Read all messages of a session at once."""
    with eventlog.open(f"sqlite:///{path}") as log:
        session = log.session("chat")
        with timed(count) as result:
            found = read(session)
        assert len(found) == count
    return result()


def fill_sessions(path: Path, count: int) -> None:
    """Write sessions of one message each."""

    async def run() -> None:
        async with eventlog.open_async(f"sqlite:///{path}?synchronous=off") as log:
            for start in range(0, count, AT_ONCE):
                names = [f"chat-{number:06d}" for number in range(start, start + AT_ONCE)]
                opened = [await log.session(name, create=True) for name in names[: count - start]]
                await asyncio.gather(*(session.append(Message.user(TEXT)) for session in opened))

    asyncio.run(run())


def listed(path: Path, count: int) -> Timing:
    """List all sessions, as ``eventlog ls`` does."""
    with eventlog.open(f"sqlite:///{path}") as log, timed(count) as result:
        found = sum(1 for _ in list_sessions(engine_of(log).store))
    assert found == count
    return result()


def conversation(count: int) -> list[Message]:
    """Build questions and answers in turn."""
    return [
        message if place % 2 else Message.assistant(message.text)
        for place, message in enumerate(messages(count))
    ]


def summarised(count: int, runs: int) -> Timing:
    """Summarise an archive without a model."""
    request = SummaryRequest(
        session_id="chat",
        archive_id="archive_001",
        messages=tuple(conversation(count)),
        previous_overview="",
        uncovered=(),
    )

    def measure() -> Timing:
        with timed(count) as result:
            summarize(request)
        return result()

    return best_of(runs, measure)
