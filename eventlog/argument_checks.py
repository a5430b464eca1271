"""Numbers that callers give: checked in one way, refused in one way."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite
from typing import Any, Final

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument

__all__ = ["check_count", "check_number", "check_seconds"]


LARGEST_COUNT: Final = 2**63 - 1
"""What databases, and readers of JSON in other languages, hold as a whole number."""

LONGEST_SECONDS: Final = 10_000_000_000.0
"""About 317 years: added to the present, the time still has the digits that index keys have."""


def check_count(
    name: str, value: Any, counts: str, *, lowest: int = 0, highest: int | None = None
) -> None:
    """Raise `InvalidArgument` for what does not count something, from ``lowest`` to ``highest``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"{name} is {shown(value)}; it is a whole number")
    if value > (LARGEST_COUNT if highest is None else highest) or value < lowest:
        bounds = f"from {lowest} up" if highest is None else f"from {lowest} to {highest:,}"
        found = value if abs(value) <= LARGEST_COUNT else "a number of more than 63 bits"
        raise InvalidArgument(f"{name} is {found}; it counts {counts}, {bounds}")


def check_seconds(name: str, value: Any, *, may_be_zero: bool = False) -> None:
    """Raise `InvalidArgument` for what is no time, or none that ends within 317 years."""
    number = check_number(name, value, "seconds")
    if number < 0 or (number == 0 and not may_be_zero):
        bound = "from 0 up" if may_be_zero else "above 0"
        raise InvalidArgument(f"{name} is {value}; it is a number of seconds {bound}")
    if number > LONGEST_SECONDS:
        raise InvalidArgument(f"{name} is {value}; it is at most {LONGEST_SECONDS:,.0f} seconds")


def check_number(name: str, value: Any, counts: str = "milliseconds") -> float:
    """Return a finite number as a float; raise `InvalidArgument` for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            if isfinite(value):
                return float(value)
    raise InvalidArgument(f"{name} is {shown(value)}; it is a number of {counts}")
