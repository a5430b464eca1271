"""Why an event came about: what caused it, and what it caused in turn.

A cause is named by the event's metadata (``causation_id``), or follows from what it is about: the
end of a lease from its beginning, a result from its call, an archive's overview from its commit, a
message from the turn it was said in, and that turn from the run and the queued message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.codec import records_to_come
from eventlog.errors import EventLogError
from eventlog.forensics.as_of import checked_version
from eventlog.recorded import Recorded
from eventlog.records import Metadata
from eventlog.session.parts import is_plain, readings_of
from eventlog.session.turns.events import TurnBegun, TurnEvent, TurnRenewed, TurnStepCompleted

if TYPE_CHECKING:
    from eventlog.forensics.past import Past
    from eventlog.session.message_data import MessageData

__all__ = ["Cause", "Causes", "Link", "why"]

_UNREADABLE: Final = Metadata()
"""What is known of metadata that cannot be read."""


class Cause(NamedTuple):
    """An event in a chain or tree of causes."""

    version: int
    event: Recorded
    depth: int
    """How many steps it is from where the chain or tree begins, which has 0."""
    reason: str
    """How it follows from the one before it in the chain, or above it in the tree."""
    outside: str | None = None
    """The causation id of an event that is not in this session."""


class Link(NamedTuple):
    """The cause of an event: the version of an earlier one, and how it follows from that."""

    cause: int | None
    reason: str
    outside: str | None = None
    """The causation id of an event that is not in this session."""

    @property
    def text(self) -> str:
        """The reason; of a cause outside of the session, which event it is; empty without a cause."""
        return f"event {self.outside}, which is not here" if self.outside else self.reason


@dataclass(slots=True)
class _Attempt:
    """The last attempt at a turn, as far as it was read."""

    attempt: int
    begun: int
    last: int
    """The version of its end, or of its beginning if it has not ended."""
    step: int = 0
    step_name: str = ""
    step_until: int = 0
    """The version of the last message that the last step recorded."""


def why(past: Past, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
    """Return an event and what led to it, the nearest cause first.

    With ``tree``, the event and all that it led to, each followed by what it led to itself. Raises
    `InvalidArgument` for a version that the session has not reached.
    """
    version = max(1, checked_version(past, version))
    links = _links(past, past.head if tree else version)
    return _down(past, version, links) if tree else _up(past, version, links)


def _up(past: Past, version: int, links: dict[int, Link]) -> tuple[Cause, ...]:
    causes: list[Cause] = []
    reason, at = "", version
    while True:
        link = links[at]
        causes.append(Cause(at, Recorded(past.record(at)), len(causes), reason, link.outside))
        if link.cause is None:
            return tuple(causes)
        reason, at = link.reason, link.cause


def _down(past: Past, version: int, links: dict[int, Link]) -> tuple[Cause, ...]:
    effects: dict[int, list[int]] = {}
    for at, link in links.items():
        if link.cause is not None:
            effects.setdefault(link.cause, []).append(at)
    found: list[Cause] = []
    left = [(version, 0)]
    while left:
        at, depth = left.pop()
        link = links[at]
        reason = link.reason if depth else ""
        found.append(Cause(at, Recorded(past.record(at)), depth, reason, link.outside))
        left += [(effect, depth + 1) for effect in reversed(effects.get(at, []))]
    return tuple(found)


def _links(past: Past, until: int) -> dict[int, Link]:
    """Return the cause of each event up to a version; it always has an earlier version."""
    causes = Causes()
    return {record.version: causes.link(Recorded(record)) for record in past.records(0, until)}


class Causes:
    """Finds the causes of a session's events, which are given to it in order."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._tasks: dict[str, int] = {}
        """The last event of each task or run; calls of models are not counted."""
        self._messages: dict[str, int] = {}
        """Where each message was appended, or began to be written."""
        self._calls: dict[str, int] = {}
        """The last message that made each call."""
        self._turns: dict[str, _Attempt] = {}
        """The last attempt at each turn."""
        self._runs: dict[str, int] = {}
        """Where the message of each run was queued."""
        self._stream_end = (0, "")
        """The version of the last end of a stream, and the id of its message."""
        self._withdrawal = (0, 0)
        """The version of the last withdrawal, and where its append ends."""

    def link(self, recorded: Recorded) -> Link:
        """Return why an event came about, and take note of it."""
        try:
            event: Any = recorded.event
        except EventLogError:
            event = None  # Of an application's type; its metadata can be read all the same.
        try:
            metadata = recorded.metadata
        except EventLogError:
            metadata = _UNREADABLE
        link = (
            self._named(metadata)
            or self._of_task(recorded, event)
            or self._of_message(recorded, event)
            or self._of_turn(recorded, event, metadata)
            or self._in_place(recorded)
            or Link(None, "")
        )
        self._note(recorded, event)
        return link

    def _named(self, metadata: Metadata) -> Link | None:
        cause = metadata.causation_id
        if not isinstance(cause, str):  # In a damaged record it may be anything.
            return None
        version = self._versions.get(cause)
        if version is None:
            return Link(None, "", cause)
        return Link(version, "its causation id")

    def _of_task(self, recorded: Recorded, event: Any) -> Link | None:
        task = getattr(event, "task_id", None)
        if not isinstance(task, str) or task not in self._tasks:
            return None
        version, queued = self._tasks[task], self._runs.get(task)
        if version == queued:
            return Link(version, "the message that waited for the run")
        return Link(version, f"the step of the {'run' if queued else 'task'} before it")

    def _of_message(self, recorded: Recorded, event: Any) -> Link | None:
        """Return the cause of what is about a message, or is one."""
        if event is None:
            return None
        match recorded.type:
            case "tool_result_recorded" | "result_kept":
                reason = f"the message that made the call {event.tool_id}"
                return self._message(event.message_id, reason)
            case "chunk_appended" | "message_ended" | "message_interrupted":
                return self._message(event.message_id, "the beginning of the message")
            case "messages_withdrawn":
                first = event.ranges[0][0] if event.ranges else recorded.version
                reason = "the first record that it takes out"
                return Link(first, reason) if first < recorded.version else None
            case "message_appended":
                return self._streamed(recorded, event.message) or self._answered(event.message)
            case _:
                return None

    def _message(self, message_id: str, reason: str) -> Link | None:
        version = self._messages.get(message_id)
        return None if version is None else Link(version, reason)

    def _streamed(self, recorded: Recorded, message: MessageData) -> Link | None:
        """Return the end of the stream that a message was, which is the record before it."""
        version, message_id = self._stream_end
        if (recorded.version - 1, message["id"]) == (version, message_id):
            return Link(version, "the end of its stream")
        return None

    def _answered(self, message: MessageData) -> Link | None:
        """Return the message that made a call which a message answers."""
        if not is_plain(message):
            for found in readings_of(message):
                if found.call is None and found.result is not None:
                    version = self._calls.get(found.result.id)
                    if version is not None:
                        return Link(version, f"the message that made the call {found.result.id}")
        return None

    def _of_turn(self, recorded: Recorded, event: Any, metadata: Metadata) -> Link | None:
        """Return the cause of an attempt at a turn, or of what was recorded in one."""
        if recorded.type == "turn_begun" and event is not None:
            if event.turn in self._runs:
                return Link(self._tasks[event.turn], "the attempt of the run")
            earlier = self._turns.get(event.turn)
            return None if earlier is None else Link(earlier.last, "the attempt before it")
        turn, attempt = metadata.turn, metadata.attempt
        if isinstance(event, TurnEvent):
            turn, attempt = event.turn, event.attempt
        current = self._turns.get(turn) if isinstance(turn, str) else None
        if current is None or current.attempt != attempt:
            return None
        if current.step < recorded.version <= current.step_until:
            return Link(current.step, f"the step {current.step_name} of its turn")
        return Link(current.begun, f"attempt {attempt} at the turn {turn}")

    def _in_place(self, recorded: Recorded) -> Link | None:
        """Return the withdrawal of the same append in whose place something was recorded."""
        withdrawal, until = self._withdrawal
        if withdrawal < recorded.version <= until:
            return Link(withdrawal, "the withdrawal in whose place it came")
        return None

    # ---- what the events so far were about ----------------------------------------------------

    def _note(self, recorded: Recorded, event: Any) -> None:
        version = recorded.version
        self._versions[recorded.event_id] = version
        task = getattr(event, "task_id", None)
        if isinstance(task, str) and recorded.type != "model_called":
            self._tasks[task] = version
        if event is not None:
            self._note_event(recorded, event)

    def _note_event(self, recorded: Recorded, event: Any) -> None:
        version = recorded.version
        match recorded.type:
            case "message_appended":
                self._note_message(version, event.message)
            case "message_begun":
                self._messages[event.message["id"]] = version
            case "message_ended" | "message_interrupted":
                self._stream_end = (version, event.message_id)
            case "messages_withdrawn":
                self._withdrawal = (version, version + records_to_come(recorded.record))
            case "message_enqueued":
                self._runs[event.task_id] = version
            case "archive_finalized":
                for follow_up in event.follow_ups:
                    self._tasks[follow_up["task_id"]] = version
            case _:
                if isinstance(event, TurnEvent):
                    self._note_turn(version, event)

    def _note_message(self, version: int, message: MessageData) -> None:
        self._messages[message["id"]] = version
        if not is_plain(message):
            made = [found.call.id for found in readings_of(message) if found.call]
            self._calls.update((call, version) for call in made)

    def _note_turn(self, version: int, event: TurnEvent) -> None:
        if isinstance(event, TurnBegun):
            self._turns[event.turn] = _Attempt(event.attempt, version, version)
            return
        current = self._turns.get(event.turn)
        if current is None or current.attempt != event.attempt:
            return
        if isinstance(event, TurnStepCompleted):
            current.step, current.step_name = version, event.step
            current.step_until = version + event.messages
        elif not isinstance(event, TurnRenewed):
            current.last = version
