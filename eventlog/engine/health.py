"""The health of a log, from its index alone: what waits, what is stuck, and since when."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.session.index import BLOCKED, DUE, keys_under, time_of_due_key
from eventlog.store import wal_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.door import Door
    from eventlog.records import Durability, Position

__all__ = ["Health", "health_of"]

COUNTED: Final = 10_000
"""Entries counted at most: a probe must cost the same when everything is stuck."""

LAG_COUNTED: Final = 1_000
"""Events counted behind a checkpoint at most."""

_RUNNING: Final = b'"state":"running"'


class Health(NamedTuple):
    """The health of a log at one moment. Counts end at 10,000, ``lag_events`` at 1,000.

    ``queue_depth`` counts the tasks that can be worked on now or later; ``running`` those that are
    being worked on; ``due`` those that wait for a worker now, the oldest since ``oldest_due_seconds``.
    ``expired_leases`` counts the running tasks whose worker has not renewed in time. In
    ``blocked_sessions`` commits wait for an archive that failed for good. Of a checkpoint,
    ``lag_events`` counts the events behind it, and ``lag_seconds`` is the age of the oldest.
    ``wal_bytes`` is the size of the store's write-ahead log, None if it has none. Beyond 8 MiB
    ``wal_readers`` names the processes that read just then: one that does so for long lets it grow.
    """

    durability: Durability
    queue_depth: int
    running: int
    due: int
    oldest_due_seconds: float | None
    expired_leases: int
    blocked_sessions: int
    lag_events: int | None
    lag_seconds: float | None
    wal_bytes: int | None = None
    wal_readers: tuple[str, ...] = ()


def health_of(store: Door, now: int, after: Position | None) -> Health:
    """Look at the index of a log, and at the events behind a position, if one is given."""
    queued = running = due = expired = 0
    oldest: int | None = None
    for key, value in islice(store.scan(*keys_under(DUE)), COUNTED):
        time, is_running = time_of_due_key(key), _RUNNING in value
        queued += 1
        running += is_running
        if time is None or time > now:
            continue
        if is_running:
            expired += 1
        else:
            due += 1
            oldest = time if oldest is None else min(oldest, time)
    lag = None if after is None else list(_times_behind(store, after))
    wal = store.call(wal_of, store.inner)
    return Health(
        store.durability,
        queued,
        running,
        due,
        None if oldest is None else (now - oldest) / 1_000_000,
        expired,
        sum(1 for _ in islice(store.scan(*keys_under(BLOCKED)), COUNTED)),
        None if lag is None else len(lag),
        None if lag is None else max(0, now - lag[0]) / 1_000_000 if lag else 0.0,
        None if wal is None else wal.bytes,
        () if wal is None else wal.readers,
    )


def _times_behind(store: Door, after: Position) -> Iterator[int]:
    return (record.time for record in store.read_all(after=after, limit=LAG_COUNTED))
