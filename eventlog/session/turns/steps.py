"""What records a step of a turn, whether a function made it or a message that was streamed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.identifiers import derived_id
from eventlog.session.turns.events import TurnStepCompleted

if TYPE_CHECKING:
    from eventlog.identifiers import EventId
    from eventlog.session.turns.state import TurnFence

__all__ = ["StepOfTurn", "turn_event_id"]


def turn_event_id(session: str, fence: TurnFence, *names: str) -> EventId:
    """Return the id of an event that an attempt at a turn records once."""
    digest = hashlib.sha256("\0".join([fence.turn_id, *names]).encode()).hexdigest()
    return derived_id(session, f"turn\0{fence.attempt}\0{digest}")


class StepOfTurn(NamedTuple):
    """A step by its name, which is used once in an attempt."""

    fence: TurnFence
    name: str
    digest: str
    """Of the arguments."""

    def event_id(self, session: str) -> EventId:
        """Return the id of the event that records it."""
        return turn_event_id(session, self.fence, "step", self.name)

    def completed(
        self, follow: int, output: Any = None, blob: str | None = None
    ) -> TurnStepCompleted:
        """Return the event that records it; the next ``follow`` events belong to it."""
        return TurnStepCompleted(
            turn=self.fence.turn_id,
            attempt=self.fence.attempt,
            step=self.name,
            digest=self.digest,
            output=output,
            blob=blob,
            messages=follow,
        )
