"""Which tasks can be moved now, from the index alone: blocked sessions are not even seen (F1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pydantic_core

from eventlog.session.index import DUE, due_key
from eventlog.tasks.events import OwnerData
from eventlog.tasks.owner import is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.store import Store

__all__ = ["DueTask", "due_tasks", "seconds_until_due"]

SCAN_LIMIT: Final = 64
"""Due tasks looked at per scan: more than one worker takes at once, few enough to stay fresh."""

ORPHAN_LIMIT: Final = 256
"""Running tasks looked at for an owner that is proven dead before its lease ends."""


class DueTask(NamedTuple):
    """A task that may be free to claim; the claim decides."""

    session: str
    task_id: str
    kind: str
    due_at: int
    owner: OwnerData | None
    fence: int

    @property
    def orphaned(self) -> bool:
        """Whether its owner is proven to be gone, whatever is left of the lease."""
        return self.owner is not None and is_gone(self.owner)


def due_tasks(store: Store, now: int) -> list[DueTask]:
    """Return tasks that are due, oldest first, then running ones whose owner is gone."""
    due = list(_scan(store, 0, now + 1, SCAN_LIMIT))
    if len(due) < SCAN_LIMIT:
        running = _scan(store, now + 1, None, ORPHAN_LIMIT)
        due += [task for task in running if task.orphaned]
    return due


def seconds_until_due(store: Store, now: int) -> float | None:
    """Return when the next task becomes due by itself; None if there is none."""
    first = next(_scan(store, 0, None, 1), None)
    return None if first is None else (first.due_at - now) / 1_000_000


def _scan(store: Store, start: int, end: int | None, limit: int) -> Iterator[DueTask]:
    stop = f"{DUE}~" if end is None else due_key(end)
    for key, value in store.scan(due_key(start), stop, limit=limit):
        entry = pydantic_core.from_json(value)
        yield DueTask(
            session=entry["session"],
            task_id=entry["task_id"],
            kind=entry["kind"],
            due_at=int(key.split("/", 2)[1]),
            owner=entry["owner"],
            fence=entry["fence"],
        )
