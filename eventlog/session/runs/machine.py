"""The machine of a run: it waits, runs, backs off after a crash, and ends in one of four ways."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from eventlog.machine import ABSENT, StateMachine, Transition

__all__ = ["INBOUND", "RUN_ENDS", "RUN_MACHINE", "WAITING", "RunEnd", "RunState"]

RunState: TypeAlias = Literal[
    "idle", "running", "backing_off", "completed", "cancelled", "failed", "abandoned"
]
"""The states of the machine, once the message is queued."""

RunEnd: TypeAlias = Literal["completed", "cancelled", "failed", "abandoned"]
"""How a run ends. Only a failed one can be queued again, by somebody who asks for it."""

INBOUND: Final = "inbound"
"""The kind of the task that an inbound message is: a run executes it, and no worker."""

WAITING: Final = frozenset({"idle", "running", "backing_off"})
"""The states in which a run is not over."""

RUN_ENDS: Final[dict[str, RunEnd]] = {
    "run_completed": "completed",
    "run_cancelled": "cancelled",
    "run_failed": "failed",
    "run_abandoned": "abandoned",
}
"""The events that end a run, and the state that each leads to."""

_WAITING: Final = ("idle", "running", "backing_off")

RUN_MACHINE: Final = StateMachine(
    "run",
    states=["idle", "running", "backing_off", "completed", "cancelled", "failed", "abandoned"],
    transitions=[
        Transition("message_enqueued", (ABSENT,), "idle"),
        Transition("run_started", ("idle", "backing_off"), "running"),
        Transition("run_crashed", ("running",), "backing_off"),
        Transition("run_released", ("running",), "idle"),
        Transition("run_stop_requested", ("running",), "running"),
        Transition("model_called", ("running",), "running"),
        Transition("run_completed", _WAITING, "completed"),
        Transition("run_cancelled", _WAITING, "cancelled"),
        Transition("run_failed", _WAITING, "failed"),
        Transition("run_abandoned", (*_WAITING, "failed"), "abandoned"),
        Transition("retry_requested", ("failed",), "idle"),
    ],
)
