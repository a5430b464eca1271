"""The commands of a session's users; commits are in `eventlog.session.commit`."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

from eventlog.errors import (
    DuplicateEvent,
    IllegalTransition,
    InvalidArgument,
    InvalidMessage,
    MessageWithdrawn,
    SessionClosed,
    SessionNotFound,
)
from eventlog.events import Event, is_builtin_type
from eventlog.identifiers import derived_id
from eventlog.machine import ABSENT
from eventlog.session.command import (
    Command,
    Draft,
    Facts,
    KeepingCommand,
    Outcome,
    refuse_queued,
    require_open,
)
from eventlog.session.events import (
    ContextsUsed,
    FailedArchives,
    FailedArchivesChanged,
    MemorySessionAssigned,
    MessageAppended,
    ProjectAssigned,
    SessionClosedEvent,
    SessionCreated,
    SessionDeleted,
    ToolResultRecorded,
)
from eventlog.session.keeping import check_kept, keep_output, keep_outputs
from eventlog.session.message_data import MessageData, message_key, tool_result_key
from eventlog.session.messages import Message, same_message
from eventlog.session.parts import weigh
from eventlog.session.runs.machine import INBOUND
from eventlog.session.tasks.events import ArchiveAbandoned, TaskAbandoned
from eventlog.session.tokens import TokenEstimator, checked_tokens, estimate_tokens
from eventlog.session.tool_output import CallId, same_output, select_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.keeping import Values
    from eventlog.session.pending_calls import PendingCall
    from eventlog.session.reading import Newest
    from eventlog.session.state import SessionState
    from eventlog.session.stored_calls import StoredCalls
    from eventlog.session.streams.events import ResultKept
    from eventlog.session.streams.state import Stream
    from eventlog.session.tool_output import Limit
    from eventlog.session.turns.ending import Ending

__all__ = [
    "ABANDONED",
    "AbandonCall",
    "AppendLargeMessages",
    "AppendMessages",
    "AssignMemorySession",
    "AssignProject",
    "CloseSession",
    "CreateSession",
    "DeleteSession",
    "RecordEvents",
    "RecordToolResult",
    "RecordUsage",
    "check_recordable",
]

ABANDONED: Final = "abandoned: no result will come"
"""The output of a call that is closed without a reason."""


@dataclass(slots=True, eq=False)
class AppendMessages(Command[tuple[Message, ...]]):
    """Append messages, all or none; ``data`` and ``tokens`` have one entry per message.

    ``stored`` is the data to record, if it differs: with previews in place of large outputs.
    """

    messages: tuple[Message, ...]
    data: tuple[MessageData, ...]
    tokens: tuple[int, ...]
    stored: tuple[MessageData, ...] | None = None
    newest: tuple[Newest, ...] | None = None
    """What was recorded under the ids, once `gather` has looked; that is needed after withdrawals."""
    reuses: bool = False
    """Whether ids of withdrawn messages may be used again, as by a turn that is begun again."""

    gathers = True
    expects_conversation = True

    def given(self) -> list[dict[str, Any]]:
        """Return the messages as the caller gave them: without an id or a time that was drawn as they
        were built, since whoever repeats the call draws anew."""
        given: list[dict[str, Any]] = []
        for message, data in zip(self.messages, self.data, strict=True):
            drawn = {"id", "created_at"} - message.model_fields_set
            given.append({name: each for name, each in data.items() if name not in drawn})
        return given

    def gather(self, facts: Facts, state: SessionState) -> Command[tuple[Message, ...]]:
        if not state.withdrawn:
            return self
        keys = [message_key(message.id) for message in self.messages]
        return replace(self, newest=tuple(facts.newest(keys)))

    def reads_stored(self, state: SessionState) -> bool:
        return bool(state.withdrawn)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        if state.status != "open":
            require_open(state)
        if state.streams:
            self._refuse_streaming(state)
        if state.queued is not None:
            refuse_queued(state, [message.id for message in self.messages])
        if self.newest is not None and not self.reuses:
            self._refuse_withdrawn(state.session_id)
        trusted = MessageAppended.trusted
        return [
            Draft(trusted({"message": data, "tokens": tokens}), event_id)
            for data, tokens, event_id in zip(
                self.stored or self.data,
                self.tokens,
                self.event_ids(state.session_id),
                strict=True,
            )
        ]

    def _refuse_streaming(self, state: SessionState) -> None:
        for message in self.messages:
            if message.id in state.streams:
                raise DuplicateEvent(
                    state.session_id,
                    f"message {message.id!r} is being written; take another id, or end it",
                )

    def _refuse_withdrawn(self, session: str) -> None:
        for message, newest in zip(self.messages, self.newest or (), strict=True):
            if newest.withdrawn and newest.version is None:
                raise MessageWithdrawn(session, message.id, newest.withdrawn, newest.withdrawn_at)

    def event_ids(self, session: str) -> Sequence[EventId]:
        if self.newest is not None:
            return [derived_id(session, newest.key) for newest in self.newest]
        return [derived_id(session, message_key(message.id)) for message in self.messages]

    def result(self, recorded: Sequence[Recorded]) -> tuple[Message, ...]:
        return tuple(map(_as_recorded, self.messages, self.data, recorded))

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return next(self._others(recorded), None) is None

    def other(self, recorded: Sequence[Recorded]) -> int:
        return next(self._others(recorded), 0)

    def _others(self, recorded: Sequence[Recorded]) -> Iterator[int]:
        """Yield the places of records that are not these messages."""
        given = zip(recorded, self.data, self.messages, strict=True)
        for place, (entry, data, message) in enumerate(given):
            event = entry.event
            if not isinstance(event, MessageAppended) or not same_message(
                event.message, data, message
            ):
                yield place


def _as_recorded(message: Message, data: MessageData, recorded: Recorded) -> Message:
    stored = cast("MessageAppended", recorded.event).message
    return message if stored is data else Message.model_validate(stored)


@dataclass(slots=True, eq=False)
class AppendLargeMessages(AppendMessages, KeepingCommand["tuple[Message, ...]"]):
    """Append messages after storing their large tool outputs beside the log (M6).

    ``large`` has the places of messages with large outputs: their tokens are estimated once it is
    known what is recorded. ``claiming`` has those that name values as stored in the session
    already.
    """

    estimate: TokenEstimator = estimate_tokens
    large: frozenset[int] = frozenset()
    claiming: frozenset[int] = frozenset()

    @property
    def unkept(self) -> bool:
        return True

    def keep(self, values: Values, state: SessionState) -> AppendMessages:
        if state.status != "open":
            return self
        for place in self.claiming:
            check_kept(values, state.session_id, self.data[place])
        if not self.large:
            return AppendMessages(self.messages, self.data, self.tokens, reuses=self.reuses)
        stored, tokens = list(self.data), list(self.tokens)
        for place in self.large:
            stored[place] = keep_outputs(values, state.session_id, stored[place], state.tool_output)
            tokens[place] = weigh(self.estimate, stored[place])
        return AppendMessages(
            self.messages, self.data, tuple(tokens), tuple(stored), reuses=self.reuses
        )


@dataclass(slots=True, eq=False)
class RecordToolResult(KeepingCommand[None]):
    """Record the result of a tool call that a message made (M4).

    If the message has several calls with the id and no ``occurrence`` is given, the first open one
    is answered; a result that is identical to one that a call has already is a repetition.
    """

    message_id: str
    tool_id: str
    output: str
    status: Literal["running", "completed", "error"]
    duration_ms: float | None = None
    tokens: int | None = None
    """The tokens of the output as it was given, if they were estimated before."""
    estimate: TokenEstimator = estimate_tokens
    too_large: Limit | None = None
    """The limit that the output exceeds, so that it is stored beside the log; or None."""
    large: dict[str, Any] | None = None
    """The fields of the tool part that replace the output, once it is stored beside the log."""
    event: ToolResultRecorded | ResultKept | None = None
    """The event to record, once `gather` has made it."""
    occurrence: int | None = None
    key: str | None = None
    """The key of the event, once `gather` knows it."""

    gathers = True
    expects_conversation = True

    @property
    def unkept(self) -> bool:
        return self.too_large is not None and self.large is None

    def keep(self, values: Values, state: SessionState) -> RecordToolResult:
        if state.status != "open" or self.too_large is None:
            return self
        call = CallId(state.session_id, self.message_id, self.tool_id)
        large = keep_output(values, call, self.output, self.too_large, state.tool_output)
        return replace(self, large=large)

    def gather(self, facts: Facts, state: SessionState) -> RecordToolResult:
        stream = state.streams.get(self.message_id)
        is_right = (type(self.event) is ToolResultRecorded) == (stream is None)
        if self.event is not None and is_right and not state.withdrawn:
            return self
        occurrence = self._occurrence(facts, state)
        if state.status == "open" and self.large is None:
            too_large = self._limit(facts, occurrence, state)
            if too_large is not None:
                return replace(self, too_large=too_large)
        large = dict(self.large or {})
        output = large.pop("tool_output", self.output)
        tokens = self.tokens if output is self.output else None
        event = _result_event(stream)(
            message_id=self.message_id,
            tool_id=self.tool_id,
            output=output,
            status=self.status,
            duration_ms=self.duration_ms,
            tokens=checked_tokens(self.estimate, output) if tokens is None else tokens,
            large=large or None,
            occurrence=occurrence,
        )
        key = tool_result_key(self.message_id, self.tool_id, self.status, occurrence)
        if state.withdrawn:
            key = facts.newest([key])[0].key
        return replace(self, event=event, too_large=None, key=key)

    def reads_stored(self, state: SessionState) -> bool:
        """Return whether the message is read: a long output counts together with its others."""
        if state.withdrawn:
            return True
        if self.event is not None or self.message_id in state.streams:
            return False
        is_long = len(self.output) > state.tool_output.preview_characters
        return (is_long and self.large is None) or self._pending_call(state) is None

    def _limit(self, facts: Facts, occurrence: int, state: SessionState) -> Limit | None:
        """Return the limit that the output exceeds, together with the others of its message."""
        policy = state.tool_output
        if len(self.output) <= policy.preview_characters:
            return None
        stream = state.streams.get(self.message_id)
        if stream is not None:
            others = stream.result_characters
        else:
            others = self._calls(facts, state).characters_beside(self.tool_id, occurrence)
        return select_large({0: self.output}, others, policy).get(0)

    def _calls(self, facts: Facts, state: SessionState) -> StoredCalls:
        return stored_calls(facts, state, self.message_id)

    def _occurrence(self, facts: Facts, state: SessionState) -> int:
        """Return the occurrence of the call that is answered."""
        stream = state.streams.get(self.message_id)
        if stream is not None:
            from eventlog.session.streams.results import streamed_occurrence  # Seldom needed.

            return streamed_occurrence(
                stream, self.tool_id, self.occurrence, self.status, self.output
            )
        pending = self._pending_call(state)
        if pending is not None:
            return pending.occurrence
        calls = self._calls(facts, state)
        count = calls.count(self.tool_id, self.occurrence)
        if self.occurrence is not None:
            return self.occurrence
        return 0 if count == 1 else self._choice(calls, count, facts, state)

    def _choice(self, calls: StoredCalls, count: int, facts: Facts, state: SessionState) -> int:
        """Choose among several calls with one id: the repeated one, else the first open one."""
        repeated = calls.answered_by(self.tool_id, self.status, self.output)
        if repeated is not None:
            return repeated
        waiting = state.window.pending.first(self.message_id, self.tool_id)
        if waiting is not None:
            return waiting.occurrence
        for occurrence in range(count):
            key = tool_result_key(self.message_id, self.tool_id, self.status, occurrence)
            if not facts.versions([derived_id(state.session_id, key)]):
                return occurrence
        return 0

    def _pending_call(self, state: SessionState) -> PendingCall | None:
        """Return the call if the state alone identifies it: live, open, and not a repetition."""
        # After a call that is answered already, the output may be a repetition of that answer.
        return state.window.pending.get(self.message_id, self.tool_id, self.occurrence or 0)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        assert self.event is not None  # `gather` has set it.
        return [Draft(self.event, self.event_ids(state.session_id)[0])]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        stored = cast("ToolResultRecorded", recorded[0].event)
        part = {**(stored.large or {}), "tool_output": stored.output}
        return stored.duration_ms == self.duration_ms and same_output(part, self.output)

    def event_ids(self, session: str) -> Sequence[EventId]:
        key = self.key
        if key is None:
            key = tool_result_key(self.message_id, self.tool_id, self.status, self.occurrence or 0)
        return [derived_id(session, key)]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


def _result_event(stream: Stream | None) -> type[ToolResultRecorded | ResultKept]:
    """Return the event that records a result; one for an unfinished message is kept for its end."""
    if stream is None:
        return ToolResultRecorded
    from eventlog.session.streams.events import ResultKept

    return ResultKept


@dataclass(slots=True, eq=False)
class AbandonCall(Command[bool]):
    """Close a call that will get no answer; a result that arrives later replaces this one (M4)."""

    message_id: str
    tool_id: str
    output: str
    estimate: TokenEstimator = estimate_tokens
    occurrence: int | None = None
    call: PendingCall | None = None
    """The open call, once `gather` has found it."""
    key: str | None = None
    """The key of the event, once `gather` knows it."""

    gathers = True
    expects_conversation = True

    def gather(self, facts: Facts, state: SessionState) -> AbandonCall:
        call = self._open_call(state)
        if call is None:
            stored_calls(facts, state, self.message_id).count(self.tool_id, self.occurrence)
            return replace(self, call=None)
        key = tool_result_key(self.message_id, self.tool_id, "abandoned", call.occurrence)
        if state.withdrawn:
            key = facts.newest([key])[0].key
        return replace(self, call=call, key=key)

    def reads_stored(self, state: SessionState) -> bool:
        return bool(state.withdrawn) or self._open_call(state) is None

    def _open_call(self, state: SessionState) -> PendingCall | None:
        pending = state.window.pending
        if self.occurrence is None:
            return pending.first(self.message_id, self.tool_id)
        return pending.get(self.message_id, self.tool_id, self.occurrence)

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        require_open(state)
        if self.call is None:
            return Outcome(False)
        event = ToolResultRecorded(
            message_id=self.message_id,
            tool_id=self.tool_id,
            output=self.output,
            status="error",
            tokens=checked_tokens(self.estimate, self.output),
            occurrence=self.call.occurrence,
            abandoned=True,
        )
        assert self.key is not None  # `gather` has set it together with the call.
        return [Draft(event, derived_id(state.session_id, self.key))]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return True  # The call is closed, whatever reason was given first.

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True


def stored_calls(facts: Facts, state: SessionState, message_id: str) -> StoredCalls:
    """Return the calls of a message; raise `InvalidMessage` if the session has no such message."""
    calls = facts.calls(message_id, state.version)
    if calls is None:
        raise InvalidMessage(
            f"session {state.session_id!r} has no message {message_id!r}; "
            "append the message with the call first",
            field="message_id",
        )
    return calls


@dataclass(slots=True, eq=False)
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


@dataclass(slots=True, eq=False)
class AssignProject(Command[bool]):
    """Set the project of a session that has none; otherwise record nothing (M9)."""

    project: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        require_open(state)
        if not self.project:
            raise InvalidArgument("a project must be a non-empty name")
        if state.project:
            return Outcome(False)
        return [Draft(ProjectAssigned(project=self.project))]

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True


@dataclass(slots=True, eq=False)
class ChangeFailedArchives(Command[bool]):
    """Have commits wait for archives that failed for good, or go on without them (C5)."""

    policy: FailedArchives

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        require_open(state)
        if state.failed_archives == self.policy:
            return Outcome(False)
        return [Draft(FailedArchivesChanged(policy=self.policy))]

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True


@dataclass(slots=True, eq=False)
class AssignMemorySession(Command[str]):
    """Give the session a stable id at a provider that has no sessions of its own (M10)."""

    provider: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[str]:
        known = state.memory_sessions.get(self.provider)
        if known is not None:
            return Outcome(known)
        require_open(state)
        if not self.provider:
            raise InvalidArgument("a provider must be a non-empty name")
        memory_session_id = f"{self.provider}-{state.session_id}-{now // 1_000_000}"
        return [
            Draft(
                MemorySessionAssigned(provider=self.provider, memory_session_id=memory_session_id)
            )
        ]

    def result(self, recorded: Sequence[Recorded]) -> str:
        return cast("MemorySessionAssigned", recorded[0].event).memory_session_id


@dataclass(slots=True, eq=False)
class RecordEvents(Command["tuple[Recorded, ...]"]):
    """Record events of users' own types (L16)."""

    events: tuple[Event, ...]

    returns_records = True

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        check_recordable(state, self.events)
        return [Draft(event) for event in self.events]

    def result(self, recorded: Sequence[Recorded]) -> tuple[Recorded, ...]:
        return tuple(recorded)


def check_recordable(state: SessionState, events: Sequence[Event | None]) -> None:
    """Raise unless the session takes events, there are some, and all are of users' own types."""
    require_open(state)
    if not events:
        raise InvalidArgument("there is no event to record; give at least one")
    for event in events:
        if event is not None and is_builtin_type(event.event_type):
            raise IllegalTransition(f"session {state.session_id!r}", state.status, event.event_type)


@dataclass(eq=False)
class CreateSession(Command[bool]):
    """Record the creation of a session that nobody has written to; an existing one stays as it is.

    Without ``given`` the session was there when its caller opened it. That is no part of what a
    repeated command is recognised by: after a restart, the session is there.
    """

    given: InitVar[SessionCreated | None]

    creates = True

    def __post_init__(self, given: SessionCreated | None) -> None:
        self._creation = given

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        if state.status == ABSENT and self._creation is not None:
            return [Draft(self._creation)]
        return Outcome(False)

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True


@dataclass(slots=True, eq=False)
class EndingSession(Command[None]):
    """End the session for its users; an open turn, and messages that are being written, end in the
    same append."""

    reason: str | None = None
    ending: Ending | None = None
    """How the open turn, and what is being written, end; once `gather` has read it."""
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True
    unnamed_reason: ClassVar[str]
    """Why the work ends if the caller does not say."""

    def gather(self, facts: Facts, state: SessionState) -> Command[None]:
        turn = state.turn
        if state.status != "open" or (turn is None and not state.streams):
            return self
        from eventlog.session.turns.ending import gather_ending  # Few sessions have turns.
        from eventlog.session.turns.unfinished import end_unfinished

        drafts, after, later = end_unfinished(
            facts, state, self.estimate, self.why, outside_too=True
        )
        withdraws = turn is not None and turn.on_error == "withdraw"
        ending = gather_ending(later, after, withdraws=withdraws)
        return replace(self, ending=ending._replace(unfinished=drafts))

    def reads_stored(self, state: SessionState) -> bool:
        return state.turn is not None or bool(state.streams)

    @property
    def why(self) -> str:
        """Why what is unfinished ends."""
        return self.reason or self.unnamed_reason

    def end_of_work(self, state: SessionState) -> list[Draft]:
        """Return the events that end what is unfinished: messages first, then their turn."""
        if self.ending is None:
            return []
        from eventlog.session.turns.ending import abandoned, end_drafts

        end = None if state.turn is None else abandoned(state.turn, self.why)
        return end_drafts(state, self.ending, end)

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


def _abandoned_runs(state: SessionState, reason: str, *, failed: bool = False) -> list[Draft]:
    """Return the events that abandon the runs that are not over; with ``failed``, those that failed,
    too."""
    if not state.runs:
        return []
    from eventlog.session.runs.events import RunAbandoned  # Few sessions have runs.

    return [
        Draft(RunAbandoned(task_id=run.run_id, attempt=run.attempt, reason=reason))
        for run in state.runs.values()
        if failed or run.is_waiting
    ]


@dataclass(slots=True, eq=False)
class CloseSession(EndingSession):
    """Close the session to further messages; open archives are still finalised."""

    unnamed_reason = "session closed"

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.status == "closed":
            return Outcome(None)
        require_open(state)
        ends = [*self.end_of_work(state), *_abandoned_runs(state, self.why)]
        return [*ends, Draft(SessionClosedEvent(reason=self.reason))]


@dataclass(slots=True, eq=False)
class DeleteSession(EndingSession):
    """Take the session out of use and abandon its open tasks (M1); its records stay."""

    unnamed_reason = "session deleted"

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        if state.status == "deleted":
            raise SessionClosed(state.session_id, state.status)
        reason = self.why
        abandoned = [
            Draft(
                ArchiveAbandoned(task_id=task.task_id, reason=reason)
                if task.ordered
                else TaskAbandoned(task_id=task.task_id, reason=reason)
            )
            for task in state.tasks.values()
            if task.kind != INBOUND
        ]
        abandoned += _abandoned_runs(state, reason, failed=True)
        return [*self.end_of_work(state), *abandoned, Draft(SessionDeleted(reason=self.reason))]
