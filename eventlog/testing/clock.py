"""A clock that moves only when it is set, in either direction."""

from __future__ import annotations

from typing import Final

__all__ = ["FakeClock"]

NEW_YEAR_2026: Final = 1_767_225_600_000_000


class FakeClock:
    """A clock that returns the time it was set to, in microseconds since the Unix epoch.

    It never moves by itself, so a program sees the same times in every run. It can jump in either
    direction, as a machine's clock does when it is set.
    """

    def __init__(self, start: int = NEW_YEAR_2026) -> None:
        self.now = start
        self._monotonic = 0

    def __call__(self) -> int:
        return self.now

    def monotonic(self) -> int:
        """Return the microseconds that have passed; a `jump` does not change them."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let seconds pass; a negative number moves both clocks back."""
        self._monotonic += int(seconds * 1_000_000)
        self.now += int(seconds * 1_000_000)

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, by a number of seconds, without time passing."""
        self.now += int(seconds * 1_000_000)

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now}>"
