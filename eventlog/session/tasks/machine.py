"""The machine of every task: finalising an archive, its follow-ups, and users' own kinds."""

from __future__ import annotations

from typing import Final, Literal

from eventlog.machine import ABSENT, StateMachine, Transition

__all__ = [
    "EFFECT",
    "FINALISE",
    "MEMORIES",
    "OPEN_STATES",
    "POLLER_VIEW",
    "SKILLS",
    "TASK_MACHINE",
    "PollerState",
    "TaskState",
]

TaskState = Literal[
    "preparing", "pending", "running", "retry", "completed", "terminal_failed", "abandoned"
]
"""The states of the machine, once the task exists."""

PollerState = Literal["pending", "running", "completed", "failed"]
"""The state of a task in four words, for pollers (F11)."""

FINALISE: Final = "finalise"
"""The task kind that finalises an archive: the only one that is ordered within its session."""

MEMORIES: Final = "memories"
SKILLS: Final = "skills"
EFFECT: Final = "side_effect:"
"""The kinds of follow-ups; that of a side effect ends with the callable's name."""

OPEN_STATES: Final = frozenset({"preparing", "pending", "running", "retry"})
"""The states in which a task proceeds by itself."""

_UNFINISHED = (*sorted(OPEN_STATES), "terminal_failed")

_WAITING: Final = ("pending", "running", "retry")
"""The states of an inbound message's task whose run is not over."""

TASK_MACHINE: Final = StateMachine(
    "task",
    states=[
        "preparing",
        "pending",
        "running",
        "retry",
        "completed",
        "terminal_failed",
        "abandoned",
    ],
    transitions=[
        Transition("commit_prepared", (ABSENT,), "preparing"),
        Transition("task_queued", (ABSENT,), "pending"),
        Transition("commit_published", ("preparing",), "pending"),
        Transition("task_claimed", ("pending", "retry"), "running"),
        Transition("lease_renewed", ("running",), "running"),
        Transition("step_completed", ("running",), "running"),
        Transition("lease_expired", ("running",), "retry"),
        Transition("task_released", ("running",), "pending"),
        Transition("attempt_failed", ("running",), "retry"),
        Transition("archive_finalized", ("running",), "completed"),
        Transition("task_completed", ("running",), "completed"),
        Transition("archive_failed", ("running", "retry"), "terminal_failed"),
        Transition("task_failed", ("running", "retry"), "terminal_failed"),
        Transition("retry_requested", ("terminal_failed",), "pending"),
        Transition("archive_abandoned", _UNFINISHED, "abandoned"),
        Transition("task_abandoned", _UNFINISHED, "abandoned"),
        # The task of an inbound message has the events of its run, and no others.
        Transition("message_enqueued", (ABSENT,), "pending"),
        Transition("run_started", ("pending", "retry"), "running"),
        Transition("run_crashed", ("running",), "retry"),
        Transition("run_released", ("running",), "pending"),
        Transition("run_stop_requested", ("running",), "running"),
        Transition("model_called", ("running",), "running"),
        Transition("run_completed", _WAITING, "completed"),
        Transition("run_failed", _WAITING, "terminal_failed"),
        Transition("run_cancelled", _WAITING, "abandoned"),
        Transition("run_abandoned", (*_WAITING, "terminal_failed"), "abandoned"),
    ],
)

POLLER_VIEW: Final[dict[TaskState, PollerState]] = {
    "preparing": "pending",
    "pending": "pending",
    "running": "running",
    "retry": "running",
    "completed": "completed",
    "terminal_failed": "failed",
    "abandoned": "failed",
}
"""The poller's word for each state of the machine (F11)."""
