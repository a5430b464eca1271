"""huey: a queue of tasks in SQLite, with a sync per transaction."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.workload import TEXT, Timing, timed

__all__ = ["tasks"]

huey: Any = importlib.import_module("huey")


def tasks(path: Path, count: int, at_once: int) -> Timing:
    """Run queued tasks from ``at_once`` threads, each of which keeps its result."""
    queue = huey.SqliteHuey(filename=str(path), fsync=True, timeout=60)

    @queue.task()  # type: ignore[untyped-decorator]
    def finalise(text: str) -> dict[str, str]:
        return {"overview": "overview", "abstract": "abstract"}

    results = [finalise(TEXT) for _ in range(count)]

    def run_all(_: int) -> None:
        while (task := queue.dequeue()) is not None:
            queue.execute(task)

    with ThreadPoolExecutor(at_once) as threads, timed(count) as result:
        list(threads.map(run_all, range(at_once)))
    assert all(one.get() is not None for one in results)
    queue.storage.close()
    return result()
