"""Repeated attempts: while a cluster elects a leader, it does not answer for some seconds."""

from __future__ import annotations

import time
from typing import Final

from nats.js.errors import APIError

from eventlog.errors import EventLogError, Indeterminate, UnavailableError
from eventlog.stores.jetstream.errors import CONFLICTS, is_refusal, mapped

__all__ = ["Attempts"]

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.5
"""Seconds between two attempts; each pause is twice the last."""


class Attempts:
    """The attempts at one operation."""

    def __init__(self, patience: float, where: str) -> None:
        self._deadline = time.monotonic() + patience
        self._pause = 0.0
        self._where = where
        self._doubt: Exception | None = None
        """Why the outcome of an earlier attempt is unknown, or None."""

    def failed(self, error: Exception, *, certainly: bool) -> None:
        """Pause before the next attempt; raise if there is none left.

        After the first conflict there is no pause: another writer was faster.
        """
        if not certainly:
            self._doubt = error
        if is_refusal(error) or time.monotonic() > self._deadline:
            raise self.in_doubt(mapped(error, self._where)) from error
        conflict = isinstance(error, APIError) and error.err_code in CONFLICTS
        time.sleep(self._pause if conflict else max(self._pause, FIRST_PAUSE))
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)

    def in_doubt(self, error: EventLogError) -> EventLogError:
        """Return the error to raise: `Indeterminate` if an attempt may have succeeded."""
        if self._doubt is None or not isinstance(error, UnavailableError):
            return error
        if isinstance(error, Indeterminate):
            return error
        return Indeterminate(f"{error} (an earlier attempt got no answer: {self._doubt})")
