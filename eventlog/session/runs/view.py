"""A run as readers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.clock import format_time
from eventlog.session.runs.machine import RunState

if TYPE_CHECKING:
    from eventlog.session.runs.state import Run

__all__ = ["RunView", "run_view"]


class RunView(NamedTuple):
    """A run as readers see it. Times are ISO 8601 text, or empty.

    ``run_id`` is also the id of the run's task and of its turn. ``attempt`` counts from 1, and is 0
    before the first; ``restarts`` counts the attempts that followed a crash, and ``fallbacks`` those
    on another provider than the one before. ``calls`` counts calls of models, and ``usage`` is what
    they cost in tokens, as far as the agent said. ``due_at`` is when the next attempt may begin.
    """

    run_id: str
    session_id: str
    message_id: str
    state: RunState
    attempt: int
    provider: str | None
    supervisor: str | None
    restarts: int
    fallbacks: int
    calls: int
    usage: dict[str, int]
    queued_at: str
    started_at: str
    due_at: str
    updated_at: str
    ended_at: str
    stop_requested: str | None
    error: str | None


def _time(microseconds: int) -> str:
    return format_time(microseconds) if microseconds else ""


def run_view(run: Run) -> RunView:
    """Return the view of a run."""
    waits = run.state in ("idle", "backing_off")
    return RunView(
        run_id=run.run_id,
        session_id=run.session_id,
        message_id=run.message_id,
        state=cast("RunState", run.state),
        attempt=run.attempt,
        provider=run.provider,
        supervisor=run.supervisor if run.state == "running" else None,
        restarts=run.restart_count,
        fallbacks=run.fallbacks,
        calls=run.calls,
        usage=cast("dict[str, int]", dict(run.usage)),
        queued_at=_time(run.queued_at),
        started_at=_time(run.started_at),
        due_at=_time(run.due_at) if waits else "",
        updated_at=_time(run.updated_at),
        ended_at=_time(run.ended_at),
        stop_requested=run.stop if run.state == "running" else None,
        error=run.error,
    )
