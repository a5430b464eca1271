"""How the events of the session itself and of its messages change its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.parts import answerable, begins_round, is_plain, readings_of, tool_parts
from eventlog.session.stepping import step, step_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.events import (
        ContextsUsed,
        FailedArchivesChanged,
        MemorySessionAssigned,
        MessageAppended,
        ProjectAssigned,
        SessionCreated,
        ToolResultRecorded,
    )
    from eventlog.session.message_data import MessageData
    from eventlog.session.state import SessionState
    from eventlog.session.window import Window

__all__ = ["HANDLERS", "fold_message"]


def _created(state: SessionState, record: Record, event: SessionCreated) -> None:
    if not step(state, record):
        return
    state.created_at = record.time
    state.follow(event)


def _message_appended(state: SessionState, record: Record, event: MessageAppended) -> None:
    if state.status == "open" or step(state, record):
        fold_message(state, record, event.message, event.tokens)


def fold_message(state: SessionState, record: Record, message: MessageData, tokens: int) -> None:
    """Add a message to the live tail; a user message begins a round unless it has tool results."""
    if is_plain(message):
        state.window.append(record.version, tokens, message["role"] == "user")
    elif record.schema == 1:
        _fold_first_schema(state.window, record.version, message, tokens)
    else:
        _fold_parts(state.window, record.version, message, tokens)
    state.total_message_count += 1
    state.last_message_at = record.time
    if state.turn is not None:
        state.turn.note_message(record)


def _fold_first_schema(window: Window, version: int, message: MessageData, tokens: int) -> None:
    """Fold a message of schema 1, in which only ``tool`` parts were calls and results."""
    parts = message["parts"]
    tools = tool_parts(parts)
    only_tools = len(tools) == len(parts) > 0
    window.append(version, tokens, message["role"] == "user" and not only_tools)
    for part in tools:
        tool_id = part.get("tool_id", "")
        if part.get("tool_status", "pending") in ("pending", "running"):
            window.call(tool_id, message["id"], version)
        else:
            window.answer(tool_id, at=version)


def _fold_parts(window: Window, version: int, message: MessageData, tokens: int) -> None:
    """Fold a message whose parts may have any shape."""
    readings = readings_of(message)
    window.append(version, tokens, message["role"] == "user" and begins_round(readings))
    occurrences = {place: which for place, _, which in answerable(readings)}
    for place, found in enumerate(readings):
        if found.is_open and found.call is not None:
            window.call(found.call.id, message["id"], version, occurrences[place])
        elif found.call is None and found.result is not None:
            window.answer(found.result.id, at=version)


def _tool_result(state: SessionState, record: Record, event: ToolResultRecorded) -> None:
    if not step(state, record):
        return
    state.changed = record.version
    if state.turn is not None:
        state.turn.note_result(record)
    if event.status != "running":
        state.window.answer(
            event.tool_id, event.tokens, event.message_id, occurrence=event.occurrence
        )


def _used(state: SessionState, record: Record, event: ContextsUsed) -> None:
    if step(state, record):
        state.usage_count += 1


def _project(state: SessionState, record: Record, event: ProjectAssigned) -> None:
    if step(state, record):
        state.project = event.project


def _memory_session(state: SessionState, record: Record, event: MemorySessionAssigned) -> None:
    if step(state, record):
        state.memory_sessions[event.provider] = event.memory_session_id


def _failed_archives(state: SessionState, record: Record, event: FailedArchivesChanged) -> None:
    if step(state, record):
        state.failed_archives = event.policy


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "session_created": _created,
    "message_appended": _message_appended,
    "tool_result_recorded": _tool_result,
    "contexts_used": _used,
    "project_assigned": _project,
    "memory_session_assigned": _memory_session,
    "failed_archives_changed": _failed_archives,
    "session_closed": step_only,
    "session_deleted": step_only,
}
