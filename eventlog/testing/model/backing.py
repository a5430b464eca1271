"""Storage that outlives the processes that write to it, and those processes."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from eventlog.log import Log
from eventlog.stores.memory import MemoryStore
from eventlog.testing.crashing import Crash, CrashingStore, Steps
from eventlog.testing.still import renew_nothing

if TYPE_CHECKING:
    from eventlog.clock import Clock
    from eventlog.identifiers import IdSource
    from eventlog.session.tokens import TokenEstimator
    from eventlog.store import Store

__all__ = ["Backing", "MemoryBacking", "Process"]


class Backing(Protocol):
    """Storage that any number of processes open, and that outlives them."""

    def open(self, steps: Steps) -> Store:
        """Open the storage as a process whose steps are counted in ``steps``."""
        ...

    def watch(self) -> Store:
        """Open the storage without steps, to inspect it."""
        ...

    def kill(self, store: Store) -> None:
        """Do for an opened store what the system does when its process ends, and no more."""
        ...

    def image(self) -> Backing:
        """Copy what is stored now: what is left if all processes end at this moment."""
        ...

    def close(self) -> None:
        """Release what the test itself holds open."""
        ...


class MemoryBacking:
    """A `MemoryStore` as storage: calls are atomic."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    def open(self, steps: Steps) -> Store:
        return CrashingStore(self._store, steps)

    def watch(self) -> Store:
        return self._store

    def kill(self, store: Store) -> None:
        """Nothing of a process is in the storage but what it stored."""

    def image(self) -> MemoryBacking:
        return MemoryBacking(copy.deepcopy(self._store))

    def close(self) -> None:
        """Nothing is held."""


class Process:
    """The log of one process, which can end at any step and never comes back."""

    def __init__(
        self,
        backing: Backing,
        *,
        clock: Clock,
        ids: IdSource,
        estimate_tokens: TokenEstimator,
        steps: Steps | None = None,
    ) -> None:
        self.backing = backing
        self.steps = steps or Steps()
        self.store = backing.open(self.steps)
        self.log = Log(self.store, clock=clock, ids=ids, estimate_tokens=estimate_tokens)
        renew_nothing(self.log)

    def end(self) -> None:
        """Close the log properly."""
        self.steps.spare()
        self.log.close()

    def kill(self) -> None:
        """End abruptly: nothing more reaches the storage, and nothing is cleaned up.

        The log is closed only to end its threads, which a dead process does not have either.
        """
        self.steps.dead = True
        with suppress(Crash):
            self.log.close()
        self.backing.kill(self.store)
