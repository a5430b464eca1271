"""How the events of session folders, adopted or attached, change a session's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.stepping import step, step_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.folder_events import FolderAdopted, FolderAttached
    from eventlog.session.state import SessionState

__all__ = ["HANDLERS", "QUIET"]

QUIET: Final = frozenset({"folder_attached", "folder_detached", "folder_healed", "folder_adopted"})
"""Events that leave ``updated_at`` alone (M8): they say nothing about the session itself, or set
the time themselves."""


def _folder_attached(state: SessionState, record: Record, event: FolderAttached) -> None:
    if step(state, record):
        state.folder = event.path


def _folder_detached(state: SessionState, record: Record, event: Any) -> None:
    if step(state, record):
        state.folder = None


def _folder_adopted(state: SessionState, record: Record, event: FolderAdopted) -> None:
    if not step(state, record):
        return
    state.created_at = event.created_at or state.created_at
    state.updated_at = event.updated_at or record.time
    state.last_message_at = event.last_message_at
    state.last_commit_at = event.last_commit_at
    state.total_message_count = event.total_message_count
    state.count_commits(event.commit_count)
    state.keep_recent = event.keep_recent
    state.memories = dict(event.memories)
    state.usage = event.usage


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "adoption_begun": step_only,
    "adoption_finding_recorded": step_only,
    "archive_adopted": step_only,
    "folder_adopted": _folder_adopted,
    "folder_attached": _folder_attached,
    "folder_detached": _folder_detached,
    "folder_healed": step_only,
}
