"""How the events of tasks, and of the archives that they finalise, change a session's state."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.session.archive import Overview, archive_of
from eventlog.session.stepping import report, step
from eventlog.session.tasks.machine import MEMORIES, TASK_MACHINE
from eventlog.session.tasks.state import (
    Task,
    add_usage,
    advance,
    finalising_task,
    follow_up_task,
    queued_task,
)
from eventlog.session.version_ranges import ascending, without
from eventlog.session.window import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.events import CommitPrepared
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.events import (
        ArchiveFinalized,
        StepCompleted,
        TaskCompleted,
        TaskEvent,
        TaskQueued,
    )

__all__ = ["HANDLERS", "QUIET", "cover"]

QUIET: Final = frozenset({"lease_renewed"})
"""Events that leave ``updated_at`` alone (M8): they say nothing about the session itself."""


def _commit_prepared(state: SessionState, record: Record, event: CommitPrepared) -> None:
    if not step(state, record):
        return
    taken = ascending(event.takes)
    if state.status == "adopting":
        # An adopted archive may hold messages that are nevertheless live: those that it retains.
        taken = without(taken, ascending(event.retains))
    claimed = Claimed(
        event.retains,
        event.message_count - event.repeated_count,
        event.tokens - event.repeated_tokens,
    )
    state.window.archive(record.version, taken, claimed)
    state.changed = record.version
    state.count_commits(event.archive - 1)
    state.commit_count = max(state.commit_count, event.archive)
    state.last_commit_at = record.time
    state.keep_recent = event.keep_recent
    state.usage_after = event.usage_until
    state.usage_count = max(0, state.usage_count - event.usage_count)
    state.archives[event.archive] = archive_of(record, event)
    task = finalising_task(record, event)
    if task is not None:
        state.tasks[task.task_id] = task
        _place_archive(state, event.archive, task)


def _begin(state: SessionState, task: Task | None) -> None:
    if task is not None:
        state.tasks[task.task_id] = task


def _task_queued(state: SessionState, record: Record, event: TaskQueued) -> None:
    _begin(state, queued_task(record, event))


def _fold_task(state: SessionState, record: Record, event: TaskEvent) -> Task | None:
    task = state.tasks.get(event.task_id)
    if task is None:
        report(state, record, f"task {event.task_id} is unknown or finished")
        return None
    moved = advance(task, record, event)
    if moved is None:
        report(state, record, f"task {event.task_id} is {task.state!r}")
        return None
    is_ended = moved.state in ("completed", "abandoned")
    if is_ended:
        del state.tasks[moved.task_id]
    else:
        state.tasks[moved.task_id] = moved
    if moved.ordered and moved.archive is not None and not (task.is_open and moved.is_open):
        _place_archive(state, moved.archive, moved)
        if is_ended:
            _settle_archive(state, moved.archive)
    return moved


def _place_archive(state: SessionState, index: int, task: Task) -> None:
    """Put an archive where its task's state says: in the lane, among the failed, or in neither."""
    _take_out(state.lane, index)
    _take_out(state.failed, index)
    if task.is_open:
        insort(state.lane, index)
    elif task.state == "terminal_failed":
        insort(state.failed, index)


def _take_out(indexes: list[int], index: int) -> None:
    place = bisect_left(indexes, index)
    if indexes[place : place + 1] == [index]:
        del indexes[place]


def _settle_archive(state: SessionState, index: int) -> None:
    archive = state.archives.get(index)
    if archive is not None and archive.covered:
        del state.archives[index]


def cover(state: SessionState, index: int) -> None:
    """Note that contexts need not show the messages of an archive any more."""
    archive = state.archives.get(index)
    if archive is None:
        return
    if archive.task_id in state.tasks:
        state.archives[index] = replace(archive, covered=True)
    else:
        del state.archives[index]


def _step_completed(state: SessionState, record: Record, event: StepCompleted) -> None:
    if _fold_task(state, record, event) is not None:
        state.usage = add_usage(state.usage, event.usage)


def _task_completed(state: SessionState, record: Record, event: TaskCompleted) -> None:
    task = _fold_task(state, record, event)
    if task is None:
        return
    state.usage = add_usage(state.usage, event.usage)
    if task.kind == MEMORIES:
        result = cast("dict[str, dict[str, int]]", event.result or {})
        for category, count in result.get("memories_extracted", {}).items():
            state.memories[category] = state.memories.get(category, 0) + int(count)


def _finalized(state: SessionState, record: Record, event: ArchiveFinalized) -> None:
    task = _fold_task(state, record, event)
    if task is None:
        return
    latest = state.overview is None or event.archive > state.overview.archive
    if latest and event.archive > state.cleared:
        state.overview = Overview(event.archive, record.version)
        for index in event.covers:
            cover(state, index)
    for follow_up in event.follow_ups:
        _begin(state, follow_up_task(record, event.archive, follow_up))


def _task_event(state: SessionState, record: Record, event: TaskEvent) -> None:
    _fold_task(state, record, event)


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    **dict.fromkeys(TASK_MACHINE.events, _task_event),
    "commit_prepared": _commit_prepared,
    "task_queued": _task_queued,
    "step_completed": _step_completed,
    "task_completed": _task_completed,
    "archive_finalized": _finalized,
}
