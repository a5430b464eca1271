"""What the commands of one round leave behind before any of it is stored.

The commands of one session in one round are decided in turn, each on the state that its
predecessors leave. That state is an overlay: the stored one stays as it is, and is copied only where
a second command comes and the first one's decision did not make the state after it anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventlog.session.state import SessionState

__all__ = ["Foldable", "Pending"]


class Foldable(Protocol):
    """What can fold the records that it is about to store."""

    def fold(self, state: SessionState) -> None:
        """Fold the records that come next in the state; a reader may have folded them already."""
        ...


class Pending:
    """The state that the commands of the present round will leave, folded when it is needed."""

    __slots__ = ("_state", "_unfolded", "round")

    def __init__(self) -> None:
        self.round = 0
        """The number of the present round; 0 before the first."""
        self._state: SessionState | None = None
        self._unfolded: list[Foldable] = []

    def __bool__(self) -> bool:
        """Whether commands of this round were decided already."""
        return self._state is not None or bool(self._unfolded)

    def begin(self, round: int) -> None:
        """Drop what an earlier round left; what was stored of it is in the stored state."""
        self.round = round
        self._state = None
        self._unfolded.clear()

    def add(self, decided: Foldable, after: SessionState | None = None) -> None:
        """Take a decided command in, with the state ``after`` it if its decision made that."""
        if after is None:
            self._unfolded.append(decided)
        else:
            self._state = after

    def over(self, stored: SessionState) -> SessionState:
        """Return the state that the next command of the round is decided on."""
        if not self._unfolded:
            return self._state or stored
        state = self._state or stored.copy()
        for decided in self._unfolded:
            decided.fold(state)
        self._unfolded.clear()
        self._state = state
        return state
