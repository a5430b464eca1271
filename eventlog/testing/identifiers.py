"""Ids that are numbers: unique within one test, and the same in every run of it."""

from __future__ import annotations

import threading
from typing import Final

from eventlog.identifiers import EventId

__all__ = ["NumberedIds"]

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


class NumberedIds:
    """A source of UUIDv7s whose n-th id has the time n and nothing random.

    Use one source for all logs of a test: if another process, or the same one before a crash, had used
    an id, the append would count as a repetition.
    """

    def __init__(self, drawn: int = 0) -> None:
        self.drawn = drawn
        """How many ids were drawn so far."""
        self._lock = threading.Lock()

    def __call__(self) -> EventId:
        with self._lock:
            self.drawn += 1
            value = (self.drawn << 80) | _VERSION_7 | _VARIANT
        return EventId(value.to_bytes(16, "big"))
