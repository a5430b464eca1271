"""Waiting for records that other processes append: hints wake who waits, and are never the data.

Who waits looks for itself now and then all the same. So a hint that is lost costs a moment, and
records that are hidden when the hint comes, by an older transaction, are seen as soon as they show.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Position

__all__ = ["Hints"]

POLL_SECONDS: Final = 0.25
"""How often who waits looks without having been told."""


class Hints:
    """Counts what there may be to see; a store's own appends and those of others."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.count = 0

    def hear(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float) -> None:
        """Wait until there are more hints than ``seen``, or for so long."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != seen, seconds)

    def wait_for(self, tip: Callable[[], Position], after: Position, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the log goes beyond a position; tell whether it does.

        ``tip`` looks where the log ends.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self.count  # Before looking: nothing said in between is missed.
            if tip() > after:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.wait(seen, min(left, POLL_SECONDS))
