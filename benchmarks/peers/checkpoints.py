"""LangGraph: `SqliteSaver`, which stores a checkpoint with the whole list of messages each time."""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path
from typing import Any

from benchmarks.contenders import raw_connection
from benchmarks.workload import Timing, chat_item, timed

__all__ = ["appends"]

sqlite: Any = importlib.import_module("langgraph.checkpoint.sqlite")
base: Any = importlib.import_module("langgraph.checkpoint.base")


def appends(path: Path, count: int) -> Timing:
    """Store a checkpoint after each message, as a graph with one channel of messages does."""
    raw_connection(path).close()  # Into WAL mode.
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA synchronous = full")
    saver = sqlite.SqliteSaver(connection)
    config: Any = {"configurable": {"thread_id": "chat", "checkpoint_ns": ""}}
    messages: list[dict[str, str]] = []
    with timed(count) as result:
        for version in range(1, count + 1):
            messages.append(chat_item())
            checkpoint = {
                **base.empty_checkpoint(),
                "channel_values": {"messages": list(messages)},
                "channel_versions": {"messages": version},
            }
            metadata = {"source": "loop", "step": version, "parents": {}}
            config = saver.put(config, checkpoint, metadata, {"messages": version})
    assert len(list(saver.list(config, limit=1))) == 1
    connection.close()
    return result()
