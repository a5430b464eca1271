"""A clock that stands still until it is moved, in either direction."""

from __future__ import annotations

from typing import Final

__all__ = ["FakeClock"]

NEW_YEAR_2026: Final = 1_767_225_600_000_000


class FakeClock:
    """Tells the time it was set to, in microseconds since the Unix epoch.

    It never moves by itself, so that a program tells the same times whenever it runs; and it may
    jump either way, as the clock of a machine does when it is set.
    """

    def __init__(self, start: int = NEW_YEAR_2026) -> None:
        self.now = start
        self._monotonic = 0

    def __call__(self) -> int:
        return self.now

    def monotonic(self) -> int:
        """Tell the microseconds that were let pass: what no `jump` changes."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; a negative number takes both clocks back."""
        self._monotonic += int(seconds * 1_000_000)
        self.now += int(seconds * 1_000_000)

    def jump(self, seconds: float) -> None:
        """Set the wall clock alone, by so many seconds, while no time passes."""
        self.now += int(seconds * 1_000_000)

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now}>"
