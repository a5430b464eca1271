"""The events of runs. A session without inbound messages has none, so this module is imported when
needed.

They are events of the run's task, too: the task of an inbound message has no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from eventlog.session.message_data import MessageData
from eventlog.session.tasks.events import TaskEvent, TokenUsage

if TYPE_CHECKING:
    from eventlog.session.runs.machine import RunEnd

__all__ = [
    "MessageEnqueued",
    "ModelCalled",
    "RunAbandoned",
    "RunCancelled",
    "RunCompleted",
    "RunCrashed",
    "RunEvent",
    "RunFailed",
    "RunReleased",
    "RunStarted",
    "RunStopRequested",
    "ended_run",
]


class MessageEnqueued(TaskEvent, type="message_enqueued"):
    """A message waits for a run, which will append it as it is here.

    It is in no tail, count or context before. The task's id is that of the run, and of its turn.
    """

    message: MessageData
    tokens: int


class RunEvent(TaskEvent):
    """An event about one attempt of a run, which is the same attempt at its turn; 0 before the first."""

    attempt: int


class RunStarted(RunEvent, type="run_started"):
    """An attempt began, on a provider. Its turn is begun, and its message appended, right after.

    ``is_restart`` says that the attempt before crashed: such a start counts against the budget of
    restarts, from here on, however the attempt ends.
    """

    supervisor: str
    provider: str | None = None
    is_restart: bool = False


class RunCrashed(RunEvent, type="run_crashed"):
    """An attempt ended without a result; the next one is due at ``next_run_at``, in microseconds.

    ``owner_lost`` says that others found its owner gone. With ``provider_gone`` the next attempt
    takes another provider.
    """

    error: str
    next_run_at: int
    owner_lost: bool = False
    provider_gone: bool = False


class RunReleased(RunEvent, type="run_released"):
    """An attempt was stopped because its supervisor was; it does not count, and the run goes on."""

    reason: str


class RunStopRequested(RunEvent, type="run_stop_requested"):
    """Somebody wants the run to be cancelled; its owner does so, or whoever finds the owner gone."""

    reason: str | None = None


class ModelCalled(RunEvent, type="model_called"):
    """A call of a model was tried, for the ``number``-th time under its name.

    After ``failed`` it is tried again ``delay_seconds`` later; after ``refused`` it is not.
    """

    call: str
    number: int
    outcome: Literal["succeeded", "failed", "refused"]
    error: str | None = None
    delay_seconds: float | None = None
    usage: TokenUsage = Field(default_factory=TokenUsage)


class RunCompleted(RunEvent, type="run_completed"):
    """The run is done: its turn has a result."""


class RunCancelled(RunEvent, type="run_cancelled"):
    """Somebody stopped the run."""

    reason: str


class RunFailed(RunEvent, type="run_failed"):
    """The run failed for good: its restarts are used up, or the error was fatal."""

    error: str


class RunAbandoned(RunEvent, type="run_abandoned"):
    """Nobody can execute the run, or nobody is to."""

    reason: str


def ended_run(run_id: str, attempt: int, how: RunEnd, said: Any) -> RunEvent:
    """Return the event that ends a run as its turn ended; ``said`` is the error, or the reason."""
    match how:
        case "completed":
            return RunCompleted(task_id=run_id, attempt=attempt)
        case "failed":
            return RunFailed(task_id=run_id, attempt=attempt, error=said)
        case "cancelled":
            return RunCancelled(task_id=run_id, attempt=attempt, reason=said)
        case "abandoned":
            return RunAbandoned(task_id=run_id, attempt=attempt, reason=said)
