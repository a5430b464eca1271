"""Numbers that callers give: checked in one way, refused in one way."""

from __future__ import annotations

from math import isfinite
from typing import Any

from eventlog.errors import InvalidArgument

__all__ = ["check_count", "check_seconds"]


def check_count(
    name: str, value: Any, counts: str, *, lowest: int = 0, highest: int | None = None
) -> None:
    """Raise `InvalidArgument` for what does not count something, from ``lowest`` to ``highest``."""
    if not isinstance(value, int):
        raise InvalidArgument(f"{name} is {value!r:.80}; it is a whole number")
    if value < lowest or (highest is not None and value > highest):
        bounds = f"from {lowest} up" if highest is None else f"from {lowest} to {highest:,}"
        raise InvalidArgument(f"{name} is {value}; it counts {counts}, {bounds}")


def check_seconds(name: str, value: Any, *, may_be_zero: bool = False) -> None:
    """Raise `InvalidArgument` for what is no time, or none that ends."""
    if not isinstance(value, (int, float)) or not isfinite(value):
        raise InvalidArgument(f"{name} is {value!r:.80}; it is a number of seconds")
    if value < 0 or (value == 0 and not may_be_zero):
        bound = "from 0 up" if may_be_zero else "above 0"
        raise InvalidArgument(f"{name} is {value}; it is a number of seconds {bound}")
