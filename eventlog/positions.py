"""Positions in the log, and the version that a caller expects a stream to be at."""

from __future__ import annotations

from typing import Final, Literal, NewType, TypeAlias

__all__ = ["ANY", "START", "Expected", "Position"]

Position = NewType("Position", int)
"""A record's place in the order of the whole log. Opaque: compare it, do not compute with it."""

START: Final = Position(0)
"""The position before the first record."""

ANY: Final = "any"
"""The expected version of a caller who accepts any version."""

Expected: TypeAlias = int | Literal["any"]
"""The version that a stream must be at for a command to be accepted, or `ANY`."""
