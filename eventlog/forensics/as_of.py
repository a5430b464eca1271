"""From a version, a time or a position to the moment that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.argument_checks import microseconds
from eventlog.clock import format_time
from eventlog.engine.checkpoints import position_after
from eventlog.errors import InvalidArgument
from eventlog.forensics.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from eventlog.forensics.past import Past
    from eventlog.records import Position, Record

__all__ = ["checked_version", "moment_at"]


def moment_at(
    past: Past,
    version: int | None = None,
    time: str | datetime | None = None,
    position: Position | str | None = None,
) -> Moment:
    """Return the moment at a version, at a time, or at a position of the log.

    A time or a position means the last version with an earlier or the same one. Raises
    `InvalidArgument` for a place at which the session was not there yet, for one beyond its end, for
    a position of another log, and unless exactly one of the three is given.
    """
    if [version, time, position].count(None) != 2:
        raise InvalidArgument("give one of version=, time= and position=")
    if version is not None:
        return Moment(past, checked_version(past, version))
    if time is not None:
        limit = microseconds(time)
        found = _last_version(past, lambda record: record.time <= limit)
        what = f"at {format_time(limit)}"
    else:
        place = position_after(past.store, position)
        found = _last_version(past, lambda record: record.position <= place)
        what = f"at position {place}"
    if not found:
        raise InvalidArgument(f"session {past.session!r} had no record {what}; it began later")
    return Moment(past, found)


def checked_version(past: Past, version: int) -> int:
    """Return a version that the session has reached, 0 included; raise `InvalidArgument`."""
    if type(version) is not int or version < 0:
        raise InvalidArgument(f"version is {version!r:.80}; give a whole number from 0 on")
    head = past.head
    if version > head:
        raise InvalidArgument(
            f"session {past.session!r} is at version {head}, there is no version {version} yet"
        )
    return version


def _last_version(past: Past, is_before: Callable[[Record], bool]) -> int:
    """Return the last version whose record is not behind a place; 0 if there is none.

    Times and positions of a session only grow, so few records have to be looked at.
    """
    low, high = 0, past.head
    while low < high:
        middle = (low + high + 1) // 2
        if is_before(past.record(middle)):
            low = middle
        else:
            high = middle - 1
    return low
