"""What becomes of the operations that a disk had not synchronised when the power failed (K3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

__all__ = ["KEPT", "LOST", "Fate", "Outcome", "every_fate", "random_fate"]

Outcome = Literal["kept", "lost", "torn", "zeroed"]
"""What is left of one operation: all, nothing, the first half of what was written, or its length
with zeros for bytes. An operation that writes no bytes is kept or lost."""


@dataclass(frozen=True)
class Fate:
    """An outcome for each operation: by place for some, and one for the rest.

    Places count back from the crash: 1 is the last operation that was not synchronised, the one
    under way included.
    """

    rest: Outcome = "kept"
    lost: tuple[int, ...] = ()
    torn: tuple[int, ...] = ()
    zeroed: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()

    def outcomes(self, count: int) -> list[Outcome]:
        """Return the outcomes of so many operations, the oldest first."""
        return [self._outcome(place) for place in range(count, 0, -1)]

    def _outcome(self, place: int) -> Outcome:
        named: dict[Outcome, tuple[int, ...]] = {
            "lost": self.lost,
            "torn": self.torn,
            "zeroed": self.zeroed,
            "kept": self.kept,
        }
        for outcome, places in named.items():
            if place in places:
                return outcome
        return self.rest

    def __repr__(self) -> str:
        """Show what differs from everything being kept, to be pasted into a test."""
        rest = [] if self.rest == "kept" else [f"rest={self.rest!r}"]
        places = [
            f"{name}={places!r}"
            for name in ("lost", "torn", "zeroed", "kept")
            if (places := getattr(self, name))
        ]
        return f"Fate({', '.join(rest + places)})"


KEPT: Final = Fate()
"""Everything was stored in time: what a process leaves that ends by itself."""

LOST: Final = Fate("lost")
"""Nothing was stored that was not synchronised."""


def every_fate(count: int, *, power: bool = True) -> Iterator[Fate]:
    """Yield the fates to try for so many operations.

    All kept; and the last one torn. Unless only the process ends, which leaves what it wrote with
    the system: all lost, each single one lost, and each single one torn or left as zeros.
    """
    yield KEPT
    if count:
        yield Fate(torn=(1,))
    if power and count:
        yield LOST
        for place in range(1, count + 1):
            yield Fate(lost=(place,))
            yield Fate(zeroed=(place,))
            if place > 1:
                yield Fate(torn=(place,))


def random_fate(random: Random, count: int) -> Fate:
    """Draw an outcome for each of so many operations: mostly alike, at times all mixed."""
    rest: Outcome = random.choice(("kept", "lost"))
    share = random.choice((0.0, 0.1, 0.5))
    drawn: dict[Outcome, list[int]] = {"kept": [], "lost": [], "torn": [], "zeroed": []}
    for place in range(1, count + 1):
        if random.random() < share:
            drawn[random.choice(("kept", "lost", "torn", "zeroed"))].append(place)
    return Fate(
        rest,
        lost=tuple(drawn["lost"]),
        torn=tuple(drawn["torn"]),
        zeroed=tuple(drawn["zeroed"]),
        kept=tuple(drawn["kept"]),
    )
