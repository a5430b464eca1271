"""The result of adopting a session folder, and the command that records the adoption (O4).

`eventlog.adoption.adopting` reads the folder and makes the plan of events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from eventlog.errors import SessionClosed
from eventlog.identifiers import derived_id
from eventlog.machine import ABSENT
from eventlog.session.command import Command, Draft
from eventlog.session.folder_events import AdoptionBegun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.finding import Finding
    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = [
    "ADOPTED_KEY",
    "BEGUN_KEY",
    "Adoption",
    "RecordAdoption",
    "adoption_event_id",
]

BEGUN_KEY = "\0adoption_begun"
"""The idempotency key of a session's `AdoptionBegun`; no message can have it as its id."""

ADOPTED_KEY = "\0folder_adopted"
"""The idempotency key of a session's `FolderAdopted`."""


class Adoption(NamedTuple):
    """The result of adopting a folder."""

    session_id: str
    status: Literal["adopted", "continued", "already_adopted"]
    """``continued`` where the folder had been adopted, and has grown since."""
    version: int
    """The session's version after the adoption."""
    live: int
    """Live messages."""
    archives: int
    messages: int
    """All messages, live and archived."""
    findings: tuple[Finding, ...]
    quarantined: tuple[str, ...]
    """The files that keep what was dropped, relative to the folder."""
    imported: int = 0
    """The messages that the session did not have before."""


def adoption_event_id(session: str, digest: str, number: int) -> EventId:
    """Return the id of the ``number``-th event of adopting a folder with this digest.

    The same folder gives the same ids, so an adoption that was cut off can resume, and a complete
    one is recognised.
    """
    return derived_id(session, f"\0adoption\0{digest}", number)


@dataclass(frozen=True, slots=True)
class RecordAdoption(Command[None]):
    """Record a part of a folder's plan; the expected version is the one before the part."""

    drafts: tuple[Draft, ...]

    creates = True

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        continues = state.status == "open" and isinstance(self.drafts[0].event, AdoptionBegun)
        if state.status not in (ABSENT, "adopting") and not continues:
            raise SessionClosed(state.session_id, state.status)
        return self.drafts

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [draft.event_id for draft in self.drafts if draft.event_id is not None]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return True  # Equal ids mean equal content: the ids are derived from it.

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
