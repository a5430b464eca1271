"""How the events of runs change a session's state, which holds the runs that are not over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.runs.machine import RUN_MACHINE, WAITING
from eventlog.session.runs.state import advanced, enqueued_run
from eventlog.session.shared_dict import SharedDict
from eventlog.session.stepping import report
from eventlog.session.tasks import folding as task_folding
from eventlog.session.tasks.state import advance, queued_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.runs.events import MessageEnqueued
    from eventlog.session.runs.state import Run
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.events import TaskEvent

__all__ = ["HANDLERS", "fold_run"]


def _enqueued(state: SessionState, record: Record, event: MessageEnqueued) -> None:
    task = queued_message(record, event.task_id)
    if event.task_id in state.tasks or task is None:
        report(state, record, f"task {event.task_id} is there already")
        return
    state.tasks[event.task_id] = task
    run = state.runs[event.task_id] = enqueued_run(record, event)
    if state.queued is None:
        state.queued = SharedDict[str, str]()
    state.queued[run.message_id] = run.run_id


def fold_run(state: SessionState, record: Record, event: TaskEvent) -> None:
    """Move a run and its task; both machines must allow it."""
    run, task = state.runs.get(event.task_id), state.tasks.get(event.task_id)
    if run is None or task is None:
        report(state, record, f"run {event.task_id} is unknown or over")
        return
    moved, moved_task = advanced(run, record, event), advance(task, record, event)
    if moved is None or moved_task is None:
        report(state, record, f"run {event.task_id} is {run.state!r}")
        return
    if moved.state in WAITING or moved.state == "failed":
        state.runs[run.run_id], state.tasks[run.run_id] = moved, moved_task
    else:
        del state.runs[run.run_id], state.tasks[run.run_id]
    if moved.attempt or run.run_id not in state.runs:
        _appended(state, run)


def _appended(state: SessionState, run: Run) -> None:
    """Note that a run appends its message no more: it has, or never will."""
    queued = state.queued
    if queued is not None and queued.get(run.message_id) == run.run_id:
        del queued[run.message_id]
        if not queued:
            state.queued = None


def _retried(state: SessionState, record: Record, event: TaskEvent) -> None:
    if event.task_id in state.runs:
        fold_run(state, record, event)
    else:
        task_folding.HANDLERS[record.type](state, record, event)


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    **dict.fromkeys(RUN_MACHINE.events, fold_run),
    "message_enqueued": _enqueued,
    "retry_requested": _retried,
}
