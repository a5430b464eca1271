"""What an append is compared with: raw sqlite3 and a plain file with a sync per append; other
libraries, on SQLite with a sync per commit, are in `benchmarks.peers`.

``synchronous`` is read back from each one's connection settings, because a library that syncs less
would not be comparable.
"""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from benchmarks.workload import TEXT, Timing, timed

__all__ = [
    "PAYLOAD",
    "peer",
    "plain_appends",
    "raw_appends",
    "raw_connection",
    "raw_read",
    "synchronous_of",
]

PAYLOAD = json.dumps({"id": "0" * 36, "role": "user", "parts": [{"type": "text", "text": TEXT}]})


def peer(name: str) -> Any:
    """Return a module of `benchmarks.peers`; raises `ImportError` if its library is not installed."""
    return importlib.import_module(f"benchmarks.peers.{name}")


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


def raw_connection(path: Path) -> sqlite3.Connection:
    """Open a file in WAL mode with a sync per commit, with a table of messages."""
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
    connection = raw_connection(path)
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
    connection = raw_connection(path)
    with timed(count) as result:
        rows = connection.execute("SELECT data FROM message ORDER BY id LIMIT ?", (count,))
        read = [json.loads(data) for (data,) in rows]
    assert len(read) == count
    connection.close()
    return result()
