"""Why a message is interrupted: the cause, as far as it is known, in the words of its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from eventlog.session.turns.machine import TurnEnd

__all__ = [
    "CLOSED",
    "GONE",
    "LAPSED",
    "STOPPED",
    "TURN_LAPSED",
    "TURN_OVER",
    "LostStream",
    "end_of_turn",
]

STOPPED: Final = "its producer ended it"
CLOSED: Final = "its producer closed the log"
GONE: Final = "the process of its producer has ended"
LAPSED: Final = "its lease lapsed and was not renewed"
TURN_LAPSED: Final = "the lease of its turn lapsed and was not renewed"
TURN_OVER: Final = "its turn is over"


class LostStream(NamedTuple):
    """A stream whose producer is gone, as it was judged."""

    fence: int
    lease_end: int | None
    reason: str


_ENDS: Final[dict[TurnEnd, str]] = {
    "completed": "its turn completed before it",
    "failed": "its turn failed",
    "cancelled": "its turn was cancelled",
    "abandoned": "its turn was abandoned",
}


def end_of_turn(how: TurnEnd, why: object) -> str:
    """Return the reason for which the messages of a turn are interrupted that ends before them."""
    said = _ENDS[how]
    return f"{said}: {why}" if how != "completed" and isinstance(why, str) and why else said
