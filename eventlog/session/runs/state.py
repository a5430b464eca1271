"""The folded state of a run: one value per run, replaced by each of its events, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from eventlog.machine import ABSENT
from eventlog.session.runs.machine import RUN_MACHINE, WAITING
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.tasks.state import add_usage

if TYPE_CHECKING:
    from eventlog.records import Record
    from eventlog.session.runs.events import (
        MessageEnqueued,
        ModelCalled,
        RunCrashed,
        RunStarted,
        RunStopRequested,
    )

__all__ = ["RESTARTS_KEPT", "Run", "advanced", "enqueued_run", "progressed"]

RESTARTS_KEPT: Final = 100
"""Times of restarts that a run remembers: the longest window that a policy can count."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, waiting or over; all times in microseconds since the Unix epoch."""

    run_id: str
    session_id: str
    message_id: str = ""
    queued: int = 0
    """The version of its `MessageEnqueued`, which has the message."""
    queued_at: int = 0
    state: str = ABSENT
    attempt: int = 0
    fence: int = 0
    """The version of the latest ``run_started``."""
    started_at: int = 0
    due_at: int = 0
    """When the next attempt may begin."""
    supervisor: str | None = None
    provider: str | None = None
    """The provider of the latest attempt."""
    gone: tuple[str, ...] = ()
    """The providers that turned out to be gone while the run used them."""
    fallbacks: int = 0
    """How often an attempt had another provider than the one before."""
    consecutive: int = 0
    """Restarts since the last progress, counted when an attempt begins."""
    restarts: tuple[int, ...] = ()
    """The times of the newest restarts, ascending."""
    restart_count: int = 0
    calls: int = 0
    """How often a model was called."""
    usage: TokenUsage = field(default_factory=TokenUsage)
    stop: str | None = None
    """The reason for which somebody wants it to be cancelled."""
    error: str | None = None
    updated_at: int = 0
    ended_at: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the run is not over."""
        return self.state in WAITING


def enqueued_run(record: Record, event: MessageEnqueued) -> Run:
    """Return the run of a message that was queued."""
    return Run(
        run_id=event.task_id,
        session_id=record.stream,
        message_id=event.message["id"],
        queued=record.version,
        queued_at=record.time,
        state="idle",
        due_at=record.time,
        updated_at=record.time,
    )


def advanced(run: Run, record: Record, event: Any) -> Run | None:
    """Return the run after an event about it; None if the machine does not allow it (P7)."""
    state = RUN_MACHINE.table.get((run.state, record.type))
    if state is None:
        return None
    changes = _CHANGES[record.type](run, record, event)
    return replace(run, state=state, updated_at=record.time, **changes)


def progressed(run: Run) -> Run:
    """Return the run after a step that no earlier attempt finished: the count starts anew (R1)."""
    return replace(run, consecutive=0) if run.consecutive else run


def _started(run: Run, record: Record, event: RunStarted) -> dict[str, Any]:
    is_other = run.provider is not None and event.provider != run.provider
    changes: dict[str, Any] = {
        "attempt": event.attempt,
        "fence": record.version,
        "started_at": record.time,
        "supervisor": event.supervisor,
        "provider": event.provider,
        "fallbacks": run.fallbacks + is_other,
        "stop": None,
    }
    if event.is_restart:
        changes["consecutive"] = run.consecutive + 1
        changes["restart_count"] = run.restart_count + 1
        changes["restarts"] = (*run.restarts, record.time)[-RESTARTS_KEPT:]
    return changes


def _crashed(run: Run, record: Record, event: RunCrashed) -> dict[str, Any]:
    gone = run.gone
    if event.provider_gone and run.provider is not None and run.provider not in gone:
        gone = (*gone, run.provider)
    return {"error": event.error, "due_at": event.next_run_at, "gone": gone}


def _released(run: Run, record: Record, event: object) -> dict[str, Any]:
    return {"due_at": record.time}


def _stop_requested(run: Run, record: Record, event: RunStopRequested) -> dict[str, Any]:
    return {"stop": event.reason or "stopped"}


def _called(run: Run, record: Record, event: ModelCalled) -> dict[str, Any]:
    return {"calls": run.calls + 1, "usage": add_usage(run.usage, event.usage)}


def _completed(run: Run, record: Record, event: object) -> dict[str, Any]:
    return {"error": None, "ended_at": record.time}


def _ended(run: Run, record: Record, event: Any) -> dict[str, Any]:
    said = getattr(event, "error", None) or getattr(event, "reason", None)
    return {"error": said, "ended_at": record.time}


def _retried(run: Run, record: Record, event: object) -> dict[str, Any]:
    return {
        "due_at": record.time,
        "ended_at": 0,
        "consecutive": 0,
        "restarts": (),
        "gone": (),
        "stop": None,
    }


_CHANGES: Final[dict[str, Callable[[Run, Any, Any], dict[str, Any]]]] = {
    "run_started": _started,
    "run_crashed": _crashed,
    "run_released": _released,
    "run_stop_requested": _stop_requested,
    "model_called": _called,
    "run_completed": _completed,
    "run_cancelled": _ended,
    "run_failed": _ended,
    "run_abandoned": _ended,
    "retry_requested": _retried,
}
