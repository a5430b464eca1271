"""The folded state of a message that is being written: one value, replaced by each of its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from eventlog.session.tasks.events import OwnerData
from eventlog.session.turns.state import Turn, TurnFence

__all__ = ["KeptResult", "Stream"]


class KeptResult(NamedTuple):
    """A result that waits for the end of the message with its call."""

    tool_id: str
    occurrence: int
    digest: str
    """Of the whole output."""
    version: int
    """Of its record."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What decisions on an unfinished message depend on; its text is in the records alone.

    All times are in microseconds since the Unix epoch.
    """

    message_id: str
    role: str
    fence: int
    """The version of the event that began it."""
    owner: OwnerData
    lease: int
    lease_until: int | None
    """When its own lease ends; None if something else says how long it is alive."""
    began_at: int
    sequence: int = 0
    """The number of the last chunk."""
    last_version: int = 0
    """The version of the last chunk, or of the beginning."""
    calls: tuple[str, ...] = ()
    """The tool ids of the calls that arrived, in order."""
    results: tuple[KeptResult, ...] = ()
    turn: TurnFence | None = None
    """The attempt at a turn that it is part of, whose lease then stands for its own."""
    result_characters: int = 0
    """What these results add to the message."""

    def lease_end(self, open_turn: Turn | None) -> int | None:
        """Return when its producer's lease ends; None if the turn that it is part of has ended."""
        if self.turn is None:
            return self.lease_until
        if open_turn is None or open_turn.fence != self.turn:
            return None
        return open_turn.lease_until
