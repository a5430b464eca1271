"""Checks of numbers and times that callers pass in, with one form of refusal."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.clock import parse_time, system_clock
from eventlog.error_text import shown, text_of
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.clock import Clock

__all__ = [
    "LARGEST_COUNT",
    "check_bounds",
    "check_callable",
    "check_count",
    "check_number",
    "check_seconds",
    "check_types",
    "checked_clock",
    "checked_path",
    "microseconds",
]


LARGEST_COUNT: Final = 2**63 - 1
"""The largest whole number that databases, and JSON readers in other languages, commonly hold."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LONGEST_SECONDS: Final = 10_000_000_000.0
"""About 317 years: the present time plus this still fits in the digits of an index key."""


def check_count(
    name: str, value: Any, counts: str, *, lowest: int = 0, highest: int | None = None
) -> None:
    """Raise `InvalidArgument` unless a value is a whole number from ``lowest`` to ``highest``.

    ``counts`` is what the number counts, for the error text: ``messages``, ``tokens``.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"{name} is {shown(value)}; it must be a whole number")
    if value > (LARGEST_COUNT if highest is None else highest) or value < lowest:
        bounds = f"{lowest} or more" if highest is None else f"from {lowest} to {highest:,}"
        found = value if abs(value) <= LARGEST_COUNT else "a number of more than 63 bits"
        raise InvalidArgument(f"{name} is {found}; it must be a number of {counts}, {bounds}")


def check_callable(name: str, value: Any) -> None:
    """Raise `InvalidArgument` unless a value can be called."""
    if not callable(value):
        raise InvalidArgument(f"{name} is {shown(value)}; it must be a function")


def check_seconds(name: str, value: Any, *, may_be_zero: bool = False) -> None:
    """Raise `InvalidArgument` unless a value is a number of seconds, at most 317 years."""
    number = check_number(name, value, "seconds")
    if number < 0 or (number == 0 and not may_be_zero):
        bound = "0 or more" if may_be_zero else "above 0"
        raise InvalidArgument(f"{name} is {value}; it must be a number of seconds, {bound}")
    if number > LONGEST_SECONDS:
        raise InvalidArgument(
            f"{name} is {value}; it must be at most {LONGEST_SECONDS:,.0f} seconds"
        )


def check_number(name: str, value: Any, counts: str = "milliseconds") -> float:
    """Return a finite number as a float; raise `InvalidArgument` for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            if isfinite(value) and float(value) == value:  # Beyond 53 bits some would be rounded.
                return float(value)
    raise InvalidArgument(f"{name} is {shown(value)}; it must be a number of {counts}")


def check_bounds(after: Any, until: Any, limit: Any) -> None:
    """Raise `InvalidArgument` for what bounds no reading: versions, or a position, and a number."""
    check_count("after", after, "records")
    if until is not None:
        check_count("until", until, "records")
    if limit is not None:
        check_count("limit", limit, "records")


def check_types(types: Any) -> None:
    """Raise `InvalidArgument` for what is no list of types of events."""
    is_list = isinstance(types, Collection) and not isinstance(types, (str, bytes))
    if not is_list or not all(isinstance(each, str) for each in cast("Iterable[object]", types)):
        raise InvalidArgument(
            f"types is {shown(cast('object', types))}; it must be a list of types of events"
        )


def checked_path(what: str, path: str | os.PathLike[str]) -> str:
    """Return a path as text; raise `InvalidArgument` if it cannot be one, or cannot be recorded."""
    try:
        text: object = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise InvalidArgument(f"the path of {what} is {shown(path)}; give text or a Path")
    if not text:
        raise InvalidArgument(f"the path of {what} is empty; name one")
    if "\0" in text:
        raise InvalidArgument(
            f"the path {text!r} of {what} has a zero byte in it; name another one"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"the path {text!a} of {what} is not UTF-8 and cannot be recorded; rename it"
        ) from None
    return text


def checked_clock(clock: Clock) -> Clock:
    """Return a clock that raises `InvalidArgument` where this one tells what is no time.

    What it raises itself goes to the caller as it is.
    """
    if clock is system_clock:
        return clock

    def read() -> int:
        now = clock()
        if type(now) is not int or not -LARGEST_COUNT <= now <= LARGEST_COUNT:
            raise InvalidArgument(
                f"the clock says {shown(now)}; it must be microseconds since 1970, of at most 63 bits"
            )
        return now

    return read


def microseconds(time: str | datetime) -> int:
    """Return a time in microseconds since the Unix epoch; raise `InvalidArgument` for one without
    a zone, and for a text that is none."""
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise InvalidArgument(
                f"the time {time.isoformat()} has no time zone; give an aware one"
            )
        since = time - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    try:
        return parse_time(time)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidArgument(
            f"{shown(time)} is not a time ({text_of(error)}); write ISO 8601, such as 2026-01-02T03:04:05Z"
        ) from error
