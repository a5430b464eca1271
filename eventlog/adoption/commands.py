"""What adopting a session folder tells its caller, and the command that records it (O4).

Reading a folder and making a plan of events is the business of `eventlog.adoption.adopting`.
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
"""The idempotency key of a session's `AdoptionBegun`: no message can have it as its id."""

ADOPTED_KEY = "\0folder_adopted"
"""The idempotency key of a session's `FolderAdopted`."""


class Adoption(NamedTuple):
    """What became of a folder that was to be adopted."""

    session_id: str
    status: Literal["adopted", "continued", "already_adopted"]
    """``continued`` where the folder had been adopted, and has grown since."""
    version: int
    """The session's version at which all of the folder is recorded."""
    live: int
    """Live messages."""
    archives: int
    messages: int
    """Messages in all, live and archived."""
    findings: tuple[Finding, ...]
    quarantined: tuple[str, ...]
    """The files, relative to the folder, in which what was dropped is kept."""
    imported: int = 0
    """The messages that were not in the session before."""


def adoption_event_id(session: str, digest: str, number: int) -> EventId:
    """Return the id of the ``number``-th event of adopting what has this digest.

    The same folder gives the same ids, so an adoption that was cut off goes on where it stopped,
    and a finished one is found.
    """
    return derived_id(session, f"\0adoption\0{digest}", number)


@dataclass(frozen=True, slots=True)
class RecordAdoption(Command[None]):
    """Record a part of what a folder holds; only with the version before it as expected one."""

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
        return True  # The ids say so: they follow from the content.

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
