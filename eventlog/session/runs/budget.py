"""How often a run may be restarted: so often in a row, and so often within a window (R1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventlog.argument_checks import check_count, check_number
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.session.runs.state import RESTARTS_KEPT

if TYPE_CHECKING:
    from eventlog.session.runs.state import Run

__all__ = ["RestartPolicy"]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often, and how soon, an attempt that crashed is followed by another one.

    At most ``consecutive`` restarts follow each other without progress; the first comes after
    ``delays[0]`` seconds, and so on, the last delay repeated. ``window`` is a number of restarts and
    a time in seconds: no more restarts than these within that time, whatever progress there was.

    Progress is a step or a named stream that no earlier attempt finished. A restart counts from its
    beginning. Raises `InvalidArgument` for numbers that are out of range.
    """

    consecutive: int = 3
    delays: tuple[float, ...] = (1, 2, 4)
    window: tuple[int, float] = (10, 600.0)

    def __post_init__(self) -> None:
        check_count("consecutive", self.consecutive, "restarts")
        for name in ("delays", "window"):
            if not isinstance(found := getattr(self, name), (tuple, list)):
                raise InvalidArgument(f"{name} is {shown(found)}; it must be a tuple of numbers")
        if not self.delays:
            raise InvalidArgument("delays is empty; give the seconds before the first restart")
        for seconds in self.delays:
            _check_seconds("delays", seconds)
        if len(self.window) != 2:  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidArgument(
                f"window is {shown(self.window)}; it must be a number of restarts, and seconds"
            )
        count, seconds = self.window
        check_count("window", count, "restarts")
        if count > RESTARTS_KEPT:
            raise InvalidArgument(
                f"window has {count} restarts; at most {RESTARTS_KEPT} are counted"
            )
        _check_seconds("window", seconds)

    def refusal(self, run: Run, now: int) -> str | None:
        """Return why there is no restart at a time in microseconds; None if there is one."""
        if run.consecutive >= self.consecutive:
            return f"after {run.consecutive} restarts without progress"
        count, seconds = self.window
        recent = sum(1 for at in run.restarts if at > now - seconds * 1_000_000)
        if recent >= count:
            return f"after {recent} restarts within {seconds:g} s"
        return None

    def delay(self, run: Run) -> int:
        """Return the microseconds before the next restart."""
        return int(self.delays[min(run.consecutive, len(self.delays) - 1)] * 1_000_000)


def _check_seconds(name: str, value: float) -> None:
    if not 0 <= check_number(name, value) <= 86_400:
        raise InvalidArgument(f"{name} has {shown(value)}; it must be from 0 to 86,400 seconds")
