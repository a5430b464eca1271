"""How each record changes the state of its session: one handler per type of event.

Folding is total: a step that a machine does not have becomes a finding and changes nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.codec import decode_event
from eventlog.events import is_builtin_type
from eventlog.recorded import Recorded
from eventlog.records import Record
from eventlog.session.archive import Overview, archive_of
from eventlog.session.events import (
    CommitPrepared,
    ContextsUsed,
    MemorySessionAssigned,
    MessageAppended,
    ProjectAssigned,
    SessionCreated,
    ToolResultRecorded,
)
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.message_data import MessageData
from eventlog.session.state import SessionState
from eventlog.session.tasks.events import ArchiveFinalized, StepCompleted, TaskCompleted, TaskQueued
from eventlog.session.tasks.machine import MEMORIES
from eventlog.session.tasks.state import (
    Task,
    add_usage,
    advance,
    finalising_task,
    follow_up_task,
    queued_task,
)
from eventlog.session.window import Window

if TYPE_CHECKING:
    from eventlog.session.folder_events import FolderAdopted, FolderAttached

__all__ = ["apply", "apply_message", "apply_records"]

_MESSAGE: Final = MessageAppended.event_type
_MESSAGE_SCHEMA: Final = MessageAppended.event_schema

_QUIET: Final = frozenset(
    {"lease_renewed", "folder_attached", "folder_detached", "folder_healed", "folder_adopted"}
)
"""Events that leave ``updated_at`` alone (M8): they say nothing about the session itself, or tell
when it was updated."""


def apply(state: SessionState, recorded: Recorded) -> SessionState:
    """Fold one record into ``state``, in place.

    Total: a step that a machine does not have becomes a finding and changes nothing else.
    """
    record = recorded.record
    type_ = record.type
    handler = _HANDLERS.get(type_)
    if handler is not None:
        handler(state, record, recorded.event)
    elif is_builtin_type(type_):
        _fold_task(state, record, recorded.event)
    if type_ not in _QUIET:
        state.updated_at = record.time
    _advance(state, record)
    return state


def apply_message(state: SessionState, record: Record, message: MessageData, tokens: int) -> None:
    """Fold a ``message_appended`` of an open session whose event is at hand in parts."""
    _fold_message(state, record, message, tokens)
    state.updated_at = record.time
    _advance(state, record)


def apply_records(state: SessionState, records: Iterable[Record | Recorded]) -> None:
    """Fold records as `apply` does, but read the data of messages in the shortest way.

    Raises as `Recorded.event` does.
    """
    read_message = _message_reader()
    for entry in records:
        record = entry if type(entry) is Record else cast("Recorded", entry).record
        _, _, _, _, type_, schema, _, data, _, _ = record
        if type_ != _MESSAGE or schema != _MESSAGE_SCHEMA or state.status != "open":
            apply(state, Recorded(record))
            continue
        try:
            appended = read_message(data)
        except ValidationError:
            decode_event(record)  # It tells what is wrong with the data.
            raise
        apply_message(state, record, appended["message"], appended["tokens"])


class _AppendedData(TypedDict):
    """The fields of `MessageAppended`: reading them takes two thirds of reading the model."""

    message: MessageData
    tokens: int


@cache
def _message_reader() -> Callable[[bytes], _AppendedData]:
    return TypeAdapter(_AppendedData).validator.validate_json


def _advance(state: SessionState, record: Record) -> None:
    state.version = record.version
    state.hash = record.hash
    state.time = record.time


def _step(state: SessionState, record: Record) -> bool:
    """Move the session's machine; False, and a finding, where it has no such step."""
    status = SESSION_MACHINE.table.get((state.status, record.type))
    if status is None:
        _report(state, record, f"session is {state.status!r}")
        return False
    state.status = status
    return True


def _report(state: SessionState, record: Record, where: str) -> None:
    state.findings.append((record.version, f"{where}: {record.type!r} is not possible from there"))


def _created(state: SessionState, record: Record, event: SessionCreated) -> None:
    if not _step(state, record):
        return
    state.created_at = record.time
    state.follow(event)


def _message_appended(state: SessionState, record: Record, event: MessageAppended) -> None:
    if state.status == "open" or _step(state, record):
        _fold_message(state, record, event.message, event.tokens)


def _fold_message(state: SessionState, record: Record, message: MessageData, tokens: int) -> None:
    """Add a message to the live tail; it begins a turn unless it only carries tool results."""
    version, window = record.version, state.window
    parts = message["parts"]
    if len(parts) == 1 and parts[0]["type"] == "text":
        window.append(version, tokens, message["role"] == "user")
    else:
        tools = [part for part in parts if part["type"] == "tool"]
        only_tools = len(tools) == len(parts) > 0
        window.append(version, tokens, message["role"] == "user" and not only_tools)
        for part in tools:
            _fold_tool_part(window, part, message["id"], version)
    state.total_message_count += 1
    state.last_message_at = record.time


def _fold_tool_part(window: Window, part: dict[str, Any], message_id: str, version: int) -> None:
    if part.get("tool_status", "pending") in ("pending", "running"):
        window.call(part.get("tool_id", ""), message_id, version)
    else:
        window.answer(part.get("tool_id", ""))


def _tool_result(state: SessionState, record: Record, event: ToolResultRecorded) -> None:
    if not _step(state, record):
        return
    if event.status != "running":
        state.window.answer(event.tool_id, event.tokens, event.message_id)


def _used(state: SessionState, record: Record, event: ContextsUsed) -> None:
    if _step(state, record):
        state.usage_count += 1


def _project(state: SessionState, record: Record, event: ProjectAssigned) -> None:
    if _step(state, record):
        state.project = event.project


def _memory_session(state: SessionState, record: Record, event: MemorySessionAssigned) -> None:
    if _step(state, record):
        state.memory_sessions[event.provider] = event.memory_session_id


def _folder_attached(state: SessionState, record: Record, event: FolderAttached) -> None:
    if _step(state, record):
        state.folder = event.path


def _folder_detached(state: SessionState, record: Record, event: Any) -> None:
    if _step(state, record):
        state.folder = None


def _step_only(state: SessionState, record: Record, event: Any) -> None:
    _step(state, record)


def _commit_prepared(state: SessionState, record: Record, event: CommitPrepared) -> None:
    if not _step(state, record):
        return
    left_count = event.message_count - event.repeated_count
    left_tokens = event.tokens - event.repeated_tokens
    state.window.archive(record.version, event.retains, left_count, left_tokens)
    _count_commits(state, event.archive - 1)
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


def _count_commits(state: SessionState, count: int) -> None:
    """Count commits up to ``count``, and note the numbers that are passed over as unused."""
    if count > state.commit_count:
        state.unused.append((state.commit_count + 1, count))
        state.commit_count = count


def _begin(state: SessionState, task: Task | None) -> None:
    if task is not None:
        state.tasks[task.task_id] = task


def _folder_adopted(state: SessionState, record: Record, event: FolderAdopted) -> None:
    if not _step(state, record):
        return
    state.created_at = event.created_at or state.created_at
    state.updated_at = event.updated_at or record.time
    state.last_message_at = event.last_message_at
    state.last_commit_at = event.last_commit_at
    state.total_message_count = event.total_message_count
    _count_commits(state, event.commit_count)
    state.keep_recent = event.keep_recent
    state.memories = dict(event.memories)
    state.usage = event.usage


def _task_queued(state: SessionState, record: Record, event: TaskQueued) -> None:
    _begin(state, queued_task(record, event))


def _fold_task(state: SessionState, record: Record, event: Any) -> Task | None:
    task = state.tasks.get(event.task_id)
    if task is None:
        _report(state, record, f"task {event.task_id} is unknown or finished")
        return None
    moved = advance(task, record, event)
    if moved is None:
        _report(state, record, f"task {event.task_id} is {task.state!r}")
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
    """Have an archive stand where its task says: in the lane, among the failed, or in neither."""
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


def _cover(state: SessionState, index: int) -> None:
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
    if latest:
        state.overview = Overview(event.archive, record.version)
        for index in event.covers:
            _cover(state, index)
    for follow_up in event.follow_ups:
        _begin(state, follow_up_task(record, event.archive, follow_up))


_HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "session_created": _created,
    "message_appended": _message_appended,
    "tool_result_recorded": _tool_result,
    "contexts_used": _used,
    "project_assigned": _project,
    "memory_session_assigned": _memory_session,
    "commit_prepared": _commit_prepared,
    "adoption_begun": _step_only,
    "adoption_finding_recorded": _step_only,
    "archive_adopted": _step_only,
    "folder_adopted": _folder_adopted,
    "folder_attached": _folder_attached,
    "folder_detached": _folder_detached,
    "folder_healed": _step_only,
    "session_closed": _step_only,
    "session_deleted": _step_only,
    "task_queued": _task_queued,
    "step_completed": _step_completed,
    "task_completed": _task_completed,
    "archive_finalized": _finalized,
}
