"""Following the log: the one loop behind `Log.follow` and `AsyncLog.follow` (L6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.errors import LogClosed
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.records import Position
    from eventlog.store import Store

__all__ = ["WAIT_SECONDS", "following"]

WAIT_SECONDS: Final = 0.25
"""The longest single wait: the thread of a cancelled one goes on for no longer than this."""

WAITS: Final = 4
"""After this many waits without a wakeup the log is read anyway, in case one was lost."""


def following(store: Store, after: Position, types: Sequence[str]) -> Iterator[Recorded | None]:
    """Yield events after a position, then wait for new ones, until the log is closed.

    Yields None before each wait, when nothing is left to read, so that a caller that collects pages
    can pass its page on. Raises `LogClosed` if the log was closed before the first step.
    """
    position = after
    newest = store.tip()
    try:
        while True:
            for record in store.read_all(after=position, types=types):
                position = record.position
                yield Recorded(record)
            position = max(position, newest)
            for _ in range(WAITS):
                yield None
                if store.wait(position, WAIT_SECONDS):
                    break
            newest = store.tip()
    except LogClosed:
        return
