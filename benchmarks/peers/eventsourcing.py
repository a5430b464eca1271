"""eventsourcing: aggregates whose events are stored in SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.workload import Timing, chat_item, timed

__all__ = ["appends", "replay"]


class Chat(Aggregate):
    """A conversation as an aggregate that counts its messages."""

    def __init__(self) -> None:
        self.messages = 0

    @event("MessageAppended")
    def append(self, message: dict[str, str]) -> None:
        self.messages += 1


def _eventsourcing(path: Path) -> Application[UUID]:
    environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
    return Application[UUID](env=environment)


def appends(path: Path, count: int, sessions: int = 1) -> Timing:
    """Trigger and save one event after the other; sessions side by side in asyncio's threads."""
    application = _eventsourcing(path)
    chats = [Chat() for _ in range(sessions)]
    for aggregate in chats:
        application.save(aggregate)

    def append_all(aggregate: Any) -> None:
        for _ in range(count // sessions):
            aggregate.append(chat_item())
            application.save(aggregate)

    async def append_side_by_side() -> None:
        await asyncio.gather(*(asyncio.to_thread(append_all, chat) for chat in chats))

    with timed(count) as result:
        if sessions == 1:
            append_all(chats[0])
        else:
            asyncio.run(append_side_by_side())
    application.close()
    return result()


def replay(path: Path, count: int) -> Timing:
    """Read, decode and fold one aggregate."""
    application = _eventsourcing(path)
    aggregate = Chat()
    for _ in range(count):
        aggregate.append(chat_item())
    application.save(aggregate)
    with timed(count) as result:
        replayed: Any = application.repository.get(aggregate.id)
    assert replayed.messages == count
    application.close()
    return result()
