"""Finding the tasks that are due, from the index alone, which has none of blocked sessions (F1)."""

from __future__ import annotations

import logging
from functools import cache
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.engine.owner import fate_of, is_gone
from eventlog.session.index import due_key, due_prefix, keys_under
from eventlog.session.tasks.events import OwnerData
from eventlog.telemetry import log_fact
from eventlog.worker.due_task import DueTask

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from eventlog.engine.door import Door
    from eventlog.store import Store
    from eventlog.worker.distant_times import DistantTimes

__all__ = ["DueTask", "due_tasks", "seconds_until_due", "tasks_elsewhere"]

SCAN_LIMIT: Final = 64
"""Due tasks read per scan: more than one worker takes at once, few enough to stay fresh."""

EARLY_LIMIT: Final = 256
"""Tasks read per scan that may be free although they are not due yet."""


def due_tasks(
    store: Door,
    now: int,
    kinds: Collection[str],
    room: int,
    known: Mapping[str, DueTask | None],
    distant_times: DistantTimes,
) -> list[DueTask]:
    """Return tasks of these kinds that are due, oldest first, then those that are free early.

    The latter are looked for only if fewer tasks are due than there is ``room`` for. A task whose
    id is in ``known`` is left out while its entry is the one given there, or always if that is
    None.
    """

    def is_unknown(task: DueTask) -> bool:
        return task.task_id not in known or known[task.task_id] not in (None, task)

    due = _scan(store, kinds, 0, now + 1, SCAN_LIMIT + len(known))
    found = [task for task in due if is_unknown(task)]
    if len(found) < room:
        early = _scan(store, kinds, now + 1, None, EARLY_LIMIT)
        found += _free_early(store, now, filter(is_unknown, early), distant_times)
    return found


def tasks_elsewhere(store: Door, now: int, kinds: Collection[str]) -> Iterator[DueTask]:
    """Yield the tasks that run in a process of which it cannot be proven whether it lives.

    They are free when their lease ends, at `DueTask.due_at`.
    """
    for task in _scan(store, kinds, now + 1, None, EARLY_LIMIT):
        if task.owner is not None and fate_of(task.owner, store.inner) == "unknown":
            yield task


def _free_early(
    store: Door, now: int, tasks: Iterable[DueTask], distant_times: DistantTimes
) -> Iterator[DueTask]:
    """Yield the tasks that may be claimed before their time.

    A task may if it is pending and the clock was set back since; or it is running and its owner is
    gone, which is checked once per owner; or its time is no longer trusted.
    """
    gone: dict[str, bool] = {}
    for task in tasks:
        if task.owner is not None:
            name = str(task.owner)
            if name not in gone:
                gone[name] = is_gone(task.owner, store.inner)
            if gone[name] or distant_times.has_lapsed(store, task, now):
                yield task
        elif task.state == "pending" or distant_times.has_lapsed(store, task, now):
            yield task


def seconds_until_due(store: Store, now: int, kinds: Collection[str]) -> float | None:
    """Return the seconds until another task of these kinds becomes due; None if there is none.

    Tasks that are due already have been looked at, and do not count.
    """
    first = next(_scan(store, kinds, now + 1, None, 1), None)
    return None if first is None else (first.due_at - now) / 1_000_000


def _scan(
    store: Store, kinds: Collection[str], start: int, end: int | None, limit: int
) -> Iterator[DueTask]:
    """Yield the first ``limit`` tasks of these kinds with ``start <= due_at < end``, by time."""
    return islice(merge(*(_scan_kind(store, kind, start, end, limit) for kind in kinds)), limit)


def _scan_kind(
    store: Store, kind: str, start: int, end: int | None, limit: int
) -> Iterator[DueTask]:
    stop = keys_under(due_prefix(kind))[1] if end is None else due_key(kind, end)
    for key, value in store.scan(due_key(kind, start), stop, limit):
        task = _read(kind, key, value)
        if task is not None:
            yield task


def _read(kind: str, key: str, value: bytes) -> DueTask | None:
    """Read an entry; a damaged one is logged and skipped, so that other tasks are not held up."""
    try:
        time, task_id = key.removeprefix(due_prefix(kind)).split("/")
        fields = _value_reader()(value)
        return DueTask(int(time), task_id, kind, **fields)
    except ValueError as error:
        problem = str(error).replace("\n", " ")
        log_fact(logging.WARNING, "due_entry_damaged", key=key, error=f"{problem:.200}")
        return None


class _Value(TypedDict):
    """The value of a ``due/`` entry."""

    session: str
    state: str
    owner: OwnerData | None
    fence: int
    attempts: int


@cache
def _value_reader() -> Callable[[bytes], _Value]:
    return TypeAdapter(_Value).validate_json
