"""Where something stands in the log, and where a caller expects a stream to stand."""

from __future__ import annotations

from typing import Final, Literal, NewType, TypeAlias

__all__ = ["ANY", "START", "Expected", "Position"]

Position = NewType("Position", int)
"""A record's place in the order of the whole log: opaque, comparable, never to be computed with."""

START: Final = Position(0)
"""The position before the first record."""

ANY: Final = "any"
"""The expected version of a caller who accepts any."""

Expected: TypeAlias = int | Literal["any"]
"""The version that a stream must have for a command to be taken, or `ANY`."""
