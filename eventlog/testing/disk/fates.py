"""The fates of operations that were not synced when the power failed (K3)."""

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
        """Return the outcomes of ``count`` operations, the oldest first."""
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
        """Return code for the fate, for pasting into a test; only what differs from all kept is shown."""
        rest = [] if self.rest == "kept" else [f"rest={self.rest!r}"]
        places = [
            f"{name}={places!r}"
            for name in ("lost", "torn", "zeroed", "kept")
            if (places := getattr(self, name))
        ]
        return f"Fate({', '.join(rest + places)})"


KEPT: Final = Fate()
"""Everything was stored, as when only the process ends."""

LOST: Final = Fate("lost")
"""Only what was synced is stored."""


def every_fate(count: int, *, power: bool = True) -> Iterator[Fate]:
    """Yield the fates to try for ``count`` operations.

    They are: all kept, and the last one torn. If the power fails and not only the process ends, also:
    all lost, each single one lost, and each single one torn or zeroed.
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
    """Draw an outcome for each of ``count`` operations: mostly the same one, sometimes all mixed."""
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
