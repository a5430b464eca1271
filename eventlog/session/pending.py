"""The state that the commands of one round lead to before any of their records is stored.

The commands of one session in one round of the committer are decided in turn, each on the state
after its predecessors. That state is an overlay: the stored state stays as it is. It is copied only
if a second command comes and deciding the first one has not produced the state after it anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventlog.session.state import SessionState

__all__ = ["Foldable", "Pending"]


class Foldable(Protocol):
    """A decided command, which can fold the records that it is about to store."""

    def fold(self, state: SessionState) -> None:
        """Fold the records into the state; those that a reader has folded already are skipped."""
        ...


class Pending:
    """The state after the commands of the current round, folded only when it is needed."""

    __slots__ = ("_state", "_unfolded", "round")

    def __init__(self) -> None:
        self.round = 0
        """The number of the current round; 0 before the first."""
        self._state: SessionState | None = None
        self._unfolded: list[Foldable] = []

    def __bool__(self) -> bool:
        """Return whether commands of this round were decided already."""
        return self._state is not None or bool(self._unfolded)

    def begin(self, round: int) -> None:
        """Drop the commands of an earlier round; those that were stored are in the stored state."""
        self.round = round
        self._state = None
        self._unfolded.clear()

    def add(self, decided: Foldable, after: SessionState | None = None) -> None:
        """Add a decided command, with the state ``after`` it if deciding it produced one."""
        if after is None:
            self._unfolded.append(decided)
        else:
            self._state = after

    def over(self, stored: SessionState) -> SessionState:
        """Return the state on which the next command of the round is decided."""
        if not self._unfolded:
            return self._state or stored
        state = self._state or stored.copy()
        for decided in self._unfolded:
            decided.fold(state)
        self._unfolded.clear()
        self._state = state
        return state
