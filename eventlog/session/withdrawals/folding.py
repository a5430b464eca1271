"""How a withdrawal changes a session's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.pending_calls import PendingCall
from eventlog.session.stepping import step
from eventlog.session.tasks.folding import cover
from eventlog.session.version_ranges import ascending, contains

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.state import SessionState
    from eventlog.session.window import Window
    from eventlog.session.withdrawals.events import MessagesWithdrawn

__all__ = ["HANDLERS", "withdraw_from"]


def _withdrawn(state: SessionState, record: Record, event: MessagesWithdrawn) -> None:
    if not step(state, record):
        return
    withdraw_from(state.window, record.version, event)
    state.withdrawn = (
        *state.withdrawn,
        *((first, last, record.version) for first, last in ascending(event.ranges)),
    )
    state.withdrawn_count += event.count
    state.total_message_count = max(0, state.total_message_count - event.count)
    state.changed = record.version
    if event.clears:
        _clear(state)


def withdraw_from(window: Window, version: int, event: MessagesWithdrawn) -> None:
    """Apply a withdrawal recorded at ``version`` to the live messages."""
    window.withdraw(version, ascending(event.ranges), event.count, event.tokens)
    live = window.ranges(version)
    for call in event.reopens:
        called = call["version"]
        if contains(live, called):
            window.add_tokens(called, -call["tokens"])
            window.reopen(
                PendingCall(call["tool_id"], call["message_id"], called, 0, call["occurrence"])
            )
    window.unglue(event.unglued)


def _clear(state: SessionState) -> None:
    """Have contexts and later summaries see nothing of the archives so far."""
    state.cleared = state.commit_count
    state.overview = None
    for index in list(state.archives):
        cover(state, index)


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "messages_withdrawn": _withdrawn,
}
