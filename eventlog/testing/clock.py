"""A clock that stands still until it is moved, in either direction."""

from __future__ import annotations

from typing import Final

__all__ = ["FakeClock"]

NEW_YEAR_2026: Final = 1_767_225_600_000_000


class FakeClock:
    """Tells the time it was set to, in microseconds since the Unix epoch.

    It never moves by itself, so that a program tells the same times whenever it runs; and it may
    jump backwards, as the clock of a machine does when it is set.
    """

    def __init__(self, start: int = NEW_YEAR_2026) -> None:
        self.now = start

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move by so many seconds; by a negative number backwards."""
        self.now += int(seconds * 1_000_000)

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now}>"
