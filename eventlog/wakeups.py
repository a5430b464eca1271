"""Waiting for records: an append wakes whoever waits, and a waiter also polls now and then.

A wakeup says that there may be something to see, and carries no data. So a lost wakeup only costs a
moment; and records that an older transaction still hides when it comes are seen once they appear.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Position

__all__ = ["Wakeups"]

POLL_SECONDS: Final = 0.25
"""How often a waiter polls without having been woken."""


class Wakeups:
    """Wakes the threads of this process that wait for records of a store.

    A store calls `notify` after each append, and whenever it hears of one by another process; its
    `wait` is `wait_beyond`. Where another process cannot be heard, ``poll_seconds`` is how late its
    records are seen.
    """

    def __init__(self, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._condition = threading.Condition()
        self._waiting = 0
        self._count = 0

    def notify(self) -> None:
        """Wake every waiting thread; costs next to nothing if there is none."""
        if self._waiting:
            with self._condition:
                self._count += 1
                self._condition.notify_all()

    def wait_beyond(self, after: Position, tip: Callable[[], Position], timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the log goes beyond a position; return whether it does.

        ``tip`` returns the position at which the log ends.
        """
        deadline = time.monotonic() + timeout
        with self._condition:
            self._waiting += 1  # Before the first look, so that `notify` misses nobody.
        try:
            while True:
                seen = self._count  # Before each look: no wakeup in between is missed.
                if tip() > after:
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._sleep(seen, min(left, self._poll_seconds))
        finally:
            with self._condition:
                self._waiting -= 1

    def _sleep(self, seen: int, seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, seconds)

    def __repr__(self) -> str:
        return f"<Wakeups: {self._waiting} waiting>"
