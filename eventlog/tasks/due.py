"""Which tasks can be moved now, from the index alone: blocked sessions are not even seen (F1)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import pydantic_core

from eventlog.session.index import DUE, due_key
from eventlog.tasks.events import OwnerData
from eventlog.tasks.owner import is_gone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

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
    """Who has claimed it; if it is due all the same, its owner is lost."""
    fence: int
    attempts: int

    @property
    def orphaned(self) -> bool:
        """Whether its owner is proven to be gone, whatever is left of the lease."""
        return self.owner is not None and is_gone(self.owner)


def due_tasks(store: Store, now: int, kinds: Collection[str]) -> list[DueTask]:
    """Return tasks of these kinds that are due, oldest first, then those whose owner is gone."""
    due = list(islice(_scan(store, 0, now + 1, kinds), SCAN_LIMIT))
    if len(due) < SCAN_LIMIT:
        due += _orphans(islice(_scan(store, now + 1, None, kinds), ORPHAN_LIMIT))
    return due


def _orphans(tasks: Iterable[DueTask]) -> Iterator[DueTask]:
    """Yield the tasks whose owners are gone; of each owner that is found out once."""
    gone: dict[str, bool] = {}
    for task in tasks:
        if task.owner is not None:
            name = str(task.owner)
            if name not in gone:
                gone[name] = is_gone(task.owner)
            if gone[name]:
                yield task


def seconds_until_due(store: Store, now: int, kinds: Collection[str]) -> float | None:
    """Return when the next task of these kinds becomes due by itself; None if there is none."""
    first = next(_scan(store, 0, None, kinds), None)
    return None if first is None else (first.due_at - now) / 1_000_000


def _scan(store: Store, start: int, end: int | None, kinds: Collection[str]) -> Iterator[DueTask]:
    stop = f"{DUE}~" if end is None else due_key(end)
    for key, value in store.scan(due_key(start), stop):
        entry = pydantic_core.from_json(value)
        if entry["kind"] not in kinds:
            continue  # Another worker's, with other callables.
        yield DueTask(
            session=entry["session"],
            task_id=entry["task_id"],
            kind=entry["kind"],
            due_at=int(key.split("/", 2)[1]),
            owner=entry["owner"],
            fence=entry["fence"],
            attempts=entry["attempts"],
        )
