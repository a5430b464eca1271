"""What a figure gives: lines for the table, and numbers with their spread for JSON and drawings."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from benchmarks.workload import Timing

__all__ = ["Figure", "Result", "Row", "Scale", "Spread", "against", "in_turns", "rate", "spread"]


@dataclass(frozen=True)
class Scale:
    """The size of the measurements: full, or small, only to check that everything runs."""

    appends: int = 6_000
    many: int = 64_000
    peer_many: int = 6_400
    replayed: int = 100_000
    large: int = 1_000_000
    tasks: int = 2_560
    peer_tasks: int = 640
    runs: int = 3
    turns: int = 7
    seconds: float = 20.0
    trials: int = 5
    archives: int = 2_000
    writes: int = 3_000
    commits: int = 20
    reported: int = 10_000
    inspected: int = 300_000
    pressed_seconds: float = 60.0
    waited_seconds: float = 15.0
    lengths: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    listed: tuple[int, ...] = (100, 1_000, 10_000, 100_000)

    def share(self, divisor: int) -> Scale:
        """Return the scale with fewer operations and shorter runs; the lengths of sessions stay.

        The operations are a multiple of 64, as many as there are sessions at once.
        """
        counts = ("appends", "many", "peer_many", "tasks", "peer_tasks", "archives", "writes")
        seconds = ("seconds", "pressed_seconds", "waited_seconds")
        if divisor == 1:
            return self
        fewer = {name: max(getattr(self, name) // divisor // 64 * 64, 256) for name in counts}
        shorter = {name: getattr(self, name) / divisor for name in seconds}
        return replace(self, **fewer, **shorter)


class Spread(NamedTuple):
    """The median of runs that were made in turn with others, and the quartiles."""

    median: float
    low: float
    high: float
    runs: int

    def times(self, factor: float) -> Spread:
        """Return it in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.runs)


@dataclass(frozen=True)
class Row:
    """One measured line: ours, the others' with ratios, and the goal."""

    name: str
    ours: str
    others: dict[str, str] = field(default_factory=dict[str, str])
    goal: str = ""
    met: bool | None = None
    unit: str = ""
    """What ``numbers`` and the second number of each point of ``curves`` count."""
    numbers: dict[str, Spread] = field(default_factory=dict[str, Spread])
    """By contender; ours is ``eventlog``."""
    curve: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Ours, at several sizes or shares."""


@dataclass(frozen=True)
class Figure:
    """A figure of the goals and how it is measured."""

    name: str
    title: str
    measure: Callable[[Scale], Iterator[Row]]


@dataclass(frozen=True)
class Result:
    """A figure that was measured."""

    name: str
    title: str
    about: str
    rows: list[Row]
    measured: str = ""
    """When, and how busy the machine was then."""
    failed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {"rows": [_row_as_json(row) for row in self.rows]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Result:
        """Return what `as_json` gave."""
        rows = [_row_from_json(row) for row in fields["rows"]]
        others: dict[str, Any] = {**fields, "rows": rows}
        return cls(**others)


def _row_from_json(fields: dict[str, Any]) -> Row:
    numbers = {name: Spread(*found) for name, found in fields["numbers"].items()}
    others: dict[str, Any] = {**fields, "numbers": numbers}
    others["curve"] = [(x, y) for x, y in fields["curve"]]
    return Row(**others)


def _row_as_json(row: Row) -> dict[str, Any]:
    return {**asdict(row), "numbers": {name: list(found) for name, found in row.numbers.items()}}


def in_turns(
    runs: int, mine: Callable[[], Timing], **peers: Callable[[], Timing]
) -> tuple[dict[str, list[Timing]], dict[str, str]]:
    """Measure ours and the others in turn; return the timings by contender, and who is missing.

    A disturbance of the machine so falls on all of them. A peer that is not installed, or that fails,
    is left out with the reason; ours may not fail.
    """
    timings: dict[str, list[Timing]] = {"eventlog": []}
    missing: dict[str, str] = {}
    for _ in range(runs):
        timings["eventlog"].append(mine())
        for name, measure in peers.items():
            if name in missing:
                continue
            try:
                timings.setdefault(name, []).append(measure())
            except ImportError:
                missing[name] = "not installed"
            except Exception as error:  # noqa: BLE001 - a peer's trouble ends no measurement of ours
                missing[name] = f"failed: {type(error).__name__}"
    return {name: found for name, found in timings.items() if name not in missing}, missing


def spread(values: list[float]) -> Spread:
    """Return the median and the quartiles of values."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0], len(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def rate(found: Spread) -> str:
    """Write a rate with its quartiles."""
    return f"{found.median:,.0f}/s ({found.low:,.0f} to {found.high:,.0f})"


def against(mine: Spread, others: dict[str, Spread], missing: dict[str, str]) -> dict[str, str]:
    """Write the others' rates, and how many times as fast ours is."""
    written = {
        name.replace("_", "-"): f"{found.median:,.0f}/s ({mine.median / found.median:.2f}×)"
        for name, found in others.items()
        if name != "eventlog"
    }
    return written | {name.replace("_", "-"): why for name, why in missing.items()}
