"""Ids that are numbers: unique within one test, and the same in every run of it."""

from __future__ import annotations

import threading
from typing import Final

from eventlog.identifiers import EventId

__all__ = ["NumberedIds"]

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


class NumberedIds:
    """An id source whose n-th id is the UUIDv7 with n for its time and nothing random.

    Give one source to all logs of a test: an id that another process, or the same one before a
    crash, has used would be taken for a repetition.
    """

    def __init__(self, drawn: int = 0) -> None:
        self.drawn = drawn
        """How many were drawn so far."""
        self._lock = threading.Lock()

    def __call__(self) -> EventId:
        with self._lock:
            self.drawn += 1
            value = (self.drawn << 80) | _VERSION_7 | _VARIANT
        return EventId(value.to_bytes(16, "big"))
