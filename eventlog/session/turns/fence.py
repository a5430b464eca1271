"""Whether an attempt still owns its turn: checked for every command that carries its fence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.errors import LeaseLost

if TYPE_CHECKING:
    from eventlog.session.state import SessionState
    from eventlog.session.turns.state import TurnFence

__all__ = ["turn_lost"]


def turn_lost(state: SessionState, fence: TurnFence) -> LeaseLost | None:
    """Return the error for a command of an attempt that does not own its turn; None if it does."""
    turn = state.turn
    if turn is not None and turn.turn_id == fence.turn_id and turn.attempt == fence.attempt:
        run = state.runs.get(turn.turn_id)
        if run is None or (run.state == "running" and run.attempt == fence.attempt):
            return None
        return LeaseLost(*fence, f"its run is {run.state!r}", of="turn")
    if turn is not None and turn.turn_id == fence.turn_id:
        detail = f"attempt {turn.attempt} was begun"
    else:
        detail = "the turn has ended"
    return LeaseLost(fence.turn_id, fence.attempt, detail, of="turn")
