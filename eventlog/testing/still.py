"""Logs whose leases nothing renews: in the crash kit only the program moves time.

A renewal by the clock on the wall would be a step at another place in each run, or one of a process that
has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.engine.heartbeat import Beat, Heartbeat
from eventlog.log import Log, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.errors import ConflictError

__all__ = ["renew_nothing"]


class _Still(Heartbeat):
    """Renews nothing, and starts no thread."""

    def begin(
        self,
        renew: Callable[[], object],
        lost: Callable[[ConflictError], object],
        *,
        at_most_seconds: float,
    ) -> Beat:
        return Beat(renew, lost, at_most_seconds)


def renew_nothing(log: Log) -> None:
    """Have the leases of turns, streams and tasks that are taken through a log last as they were taken."""
    engine_of(log).new_heartbeat = _Still  # type: ignore[method-assign]  # of this log alone
