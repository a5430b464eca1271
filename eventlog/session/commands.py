"""The commands that people and programs give a session; commits are in `eventlog.session.commit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from eventlog.errors import (
    IllegalTransition,
    InvalidArgument,
    InvalidMessage,
    SessionClosed,
    SessionNotFound,
)
from eventlog.events import Event, is_builtin_type
from eventlog.identifiers import derived_id
from eventlog.machine import ABSENT
from eventlog.session.command import Command, Draft, Outcome, require_open
from eventlog.session.events import (
    ContextsUsed,
    MemorySessionAssigned,
    MessageAppended,
    ProjectAssigned,
    SessionClosedEvent,
    SessionDeleted,
    ToolResultRecorded,
)
from eventlog.session.messages import Message, MessageData, same_message
from eventlog.session.reader import message_key, tool_result_key
from eventlog.tasks.events import ArchiveAbandoned, TaskAbandoned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.records import Recorded
    from eventlog.session.reader import Reader
    from eventlog.session.state import SessionState

__all__ = [
    "AppendMessages",
    "AssignMemorySession",
    "AssignProject",
    "CloseSession",
    "DeleteSession",
    "RecordEvents",
    "RecordToolResult",
    "RecordUsage",
]


@dataclass(slots=True)  # Not frozen, which would double the time it takes to build one.
class AppendMessages(Command[tuple[Message, ...]]):
    """Append messages, all or none; ``data`` and ``tokens`` are theirs, in the same order."""

    messages: tuple[Message, ...]
    data: tuple[MessageData, ...]
    tokens: tuple[int, ...]

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        if state.status != "open":
            require_open(state)
        session, trusted = state.session_id, MessageAppended.trusted
        return [
            Draft(
                trusted({"message": data, "tokens": tokens}),
                derived_id(session, message_key(data["id"])),
            )
            for data, tokens in zip(self.data, self.tokens, strict=True)
        ]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [derived_id(session, message_key(message.id)) for message in self.messages]

    def result(self, recorded: Sequence[Recorded]) -> tuple[Message, ...]:
        return self.messages

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return all(
            isinstance(entry.event, MessageAppended)
            and same_message(entry.event.message, data, message)
            for entry, data, message in zip(recorded, self.data, self.messages, strict=True)
        )


@dataclass(frozen=True, slots=True)
class RecordToolResult(Command[None]):
    """Record the result of a tool call that a message made (M4)."""

    message_id: str
    tool_id: str
    output: str
    status: Literal["running", "completed", "error"]
    tokens: int
    duration_ms: float | None = None
    known: bool = False

    gathers = True

    def gather(self, reader: Reader, state: SessionState) -> RecordToolResult:
        waiting = (
            (call.tool_id, call.message_id) == (self.tool_id, self.message_id)
            for call in state.window.pending
        )
        if self.known or any(waiting):
            return replace(self, known=True)
        recorded = reader.message(self.message_id)
        if recorded is None:
            raise InvalidMessage(
                f"session {state.session_id!r} has no message {self.message_id!r}; "
                "append the message with the call first",
                field="message_id",
            )
        parts = cast("MessageAppended", recorded.event).message["parts"]
        calls = [part.get("tool_id") for part in parts if part["type"] == "tool"]
        if self.tool_id not in calls:
            raise InvalidMessage(
                f"message {self.message_id!r} has no call {self.tool_id!r}; it has {calls}",
                field="tool_id",
            )
        return replace(self, known=True)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        return [Draft(self._event(), self.event_ids(state.session_id)[0])]

    def _event(self) -> ToolResultRecorded:
        return ToolResultRecorded(
            message_id=self.message_id,
            tool_id=self.tool_id,
            output=self.output,
            status=self.status,
            duration_ms=self.duration_ms,
            tokens=self.tokens,
        )

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return recorded[0].event == self._event()

    def event_ids(self, session: str) -> Sequence[EventId]:
        key = tool_result_key(self.message_id, self.tool_id, self.status)
        return [derived_id(session, key)]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RecordUsage(Command[None]):
    """Record which contexts and which skill were used (M5)."""

    contexts: tuple[str, ...]
    skill: dict[str, Any] | None = None

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        require_open(state)
        if not self.contexts and self.skill is None:
            return Outcome(None)
        return [Draft(ContextsUsed(contexts=list(self.contexts), skill=self.skill))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AssignProject(Command[bool]):
    """Set the project of a session that has none; otherwise record nothing (M9)."""

    project: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        require_open(state)
        if not self.project:
            raise InvalidArgument("a project is a non-empty name")
        if state.project:
            return Outcome(False)
        return [Draft(ProjectAssigned(project=self.project))]

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class AssignMemorySession(Command[str]):
    """Give a provider without sessions of its own a stable id for this one (M10)."""

    provider: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[str]:
        known = state.memory_sessions.get(self.provider)
        if known is not None:
            return Outcome(known)
        require_open(state)
        if not self.provider:
            raise InvalidArgument("a provider is a non-empty name")
        memory_session_id = f"{self.provider}-{state.session_id}-{now // 1_000_000}"
        return [
            Draft(
                MemorySessionAssigned(provider=self.provider, memory_session_id=memory_session_id)
            )
        ]

    def result(self, recorded: Sequence[Recorded]) -> str:
        return cast("MemorySessionAssigned", recorded[0].event).memory_session_id


@dataclass(frozen=True, slots=True)
class RecordEvents(Command["tuple[Recorded, ...]"]):
    """Record events of users' own types (L16)."""

    events: tuple[Event, ...]

    returns_records = True

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        if not self.events:
            raise InvalidArgument("there is no event to record")
        for event in self.events:
            if is_builtin_type(event.event_type):
                raise IllegalTransition(
                    f"session {state.session_id!r}", state.status, event.event_type
                )
        return [Draft(event) for event in self.events]

    def result(self, recorded: Sequence[Recorded]) -> tuple[Recorded, ...]:
        return tuple(recorded)


@dataclass(frozen=True, slots=True)
class CloseSession(Command[None]):
    """Let the session take no more messages; what is open is still finalised."""

    reason: str | None = None

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.status == "closed":
            return Outcome(None)
        require_open(state)
        return [Draft(SessionClosedEvent(reason=self.reason))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DeleteSession(Command[None]):
    """Take the session out of use and abandon its open tasks (M1); erasure is another matter."""

    reason: str | None = None

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        if state.status == "deleted":
            raise SessionClosed(state.session_id, state.status)
        reason = self.reason or "session deleted"
        abandoned = [
            Draft(
                ArchiveAbandoned(task_id=task.task_id, reason=reason)
                if task.ordered
                else TaskAbandoned(task_id=task.task_id, reason=reason)
            )
            for task in state.tasks.values()
        ]
        return [*abandoned, Draft(SessionDeleted(reason=self.reason))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
