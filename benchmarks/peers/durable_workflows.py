"""dbos: workflows of one step, recorded in SQLite."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS

from benchmarks.contenders import raw_connection, synchronous_of
from benchmarks.workload import TEXT, Timing, timed

__all__ = ["workflows"]


@DBOS.step()
def summary(text: str) -> dict[str, str]:
    """The step of a workflow, which costs nothing."""
    return {"overview": "overview", "abstract": "abstract"}


@DBOS.workflow()
def finalise(text: str) -> dict[str, str]:
    """Begin, record one step, and record the end: as many durable writes as one of our tasks."""
    answer: dict[str, str] = summary(text)
    return answer


def workflows(path: Path, count: int, at_once: int) -> Timing:
    """Call a workflow from ``at_once`` threads: twice as quick here as DBOS's queues.

    Its file is put into WAL mode beforehand, which DBOS keeps and which makes it quicker. It connects to
    nothing else: neither a conductor nor a collector of traces is configured.
    """
    raw_connection(path).close()
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
