"""The one core of each session in a log: made on demand, kept while it is useful."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from eventlog.engine.core import Core

if TYPE_CHECKING:
    from eventlog.clock import Clock
    from eventlog.engine.committer import Follower
    from eventlog.engine.door import Door
    from eventlog.engine.streams.recovery import StreamRecovery
    from eventlog.identifiers import IdSource

__all__ = ["Cores"]

KEPT: Final = 1_024
"""Unused sessions whose states are kept in memory; others are replayed when needed."""

SNAPSHOTS_LEFT: Final = 64
"""Sessions for which closing the log may write a snapshot: each takes a durable write."""


class Cores:
    """The cores of a log. Thread-safe."""

    def __init__(self, store: Door, clock: Clock, ids: IdSource, recovery: StreamRecovery) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._recovery = recovery
        self._cores: weakref.WeakValueDictionary[str, Core] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[str, Core] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: str) -> Core:
        """Return the one core of a session.

        One that waited to create the session, which another owner has created since, serves those
        who have it, and nobody else.
        """
        with self._lock:
            core = self._cores.get(session)
            if core is None or core.waits_for_another(None):
                core = self._cores[session] = Core(
                    self._store, session, self._clock, self._ids, self._recovery
                )
            self._recent[session] = core
            self._recent.move_to_end(session)
            if len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        return core

    def forget(self, core: Core) -> None:
        """Have the next caller get a new core; who has this one keeps it."""
        with self._lock:
            if self._cores.get(core.session) is core:
                del self._cores[core.session]
                del self._recent[core.session]

    def followers(self) -> list[Follower]:
        """Return the followers of the folders that this process owns."""
        followers = [core.follower for core in list(self._cores.values())]
        return [follower for follower in followers if follower is not None]

    def leave_snapshots(self) -> None:
        """Write snapshots of the sessions that were used last, so that they open quickly (L12)."""
        for core in list(self._recent.values())[-SNAPSHOTS_LEFT:]:
            if not core.leave_snapshot():
                return  # The store cannot be reached, and each further one would wait for it.

    def begin_anew_after_fork(self) -> None:
        """Drop whatever a forked child may have copied in the middle of a change."""
        self._lock = threading.Lock()
        for core in self._cores.values():
            core.begin_anew_after_fork()
