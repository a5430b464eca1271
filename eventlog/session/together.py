"""Recording an application's events in one append with messages, and with the values they name.

The messages are appended by the command that appends messages, which this one contains: what holds
for it (ids, large outputs, what was withdrawn) holds here as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from eventlog.errors import InvalidArgument
from eventlog.session.command import Draft, KeepingCommand, Outcome
from eventlog.session.commands import AppendMessages, check_recordable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.event_values import Value
    from eventlog.events import Event
    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.command import Facts
    from eventlog.session.keeping import Values
    from eventlog.session.state import SessionState

__all__ = ["RecordTogether"]


@dataclass(slots=True, eq=False)
class RecordTogether(KeepingCommand["tuple[Recorded, ...]"]):
    """Record events and messages in one append, in the order in which they are given.

    ``events`` has None where one of the messages of ``appends`` comes next. ``values`` are named by
    the events, and stored before the command is queued.
    """

    events: tuple[Event | None, ...]
    appends: AppendMessages | None
    values: tuple[Value, ...] = ()

    gathers = True
    returns_records = True

    @property
    def unkept(self) -> bool:
        appends = self.appends
        return bool(self.values) or (isinstance(appends, KeepingCommand) and appends.unkept)

    def keep(self, values: Values, state: SessionState) -> RecordTogether:
        if state.status != "open":
            return self
        for value in self.values:
            if value.data is not None:
                values.keep_value(value.data)
            elif not values.has_value(value.sha256):
                raise InvalidArgument(
                    f"session {state.session_id!r} has no value {value.sha256}; build the event "
                    "with a Value of the bytes themselves"
                )
        appends = self.appends
        if isinstance(appends, KeepingCommand):
            keeping = cast("KeepingCommand[Any]", appends)
            appends = cast("AppendMessages", keeping.keep(values, state))
        return replace(self, values=(), appends=appends)

    def gather(self, facts: Facts, state: SessionState) -> RecordTogether:
        appends = self.appends
        if appends is None or not appends.gathers:
            return self
        return replace(self, appends=cast("AppendMessages", appends.gather(facts, state)))

    def reads_stored(self, state: SessionState) -> bool:
        return self.appends is not None and self.appends.reads_stored(state)

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[tuple[Recorded, ...]]:
        check_recordable(state, self.events)
        appended: Sequence[Draft] | Outcome[Any] = ()
        if self.appends is not None:
            appended = self.appends.decide(state, now, ids)
        if isinstance(appended, Outcome):
            return appended
        messages = iter(appended)
        return [next(messages) if event is None else Draft(event) for event in self.events]

    def event_ids(self, session: str) -> Sequence[EventId]:
        if self.appends is None or any(self.events):
            return ()
        return self.appends.event_ids(session)

    def span(self) -> tuple[int, int] | None:
        first = (place for place, event in enumerate(self.events) if event is not None)
        return next(first, 0), len(self.events)

    def content(self) -> Any:
        """Return what decides whether another command with the same key is the same one."""
        return [self.events, [] if self.appends is None else self.appends.given()]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        if self.appends is None:
            return all(
                entry.event == each for entry, each in zip(recorded, self.events, strict=True)
            )
        places = [place for place, event in enumerate(self.events) if event is None]
        messages = [recorded[place] for place in places]
        others = (
            recorded[place].event == event
            for place, event in enumerate(self.events)
            if event is not None
        )
        of_messages = [drafts[place] for place in places] if drafts else ()
        return all(others) and self.appends.repeats(messages, of_messages)

    def other(self, recorded: Sequence[Recorded]) -> int:
        places = [place for place, event in enumerate(self.events) if event is None]
        if self.appends is None:
            return 0
        return places[self.appends.other([recorded[place] for place in places])]

    def result(self, recorded: Sequence[Recorded]) -> tuple[Recorded, ...]:
        return tuple(recorded)
