"""The other libraries, each used as its documentation shows, on SQLite with a sync per commit.

``synchronous`` is read back from each one's connection settings, because a library that syncs less
would not be comparable.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

from agents import SQLiteSession
from dbos import DBOS
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.workload import TEXT, Timing, chat_item, timed

__all__ = [
    "dbos_workflows",
    "eventsourcing_appends",
    "eventsourcing_replay",
    "openai_appends",
    "openai_load",
    "plain_appends",
    "raw_appends",
    "raw_read",
]

PAYLOAD = json.dumps({"id": "0" * 36, "role": "user", "parts": [{"type": "text", "text": TEXT}]})


def synchronous_of(path: Path) -> str:
    """Return how a new connection with default settings syncs this file's journal."""
    with sqlite3.connect(path) as connection:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
    connection.close()
    return f"{journal}, synchronous={level}"


# ---- a plain file -----------------------------------------------------------------------------


def plain_appends(path: Path, count: int) -> Timing:
    """One line and one fdatasync each: the least that a durable append to a file can cost."""
    line = f"{PAYLOAD}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with timed(count) as result:
        for _ in range(count):
            os.write(descriptor, line)
            os.fdatasync(descriptor)
    os.close(descriptor)
    return result()


# ---- sqlite3 ----------------------------------------------------------------------------------


def _raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute("PRAGMA journal_mode = wal").fetchone()[0] == "wal"
    connection.execute("PRAGMA synchronous = full")
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    connection.execute(
        "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, session TEXT, data TEXT)"
    )
    return connection


def raw_appends(path: Path, count: int) -> Timing:
    """One insert per transaction: the least that a durable append can cost here."""
    connection = _raw(path)
    with timed(count) as result:
        for _ in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO message (session, data) VALUES (?, ?)", ("chat", PAYLOAD)
            )
            connection.execute("COMMIT")
    connection.close()
    return result()


def raw_read(path: Path, count: int) -> Timing:
    """Read back and parse, without validation."""
    connection = _raw(path)
    with timed(count) as result:
        rows = connection.execute("SELECT data FROM message ORDER BY id LIMIT ?", (count,))
        read = [json.loads(data) for (data,) in rows]
    assert len(read) == count
    connection.close()
    return result()


# ---- eventsourcing ----------------------------------------------------------------------------


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


def eventsourcing_appends(path: Path, count: int, sessions: int = 1) -> Timing:
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


def eventsourcing_replay(path: Path, count: int) -> Timing:
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


# ---- openai-agents ----------------------------------------------------------------------------


def openai_appends(path: Path, count: int, sessions: int = 1) -> Timing:
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


def openai_load(path: Path, count: int) -> Timing:
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


# ---- dbos -------------------------------------------------------------------------------------


@DBOS.step()
def summary(text: str) -> dict[str, str]:
    """The step of a workflow, which costs nothing."""
    return {"overview": "overview", "abstract": "abstract"}


@DBOS.workflow()
def finalise(text: str) -> dict[str, str]:
    """Begin, record one step, and record the end: as many durable writes as one of our tasks."""
    answer: dict[str, str] = summary(text)
    return answer


def dbos_workflows(path: Path, count: int, at_once: int) -> Timing:
    """Call a workflow from ``at_once`` threads: twice as quick here as DBOS's queues.

    Its file is put into WAL mode beforehand, which DBOS keeps and which makes it quicker. It connects to
    nothing else: neither a conductor nor a collector of traces is configured.
    """
    _raw(path).close()
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": f"sqlite:///{path}",
            "enable_otlp": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(finalise, [TEXT] * at_once))
        with timed(count) as result:
            list(threads.map(finalise, [TEXT] * count))
    DBOS.destroy()
    assert synchronous_of(path) == "wal, synchronous=2"
    return result()
