"""How the events of turns change a session's state, which holds the open turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.machine import ABSENT
from eventlog.session.runs.state import progressed
from eventlog.session.stepping import report, step
from eventlog.session.turns.machine import ENDED_BY, TURN_MACHINE
from eventlog.session.turns.state import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.records import Record
    from eventlog.session.state import SessionState
    from eventlog.session.turns.events import (
        TurnBegun,
        TurnEvent,
        TurnRenewed,
        TurnStepCompleted,
    )

__all__ = ["HANDLERS", "QUIET", "ended"]

QUIET: Final = frozenset({"turn_renewed"})
"""Events that leave ``updated_at`` alone (M8)."""


def _begun(state: SessionState, record: Record, event: TurnBegun) -> None:
    turn = state.turn
    if turn is not None and turn.turn_id != event.turn:
        report(state, record, f"turn {turn.turn_id!r} is open")
        return
    current = ABSENT if turn is None else turn.state
    if (current, record.type) not in TURN_MACHINE.table or not step(state, record):
        return
    state.turn = Turn(
        turn_id=event.turn,
        state="open",
        attempt=event.attempt,
        begun=record.version,
        begun_at=record.time,
        lease_until=event.lease_until,
        stale_seconds=event.stale_seconds,
        owner=event.owner,
        on_error=event.on_error,
        steps=dict(event.steps),
    )
    state.window.held_from = record.version


def _current(state: SessionState, record: Record, event: TurnEvent) -> Turn | None:
    """Return the open turn that an event is about; note a finding if it is about another one."""
    turn = state.turn
    if turn is None or (turn.turn_id, turn.attempt) != (event.turn, event.attempt):
        report(state, record, f"attempt {event.attempt} at turn {event.turn!r} is not open")
        return None
    return turn if step(state, record) else None


def _renewed(state: SessionState, record: Record, event: TurnRenewed) -> None:
    turn = _current(state, record, event)
    if turn is not None:
        turn.lease_until = event.lease_until


def _step(state: SessionState, record: Record, event: TurnStepCompleted) -> None:
    turn = _current(state, record, event)
    if turn is not None:
        run = state.runs.get(turn.turn_id)
        if run is not None and event.step not in turn.steps:
            state.runs[turn.turn_id] = progressed(run)
        turn.steps[event.step] = record.version


def _ended(state: SessionState, record: Record, event: TurnEvent) -> None:
    if _current(state, record, event) is not None:
        state.turn = None
        state.window.held_from = 0


def ended(turn: Turn, record: Record, event: TurnEvent) -> Turn:
    """Return an open turn as a record that ends it leaves it."""
    left = turn.copy()
    left.state = ENDED_BY[record.type]
    left.ended, left.ended_at = record.version, record.time
    left.error = getattr(event, "error", None) or getattr(event, "reason", None)
    return left


HANDLERS: Final[dict[str, Callable[[SessionState, Any, Any], None]]] = {
    "turn_begun": _begun,
    "turn_renewed": _renewed,
    "turn_step_completed": _step,
    **dict.fromkeys(ENDED_BY, _ended),
}
