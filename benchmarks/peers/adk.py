"""google-adk: `SqliteSessionService`, which opens a connection for each event."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from pathlib import Path
from typing import Any

from benchmarks.contenders import raw_connection
from benchmarks.workload import TEXT, Timing, timed

__all__ = ["appends"]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sessions: Any = importlib.import_module("google.adk.sessions.sqlite_session_service")
    events: Any = importlib.import_module("google.adk.events.event")
    genai: Any = importlib.import_module("google.genai.types")


def appends(path: Path, count: int, at_once: int = 1) -> Timing:
    """Append events one after the other, sessions side by side in asyncio."""
    raw_connection(path).close()  # Into WAL mode; its connections sync in full, SQLite's default.

    async def run() -> Timing:
        service = sessions.SqliteSessionService(str(path))
        opened = [
            await service.create_session(
                app_name="app", user_id="user", session_id=f"chat-{number}"
            )
            for number in range(at_once)
        ]

        async def append_all(session: Any) -> None:
            for _ in range(count // at_once):
                content = genai.Content(role="user", parts=[genai.Part(text=TEXT)])
                await service.append_event(session, events.Event(author="user", content=content))

        with timed(count) as result:
            await asyncio.gather(*(append_all(session) for session in opened))
        return result()

    return asyncio.run(run())
