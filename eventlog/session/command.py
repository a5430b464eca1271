"""What a command is: a value that decides, from a state, which events are recorded.

Deciding is pure. What is random or bound to a clock (ids, delays, the end of a lease) is drawn
before and handed in; what cannot be seen in the state is gathered first, by `Command.gather`, and
what must be stored before the event that names it is stored there.

Nobody changes a command, or compares two. The dataclasses of those that every session needs say so
by having no methods for it, which would be compiled whenever the package is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

from eventlog.errors import SessionClosed, SessionNotFound
from eventlog.events import Event
from eventlog.machine import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.engine.reader import Reader
    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = ["Command", "Draft", "Outcome", "require_open"]

Result = TypeVar("Result")


class Draft(NamedTuple):
    """An event to record; without an id it gets one from the command's key, or a drawn one."""

    event: Event
    event_id: EventId | None = None


class Outcome(NamedTuple, Generic[Result]):
    """A decision to record nothing, and what the caller is told."""

    result: Result


class Command(ABC, Generic[Result]):
    """A wish that is decided on a session's state."""

    __slots__ = ()

    gathers: ClassVar[bool] = False
    """Whether `gather` wants to be called before every decision."""

    creates: ClassVar[bool] = False
    """Whether it brings the session into being by an event of its own."""

    returns_records: ClassVar[bool] = False
    """Whether the caller gets the records themselves, so that they must tell their positions."""

    @abstractmethod
    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Result]:
        """Return the events to record, or an outcome without any; raise to refuse.

        ``now`` is in microseconds; ``ids`` draws a fresh id per call. Changes nothing.
        """

    @abstractmethod
    def result(self, recorded: Sequence[Recorded]) -> Result:
        """Return what the caller is told of the records; also of those of an earlier run (P8)."""

    def event_ids(self, session: str) -> Sequence[EventId]:
        """Return the ids that the events have by themselves, without an idempotency key."""
        return ()

    def gather(self, reader: Reader, state: SessionState) -> Command[Result]:
        """Return the command together with the facts that it needs beyond the state."""
        return self

    def reads_stored(self, state: SessionState) -> bool:
        """Tell whether `gather` reads records that commands under way with this one may store."""
        return False

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        """Tell whether stored records have the content that this command would record (L3)."""
        return all(
            entry.event == draft.event for entry, draft in zip(recorded, drafts, strict=True)
        )


def require_open(state: SessionState) -> None:
    """Raise `SessionNotFound` or `SessionClosed` unless the session takes writes."""
    if state.status != "open":
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        raise SessionClosed(state.session_id, state.status)
