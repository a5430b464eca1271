"""The command that records which context was handed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventlog.session.command import Command, Draft, require_open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.forensic_events import ContextGiven
    from eventlog.session.state import SessionState

__all__ = ["RecordGiven"]


@dataclass(slots=True, eq=False)
class RecordGiven(Command[None]):
    """Record what a model was given (A3)."""

    given: ContextGiven

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        return [Draft(self.given)]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
