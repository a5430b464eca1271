"""The process that ``eventlog demo`` kills: a worker that stops in the middle of a summary.

Run as a module with a log's URL and a time. It works like any worker until the first step of its
summary is recorded durably; then it says so on stdout and waits. It ends when it is killed, or when
its stdin is closed because its parent process has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.engine.opening import open_store
from eventlog.log import Log
from eventlog.summary.summarizer import summarize as extractive
from eventlog.worker.finalizer import Finalizer
from eventlog.worker.requests import Summary, SummaryRequest
from eventlog.worker_face import Worker

if TYPE_CHECKING:
    from eventlog.errors import EventLogError
    from eventlog.records import Append, Appended
    from eventlog.store import Store

__all__ = ["DRAFT", "STOPPED", "demo_finalizer"]

STOPPED = "the draft is stored, the archive is not finalised"
"""The line that says that this process can now be killed."""

DRAFT: Final = "draft"
"""The step of a summary that would be expensive if a model made it."""


def demo_finalizer() -> Finalizer:
    """Return the summariser of all workers in the demo, the killed one and the next."""

    def summarize(request: SummaryRequest) -> Summary:
        draft = request.step_sync(DRAFT, extractive, request)
        return Summary(**draft)

    return Finalizer(summarize)


class _StoppingStore:
    """A store that never returns from the append that completes a step."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        answers = self._store.append(batch)
        types = {record.type for append in batch for record in append.records}
        if "step_completed" in types:
            print(STOPPED, flush=True)
            sys.stdin.read()
            os._exit(1)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _main(url: str, now: str) -> None:
    store = cast("Store", _StoppingStore(open_store(url)))
    with Log(store, clock=lambda: int(now)) as log:
        Worker(log, demo_finalizer(), name="worker-1").run_once()


if __name__ == "__main__":
    _main(*sys.argv[1:])
