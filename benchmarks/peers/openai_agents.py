"""openai-agents: `SQLiteSession`, which keeps the items of a session as plain dictionaries."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents import SQLiteSession

from benchmarks.workload import Timing, chat_item, timed

__all__ = ["appends", "load"]


def appends(path: Path, count: int, sessions: int = 1) -> Timing:
    """Add one item after the other; sessions side by side in asyncio."""
    opened = [SQLiteSession(f"chat-{number}", path) for number in range(sessions)]

    async def append_all(session: SQLiteSession) -> None:
        for _ in range(count // sessions):
            await session.add_items([chat_item()])  # type: ignore[list-item]

    async def append_side_by_side() -> None:
        await asyncio.gather(*(append_all(session) for session in opened))

    with timed(count) as result:
        asyncio.run(append_side_by_side())
    for session in opened:
        session.close()
    return result()


def load(path: Path, count: int) -> Timing:
    """Load a session as plain dictionaries."""
    session = SQLiteSession("chat", path)

    async def fill() -> None:
        for begin in range(0, count, 500):
            items = [chat_item() for _ in range(min(500, count - begin))]
            await session.add_items(items)  # type: ignore[arg-type]  # plain dictionaries, as above

    asyncio.run(fill())
    with timed(count) as result:
        items = asyncio.run(session.get_items())
    assert len(items) == count
    session.close()
    return result()
