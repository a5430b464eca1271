"""The clock that leases are measured by, and whether it can be trusted (F2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.store import store_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.door import Door

__all__ = ["LeaseClock"]


class LeaseClock:
    """The store's clock, if it has one for all its users; otherwise this machine's wall clock.

    A store without a clock is shared only by processes of one machine, so they all see the same
    wall clock. When that clock is set, live leases may look ended. So for the length of one lease
    after a jump no lease counts as expired; every live owner renews its lease in that time.
    """

    def __init__(self, engine: AsyncEngine, lease_seconds: float) -> None:
        self._engine = engine
        self._store_time = _read_through(engine.store, store_clock(engine.store.inner))
        self.lease = int(lease_seconds * 1_000_000)
        """The length of a lease in microseconds."""

    async def store_time(self) -> int | None:
        """Return the store's time in microseconds; None if it has no clock."""
        return None if self._store_time is None else await self._engine.run(self._store_time)

    def store_time_now(self) -> int | None:
        """Do the same in a thread that may wait for the store (I/O)."""
        return None if self._store_time is None else self._store_time()

    @property
    def is_steady(self) -> bool:
        """Whether the clock can be trusted when it says that a lease has ended."""
        since = None if self._store_time is not None else self._engine.jumps.since_jump()
        return since is None or since >= self.lease


def _read_through(door: Door, now: Callable[[], int] | None) -> Callable[[], int] | None:
    return None if now is None else (lambda: door.call(now))
