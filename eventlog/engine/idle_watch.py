"""Which sessions are to be committed because nothing was said in them for long (C8, F2).

As a rule the index says so: the key of an idle session has the time from which it counts as idle. A
clock that was ahead when the last message came leaves a key of the far future. That one is believed
no further than for one idle time from when it is first seen here, with nothing said since.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import CorruptError
from eventlog.session.index import IDLE, idle_key, idle_range, keys_under, session_of_idle_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.engine.core import Core
    from eventlog.store import Store

__all__ = ["IdleWatch"]

LOOKED_AT: Final = 256
"""Keys of the future that every look goes through; all of them are gone through once a minute."""

WHOLE_LOOK: Final = 60_000_000
"""Microseconds between two looks at all keys of the future, where there are more."""

TOLERANCE: Final = 1_000_000
"""Microseconds by which the clocks of machines that share a log may differ."""


class _Seen(NamedTuple):
    version: int
    """What the session was at when its key was first seen."""
    since: int | None
    """When that was; None where no clock was ahead."""


class IdleWatch:
    """Finds idle sessions of a log, and remembers which keys it does not believe. Thread-safe."""

    def __init__(self, store: Store, core: Callable[[str], Core]) -> None:
        self._store = store
        self._core = core
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0
        self._lock = threading.Lock()

    def due(self, now: int) -> list[str]:
        """Return the sessions whose time has come."""
        return [session_of_idle_key(key) for key, _ in self._store.scan(*idle_range(now))]

    def overdue(self, now: int) -> list[str]:
        """Return the sessions whose time has not come, but was recorded by a clock that was ahead."""
        with self._lock:
            keys = self._keys(now)
            seen = {key: self._look(key, now) for key in keys}
            self._seen = seen if len(keys) < LOOKED_AT else {**self._seen, **seen}
            return [
                session_of_idle_key(key)
                for key, found in seen.items()
                if found.since is not None and self._is_over(key, now - found.since)
            ]

    def _keys(self, now: int) -> list[str]:
        start, stop = idle_key(now + 1), keys_under(IDLE)[1]
        keys = [key for key, _ in self._store.scan(start, stop, LOOKED_AT)]
        if len(keys) == LOOKED_AT and not 0 <= now - self._looked_at < WHOLE_LOOK:
            self._looked_at = now
            keys += [key for key, _ in self._store.scan(keys[-1] + "\0", stop)]
            self._seen = {key: self._seen[key] for key in keys if key in self._seen}
        return keys

    def _look(self, key: str, now: int) -> _Seen:
        """Return since when a key is known, whose session's last record is of the future."""
        known = self._seen.get(key)
        if known is not None and known.since is None:
            return known
        head = self._store.head(session_of_idle_key(key))
        if head.time <= now + TOLERANCE:
            return _Seen(head.version, None)
        if known is None or known.since is None or known.version != head.version:
            return _Seen(head.version, now)
        return _Seen(head.version, min(known.since, now))

    def _is_over(self, key: str, passed: int) -> bool:
        try:
            policy = self._core(session_of_idle_key(key)).refresh().auto_commit
        except CorruptError:
            return False
        if policy is None or policy.idle_seconds is None:
            return False
        return passed >= policy.idle_seconds * 1_000_000
