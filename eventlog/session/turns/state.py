"""The folded state of a turn, and the fence that what belongs to an attempt carries."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import pydantic_core

from eventlog.machine import ABSENT
from eventlog.session.tasks.events import OwnerData
from eventlog.session.version_ranges import VersionRange

if TYPE_CHECKING:
    from eventlog.records import Record

__all__ = ["BelievedLease", "Turn", "TurnFence", "fence_in", "owner_name"]


class TurnFence(NamedTuple):
    """Which attempt at which turn a command belongs to."""

    turn_id: str
    attempt: int

    def as_metadata(self) -> bytes:
        """Return the metadata that says no more than what a record belongs to."""
        return pydantic_core.to_json({"turn": self.turn_id, "attempt": self.attempt})


class BelievedLease(NamedTuple):
    """The lease of an open turn that says that it ends in the distant future."""

    begun: int
    """The version of the ``turn_begun``."""
    lease_until: int
    """What the turn says."""
    until: int
    """Until when that is believed."""


def owner_name(owner: OwnerData | None) -> str:
    """Return what a person calls the owner of a turn: a process, or who holds its fence."""
    if owner is None:
        return "an unknown process"
    return f"process {owner['pid']} on {owner['host']}" if owner["pid"] else owner["host"]


@dataclass(slots=True)
class Turn:
    """One turn, open or ended; all times in microseconds since the Unix epoch."""

    turn_id: str
    state: str = ABSENT
    attempt: int = 0
    begun: int = 0
    """The version of the latest ``turn_begun``."""
    begun_at: int = 0
    lease_until: int = 0
    stale_seconds: float = 0.0
    owner: OwnerData | None = None
    on_error: str = "keep"
    messages: list[VersionRange] = field(default_factory=list[VersionRange])
    """The versions of the messages that the attempt added; nothing else is in the ranges."""
    results: list[int] = field(default_factory=list[int])
    """The versions of the results that it recorded."""
    steps: dict[str, int] = field(default_factory=dict[str, int])
    """The finished steps, with the versions of their records."""
    ended: int = 0
    """The version of the record that ended it; 0 while it is open."""
    ended_at: int = 0
    error: str | None = None

    def copy(self) -> Turn:
        copied = Turn(*_values(self))
        copied.messages = self.messages.copy()
        copied.results = self.results.copy()
        copied.steps = self.steps.copy()
        return copied

    @property
    def fence(self) -> TurnFence:
        """The fence of the current attempt."""
        return TurnFence(self.turn_id, self.attempt)

    def lease_end(self, believed: BelievedLease | None) -> int:
        """Return when the lease ends: as it says, unless it was found not to be believed."""
        if believed is None or believed[:2] != (self.begun, self.lease_until):
            return self.lease_until
        return believed.until

    @property
    def stale_at(self) -> int:
        """When the turn may be abandoned by others, if its lease is not renewed before."""
        return self.stale_from(None)

    def stale_from(self, believed: BelievedLease | None) -> int:
        """Return the same where a lease may have been found not to be believed."""
        return self.lease_end(believed) + int(self.stale_seconds * 1_000_000)

    def note_message(self, record: Record) -> None:
        """Take in a message that was appended while the turn is open, if it is the attempt's."""
        if fence_in(record) != self.fence:
            return
        version = record.version
        if self.messages and self.messages[-1][1] == version - 1:
            self.messages[-1] = (self.messages[-1][0], version)
        else:
            self.messages.append((version, version))

    def note_result(self, record: Record) -> None:
        """Do the same for the result of a call."""
        if fence_in(record) == self.fence:
            self.results.append(record.version)


_values: Final = attrgetter(*(each.name for each in fields(Turn)))


def fence_in(record: Record) -> TurnFence | None:
    """Return the fence that a record carries in its metadata, or None."""
    if b'"turn":' not in record.metadata:
        return None
    try:
        found = pydantic_core.from_json(record.metadata)
    except ValueError:
        return None  # Verifying reports it.
    turn, attempt = found.get("turn"), found.get("attempt")
    if not isinstance(turn, str) or type(attempt) is not int:
        return None
    return TurnFence(turn, attempt)
