"""Time as the library counts it: whole microseconds since the Unix epoch, in UTC.

The core never reads a clock: time is handed to it. This module has the one clock that the edge
reads by default, and the conversions between counted and written time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

__all__ = ["Clock", "format_time", "parse_time", "system_clock"]

Clock: TypeAlias = Callable[[], int]
"""Something that tells the time in microseconds since the Unix epoch."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def system_clock() -> int:
    """Tell the wall clock's time in microseconds."""
    return time.time_ns() // 1000


def format_time(microseconds: int) -> str:
    """Write a time as ISO 8601 in UTC, always with six digits: ``2026-01-02T03:04:05.000006Z``."""
    moment = _NAIVE_EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> int:
    """Read ISO 8601 text with an offset or ``Z``; raise `ValueError` for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write Z or an offset")
    return (moment - _EPOCH) // _MICROSECOND
