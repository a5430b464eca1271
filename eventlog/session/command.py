"""Commands: values that decide, from a session's state, which events are recorded.

Deciding is pure. Whatever is random or bound to a clock (ids, delays, the end of a lease) is drawn
beforehand and passed in; whatever the state does not hold is looked up first, by `Command.gather`.
A value that must be stored before the event that names it is stored by `KeepingCommand.keep`,
before the command is queued: commands are decided on the thread that writes for everybody, which
must not wait for one caller's large value.

Commands are never changed nor compared. So the dataclasses of those that every session needs are
generated without methods for it, which would be compiled whenever the package is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from eventlog.errors import DuplicateEvent, SessionClosed, SessionNotFound
from eventlog.events import Event
from eventlog.machine import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.appended import AppendedData
    from eventlog.session.events import ToolResultRecorded
    from eventlog.session.keeping import Values
    from eventlog.session.message_data import MessageData
    from eventlog.session.reading import Newest, StoredMessage
    from eventlog.session.state import SessionState
    from eventlog.session.stored_calls import StoredCalls
    from eventlog.session.streams.events import ChunkAppended
    from eventlog.session.tasks.state import Task
    from eventlog.session.turns.state import Turn, TurnFence
    from eventlog.session.version_ranges import VersionRange

__all__ = [
    "Command",
    "Draft",
    "Facts",
    "KeepingCommand",
    "Outcome",
    "refuse_queued",
    "require_open",
]

Result = TypeVar("Result")


class Draft(NamedTuple):
    """An event to record; without an id it gets one from the command's key, or a drawn one.

    ``is_turns`` is false for what a command of a turn records although it is not the turn's. With
    ``turn`` it belongs to that attempt, whoever gives the command.
    """

    event: Event
    event_id: EventId | None = None
    is_turns: bool = True
    turn: TurnFence | None = None


class Outcome(NamedTuple, Generic[Result]):
    """A decision to record nothing, with the command's result."""

    result: Result


class Facts(Protocol):
    """The look-ups in the log that a command may make before it is decided; all of them do I/O."""

    def newest(self, keys: Sequence[str]) -> list[Newest]:
        """Return what was recorded last under each key, withdrawals included."""
        ...

    def said(
        self, ranges: Sequence[VersionRange]
    ) -> Iterator[tuple[int, AppendedData | ToolResultRecorded]]:
        """Yield the messages as they were appended, and the results, in ascending ranges."""
        ...

    def appended(
        self, ranges: Sequence[VersionRange], *, holding: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[int, MessageData]]:
        """Yield the messages in ascending ranges whose stored bytes hold ``holding``."""
        ...

    def messages(self, ranges: Sequence[VersionRange]) -> list[StoredMessage]:
        """Return the messages in ascending ranges with the results so far, in order."""
        ...

    def record(self, version: int) -> Recorded | None:
        """Return the record at a version, or None."""
        ...

    def chunks(self, message_id: str, fence: int, until: int) -> Sequence[ChunkAppended]:
        """Return the chunks of a message that began at version ``fence``, up to a version."""
        ...

    def calls(self, message_id: str, version: int) -> StoredCalls | None:
        """Return the calls of a message with what answered them up to a version of the session."""
        ...

    def versions(self, ids: Sequence[EventId]) -> dict[EventId, int]:
        """Return the versions of the ids that are stored; others are left out."""
        ...

    def task(self, task_id: str) -> Task | None:
        """Return a task of the session, even a finished one; None if there is none."""
        ...

    def turn(self, turn_id: str) -> Turn | None:
        """Return a turn that has ended; None if none with this id has."""
        ...

    def archive_with(self, version: int) -> int | None:
        """Return the number of the archive that took what is at a version; None if none did."""
        ...

    def task_of_archive(self, index: int) -> Task | None:
        """Return the task that finalises an archive, even a finished one; None if there is none."""
        ...


class Command(ABC, Generic[Result]):
    """A request to change a session, decided on the session's state."""

    __slots__ = ()

    gathers: ClassVar[bool] = False
    """Whether `gather` must be called before every decision."""

    creates: ClassVar[bool] = False
    """Whether its own event creates the session."""

    ends_turns: ClassVar[bool] = False
    """Whether what is unfinished in a turn ends in the append of the command itself, so that nothing
    has to end it before."""

    expects_conversation: ClassVar[bool] = False
    """Whether the version that a caller expects is compared with that of the newest message,
    result, withdrawal or commit, instead of with that of the newest record (M3)."""

    keeps_values: ClassVar[bool] = False
    """Whether it is a `KeepingCommand`; an attribute, since `isinstance` with an abstract class is slow."""

    returns_records: ClassVar[bool] = False
    """Whether the caller gets the records themselves, which then need their positions."""

    @property
    def continues(self) -> str | None:
        """The message that the command's caller is writing: its producer is there, therefore."""
        return None

    @abstractmethod
    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Result]:
        """Return the events to record, or an outcome without any; raise to refuse.

        ``now`` is in microseconds; ``ids`` draws a fresh id per call. Changes nothing.
        """

    @abstractmethod
    def result(self, recorded: Sequence[Recorded]) -> Result:
        """Return the command's result, from its records or from those of an earlier run (P8)."""

    def event_ids(self, session: str) -> Sequence[EventId]:
        """Return the ids that follow from the events themselves, without an idempotency key."""
        return ()

    def span(self) -> tuple[int, int] | None:
        """Return the place of the first event that has no id of its own, and how many events there
        are; None if no event has one."""
        return None

    def content(self) -> Any:
        """Return what decides whether another command with the same key is the same one."""
        return self

    def gather(self, facts: Facts, state: SessionState) -> Command[Result]:
        """Return the command together with the facts that it needs beyond the state."""
        return self

    def reads_stored(self, state: SessionState) -> bool:
        """Return whether `gather` reads records that other commands of this round may store."""
        return False

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        """Return whether stored records have the content that this command would record (L3)."""
        return all(
            entry.event == draft.event for entry, draft in zip(recorded, drafts, strict=True)
        )

    def other(self, recorded: Sequence[Recorded]) -> int:
        """Return the place of the first stored record with other content, if it does not repeat them."""
        return 0


class KeepingCommand(Command[Result]):
    """A command that may name large values; they are stored before it is queued."""

    __slots__ = ()

    keeps_values = True

    @property
    @abstractmethod
    def unkept(self) -> bool:
        """Whether a value must be stored before the command can be decided."""

    @abstractmethod
    def keep(self, values: Values, state: SessionState) -> Command[Result]:
        """Store the values, and return the command with what it records in their place.

        Called in the thread of the command's caller. If the session is not open, nothing is stored,
        since the command will be refused.
        """


def require_open(state: SessionState) -> None:
    """Raise `SessionNotFound` or `SessionClosed` unless the session takes writes."""
    if state.status != "open":
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        raise SessionClosed(state.session_id, state.status)


def refuse_queued(state: SessionState, message_ids: Iterable[str]) -> None:
    """Raise `DuplicateEvent` if one of the messages waits in the queue, whatever its content.

    A message that others record under its id would be the one that its run finds in the session, though
    it is outside of the run's turn.
    """
    if state.queued is None:
        return
    for message_id in message_ids:
        run_id = state.queued.get(message_id)
        if run_id is not None:
            raise DuplicateEvent(
                state.session_id,
                f"message {message_id!r} is queued, and run {run_id} will append it; take another id",
            )
