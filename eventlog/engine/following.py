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
"""How long one wait may last: what is cancelled leaves its thread behind for no longer."""

WAITS: Final = 4
"""Waits in vain before the log is read all the same, whatever the store says of news."""


def following(store: Store, after: Position, types: Sequence[str]) -> Iterator[Recorded | None]:
    """Yield events after a position, then wait for new ones, until the log is closed.

    Yields None before each wait, when nothing is left to read, so that a caller that collects pages
    can hand its page on. Raises `LogClosed` if the log was closed before the first step.
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
