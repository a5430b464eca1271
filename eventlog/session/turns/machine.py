"""The machine of a turn: begun, perhaps begun again, and ended with a result or without one."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from eventlog.machine import ABSENT, StateMachine, Transition

__all__ = ["ENDED_BY", "TURN_MACHINE", "TurnEnd", "TurnState"]

TurnState: TypeAlias = Literal["open", "completed", "failed", "cancelled", "abandoned"]
"""The states of the machine, once the turn exists."""

TurnEnd: TypeAlias = Literal["completed", "failed", "cancelled", "abandoned"]
"""How a turn ends. Only a completed one is never begun again."""

_BEGINS_FROM: Final = (ABSENT, "open", "failed", "cancelled", "abandoned")

ENDED_BY: Final[dict[str, TurnEnd]] = {
    "turn_completed": "completed",
    "turn_failed": "failed",
    "turn_cancelled": "cancelled",
    "turn_abandoned": "abandoned",
}
"""The events that end a turn, and the state that each leads to."""

TURN_MACHINE: Final = StateMachine(
    "turn",
    states=["open", "completed", "failed", "cancelled", "abandoned"],
    transitions=[
        Transition("turn_begun", _BEGINS_FROM, "open"),
        Transition("turn_renewed", ("open",), "open"),
        Transition("turn_step_completed", ("open",), "open"),
        *(Transition(event, ("open",), state) for event, state in ENDED_BY.items()),
    ],
)
