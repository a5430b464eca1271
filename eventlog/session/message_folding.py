"""How the events of the session itself and of its messages change its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.stepping import step, step_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.events import (
        ContextsUsed,
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
    if not step(state, record):
        return
    if event.status != "running":
        state.window.answer(event.tool_id, event.tokens, event.message_id)


def _used(state: SessionState, record: Record, event: ContextsUsed) -> None:
    if step(state, record):
        state.usage_count += 1


def _project(state: SessionState, record: Record, event: ProjectAssigned) -> None:
    if step(state, record):
        state.project = event.project


def _memory_session(state: SessionState, record: Record, event: MemorySessionAssigned) -> None:
    if step(state, record):
        state.memory_sessions[event.provider] = event.memory_session_id


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "session_created": _created,
    "message_appended": _message_appended,
    "tool_result_recorded": _tool_result,
    "contexts_used": _used,
    "project_assigned": _project,
    "memory_session_assigned": _memory_session,
    "session_closed": step_only,
    "session_deleted": step_only,
}
