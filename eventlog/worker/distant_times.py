"""How long a recorded time in the distant future is trusted (F2).

A clock that was ahead leaves behind a lease, or the time of a retry, that is days or years away.
Such a time is trusted for a limited span from when it is first seen. For a lease, the span is the
length of the recorded lease or of the worker's own leases; for a retry, it is the cap of the
back-off or the recorded delay. The moment when it was first seen is stored in the blob area, so
that all workers count from the same moment, even those that look only once. A live owner renews its
lease before the span is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from eventlog.engine.first_seen import first_seen
from eventlog.recorded import Recorded
from eventlog.session.index import read_task, task_key
from eventlog.session.tasks.events import TaskClaimed
from eventlog.session.tasks.state import PUBLISH_AFTER
from eventlog.worker.retry_policy import LONGEST_HINT

if TYPE_CHECKING:
    from eventlog.session.turns.events import TurnBegun
    from eventlog.store import Store
    from eventlog.worker.due_task import DueTask

__all__ = ["DistantTimes"]

LONGEST_LEASE: Final = 86_400_000_000
"""The longest recorded lease that is waited for, in microseconds."""

_TURN_BEGUN: Final = "turn_begun"


class DistantTimes:
    """Decides which distant times a worker no longer trusts. Spans are in microseconds."""

    def __init__(self, lease: int, cap: int) -> None:
        self._lease = lease
        self._cap = cap
        self._lapsed: dict[str, int] = {}

    def has_lapsed(self, store: Store, task: DueTask, now: int) -> bool:
        """Return whether a task counts as due because its time, still in the future, must be wrong.

        Records when such a time was first seen.
        """
        ahead = task.due_at - now
        if ahead <= self._at_least(task):
            return False
        limit = self._limit(store, task)
        if ahead <= limit or now - self._first_seen(store, task, now) < limit:
            return False
        self._lapsed[task.task_id] = task.due_at
        return True

    def take_lapsed(self, task: DueTask) -> int | None:
        """Return, once, the time of a task that `has_lapsed` found to be wrong."""
        return self._lapsed.pop(task.task_id, None)

    def _at_least(self, task: DueTask) -> int:
        if task.state == "running":
            return self._lease
        return self._cap if task.state == "retry" else PUBLISH_AFTER

    def _limit(self, store: Store, task: DueTask) -> int:
        """Return how long a time is trusted, from what was recorded together with it."""
        least = self._at_least(task)
        if task.state == "running":
            return max(least, min(LONGEST_LEASE, _recorded_lease(store, task)))
        if task.state == "retry":
            return max(least, min(LONGEST_HINT, _recorded_delay(store, task)))
        return least

    def _first_seen(self, store: Store, task: DueTask, now: int) -> int:
        mark = {"due_at": task.due_at, "fence": task.fence}
        return first_seen(store, task.task_id, mark, now)


def _recorded_lease(store: Store, task: DueTask) -> int:
    """Return the length of the lease that the owner took, by its own clock; 0 if unknown.

    A task's is in its claim. A run's is that of its turn, which is begun right after the run.
    """
    for record in store.read(task.session, after=task.fence - 1, until=task.fence + 1):
        if record.type in (TaskClaimed.event_type, _TURN_BEGUN):
            return cast("TaskClaimed | TurnBegun", Recorded(record).event).lease_until - record.time
    return 0


def _recorded_delay(store: Store, task: DueTask) -> int:
    """Return the delay that the failed attempt asked for, by its own clock; 0 if unknown."""
    key = task_key(task.task_id)
    entry = next((value for _, value in store.scan(key, key + "\0", limit=1)), None)
    if entry is None:
        return 0
    found = read_task(entry)
    return found.due_at - found.updated_at
