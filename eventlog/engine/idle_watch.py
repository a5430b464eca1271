"""Finding the sessions that are due for a commit because they were idle for long enough (C8, F2).

Normally the index says so: the key of a session has the time from which it counts as idle. A clock
that was ahead when the last message came leaves a key in the far future. Such a key is trusted for
one idle time at most, from when it is first seen here and while the session gets no messages.
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
"""Future keys that are checked at each look; all of them are checked once a minute."""

WHOLE_LOOK: Final = 60_000_000
"""Microseconds between two checks of all future keys, if there are more."""

TOLERANCE: Final = 1_000_000
"""Microseconds by which the clocks of machines that share a log may differ."""


class _Seen(NamedTuple):
    version: int
    """The session's version when its key was first seen."""
    since: int | None
    """The time when the key was first seen; None if no clock was ahead."""


class IdleWatch:
    """Finds idle sessions of a log, and remembers the keys that it does not trust. Thread-safe."""

    def __init__(self, store: Store, core: Callable[[str], Core]) -> None:
        self._store = store
        self._core = core
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0
        self._lock = threading.Lock()

    def due(self, now: int) -> list[str]:
        """Return the sessions that are due by now."""
        return [session_of_idle_key(key) for key, _ in self._store.scan(*idle_range(now))]

    def overdue(self, now: int) -> list[str]:
        """Return the sessions that are due although a clock running ahead recorded a later time."""
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
        """Return what was noted when a key was first seen, which may be now."""
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
