"""Time: microseconds since the Unix epoch inside the library, ISO 8601 text outside.

Whatever users see (`Recorded.time`, messages, views of sessions, tasks and archives) has times as
`format_time` writes them: in UTC with six digits, so that they sort as text, or empty if there is no
time. Records, fields of events and clocks have microseconds.

The core reads no clock; it takes the time as an argument. This module has the clock that is read by
default, and the conversions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, cast

__all__ = ["Clock", "JumpWatch", "format_time", "parse_time", "system_clock"]

Clock: TypeAlias = Callable[[], int]
"""A callable that returns the time in microseconds since the Unix epoch.

It may have a method ``monotonic``, which returns microseconds since some moment and never goes back.
Then a jump of the clock is noticed, by comparing the two. The clock of the system and
`eventlog.testing.FakeClock` have one.
"""

JUMP: Final = 1_000_000
"""How far the two clocks must move apart, in microseconds, to count as a jump: far more than a
clock is slewed between two readings, far less than any useful lease."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what is written of it gets a Z
_MICROSECOND = timedelta(microseconds=1)
_CYCLE: Final = 146_097 * 86_400 * 1_000_000
"""Microseconds of 400 years, after which the Gregorian calendar repeats."""


class _SystemClock:
    """The wall clock of this machine, with its monotonic clock, which cannot be set."""

    def __call__(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        return time.monotonic_ns() // 1000


system_clock: Final = _SystemClock()
"""The wall clock of this machine, in microseconds."""


class JumpWatch:
    """Notices when the wall clock is set, by comparing it with the monotonic one.

    A machine that was suspended looks the same, since only its wall clock went on. A clock without
    ``monotonic`` is never seen to jump.
    """

    def __init__(self, clock: Clock) -> None:
        self._wall = clock
        self._monotonic = cast("Clock | None", getattr(clock, "monotonic", None))
        self._lock = threading.Lock()
        self._jumped_at: int | None = None
        self._ahead = self._difference(self._monotonic()) if self._monotonic else 0

    def since_jump(self) -> int | None:
        """Return how many microseconds ago the latest jump was noticed, or None."""
        if self._monotonic is None:
            return None
        with self._lock:
            now = self._monotonic()
            ahead = self._difference(now)
            if abs(ahead - self._ahead) >= JUMP:
                self._jumped_at = now
            self._ahead = ahead
            return None if self._jumped_at is None else now - self._jumped_at

    def _difference(self, monotonic: int) -> int:
        return self._wall() - monotonic


def format_time(microseconds: int) -> str:
    """Write a time as ISO 8601 in UTC, always with six digits: ``2026-01-02T03:04:05.000006Z``.

    Any number can be written, so that a wrong clock's time can be shown: years before 1 and after
    9999 have a sign and at least five digits, as ISO 8601 has it (``+12026-01-02T03:04:05.000006Z``).
    Such texts do not sort as times do, and `parse_time` refuses them.
    """
    try:
        moment = _NAIVE_EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return _distant_time(microseconds)
    return moment.isoformat(timespec="microseconds") + "Z"


def _distant_time(microseconds: int) -> str:
    """Write a time of a year that `datetime` does not have: the calendar repeats in 400 years."""
    cycles, rest = divmod(microseconds, _CYCLE)
    moment = _NAIVE_EPOCH + timedelta(microseconds=rest)
    year = moment.year + 400 * cycles
    sign = "-" if year < 0 else "+"
    return f"{sign}{abs(year):05d}{moment.isoformat(timespec='microseconds')[4:]}Z"


def parse_time(text: str) -> int:
    """Read ISO 8601 text with an offset or ``Z``; raise `ValueError` for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write Z or an offset")
    return (moment - _EPOCH) // _MICROSECOND
