"""Who watches a log work: nobody, unless it is instrumented (`eventlog.instrument`).

The engine has no observer by default. The committer then calls the store as it is, so that appends pay
nothing; commits and attempts at tasks ask once whether there is one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventlog.errors import EventLogError
from eventlog.recorded import Recorded
from eventlog.session.events import CommitPrepared
from eventlog.session.tasks.events import ArchiveFinalized, TaskQueued
from eventlog.store import read_types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from eventlog.engine.core import Core
    from eventlog.records import Append, Appended, Metadata
    from eventlog.store import Store

__all__ = ["ObservedAppends", "Observer", "cause_of_task"]

QUEUEING: Final = ("commit_prepared", "task_queued", "archive_finalized")
"""The events that queue tasks."""

LOOKED_AT: Final = 64
"""The newest of them that are looked at for the one that queued a task."""


class Observer(Protocol):
    """What is called while a log works; nothing of it may raise."""

    def appended(
        self, seconds: float, batch: Sequence[Append], answers: Sequence[Appended | EventLogError]
    ) -> None:
        """Take note of a batch that was stored in one transaction, in the thread that stored it."""
        ...

    def commit(self, session_id: str) -> AbstractContextManager[Callable[[Any], None]]:
        """Surround a commit; the inner function is called with its `CommitResult`."""
        ...

    def attempt(
        self, session_id: str, task_id: str, kind: str, number: int, cause: Metadata | None
    ) -> AbstractContextManager[Callable[[str, BaseException | None], None]]:
        """Surround an attempt at a task, queued by a command with the metadata ``cause``; the inner
        function is called with how it ended, and with the error if it failed."""
        ...

    def step(self, session_id: str, task_id: str, name: str) -> AbstractContextManager[None]:
        """Surround a step of a task that is run, not read back."""
        ...


class ObservedAppends:
    """A store whose appends are measured."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._observer = observer

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        """Append as the store does."""
        begun = time.perf_counter()
        answers = self._store.append(batch)
        self._observer.appended(time.perf_counter() - begun, batch, answers)
        return answers


def cause_of_task(core: Core, store: Store, task_id: str) -> Metadata | None:
    """Return the metadata of the event that queued a task; None if it cannot be found (I/O)."""
    try:
        for record in read_types(store, core.session, QUEUEING, reverse=True, limit=LOOKED_AT):
            recorded = Recorded(record)
            if _queues(recorded.event, task_id):
                return recorded.metadata
    except EventLogError:
        return None  # The attempt itself finds out what is wrong.
    return None


def _queues(event: object, task_id: str) -> bool:
    match event:
        case CommitPrepared() | TaskQueued():
            return event.task_id == task_id
        case ArchiveFinalized():
            return any(follow_up["task_id"] == task_id for follow_up in event.follow_ups)
        case _:
            return False
