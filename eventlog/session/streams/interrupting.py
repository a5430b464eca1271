"""Ending messages that get no further chunks: what arrived becomes one message, marked as such.

It happens once, since every way to do it removes the stream from the state, and an append fits one
version of the session only. Readers never do it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.identifiers import derived_id
from eventlog.session.command import Command, Draft, Facts, Outcome, require_open
from eventlog.session.events import MessageAppended, ToolResultRecorded
from eventlog.session.message_data import MessageData, tool_result_key
from eventlog.session.messages import Message
from eventlog.session.parts import answerable, readings_of
from eventlog.session.streams.commands import (
    StreamCommand,
    end_id,
    kept_results,
    lost,
    newest_key,
    with_kept_results,
)
from eventlog.session.streams.content import joined_parts
from eventlog.session.streams.events import ChunkAppended, MessageBegun, MessageInterrupted
from eventlog.session.streams.reasons import STOPPED, LostStream
from eventlog.session.tokens import TokenEstimator, checked_tokens, estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState
    from eventlog.session.streams.events import ResultKept
    from eventlog.session.streams.state import Stream

__all__ = [
    "INTERRUPTED",
    "Arrived",
    "InterruptMessage",
    "InterruptStreams",
    "arrived",
    "interruptions",
    "message_so_far",
]

INTERRUPTED: Final = "interrupted"
"""The output of a call that was open when its message was interrupted."""


class Arrived(NamedTuple):
    """What is stored of an unfinished message."""

    data: MessageData
    results: tuple[ResultKept, ...]
    key: str
    """The key that the message is to have."""
    call_keys: tuple[str, ...] = ()
    """The keys of the results that its calls get, in order."""


def message_so_far(
    begun: MessageBegun, chunks: Iterable[ChunkAppended], **marks: Any
) -> MessageData:
    """Return a message with the parts of its chunks."""
    pieces = (part for chunk in chunks for part in chunk.parts)
    return cast("MessageData", {**begun.message, **marks, "parts": joined_parts(pieces)})


def arrived(facts: Facts, state: SessionState, streams: Iterable[Stream]) -> dict[str, Arrived]:
    """Read what arrived of messages, by their ids (I/O)."""
    found: dict[str, Arrived] = {}
    for stream in streams:
        begun = facts.record(stream.fence)
        if begun is not None:
            data = message_so_far(
                cast("MessageBegun", begun.event),
                facts.chunks(stream.message_id, stream.fence, stream.last_version),
                interrupted=True,
            )
            key = newest_key(facts, state, stream.message_id)
            calls = tuple(_keys_of_calls(facts, state, data))
            found[stream.message_id] = Arrived(data, kept_results(facts, stream), key, calls)
    return found


def _keys_of_calls(facts: Facts, state: SessionState, data: MessageData) -> Iterable[str]:
    """Return the keys of the results that say that a call was interrupted."""
    keys = [
        tool_result_key(data["id"], tool_id, INTERRUPTED, occurrence)
        for _, tool_id, occurrence in answerable(readings_of(data))
    ]
    if keys and state.withdrawn:
        return (newest.key for newest in facts.newest(keys))
    return keys


def interruptions(
    state: SessionState,
    found: Mapping[str, Arrived],
    estimate: TokenEstimator,
    reason: str,
) -> list[Draft]:
    """Return the events that end streams; a message of which nothing arrived leaves no message."""
    drafts: list[Draft] = []
    session = state.session_id
    for message_id, (data, results, key, call_keys) in found.items():
        stream = state.streams[message_id]
        begin = len(drafts)
        ended = MessageInterrupted(
            message_id=message_id, fence=stream.fence, chunks=stream.sequence, reason=reason
        )
        drafts.append(Draft(ended, end_id(session, message_id, stream.fence, INTERRUPTED)))
        if data["parts"]:
            whole, tokens = with_kept_results(data, results, estimate)
            appended = MessageAppended.trusted({"message": whole, "tokens": tokens})
            drafts.append(Draft(appended, derived_id(session, key)))
            drafts.extend(_closed_calls(session, whole, call_keys, estimate))
        drafts[begin:] = [
            draft._replace(is_turns=False, turn=stream.turn) for draft in drafts[begin:]
        ]
    return drafts


def _closed_calls(
    session: str, data: MessageData, keys: Sequence[str], estimate: TokenEstimator
) -> list[Draft]:
    """Return a result for each open call: a model accepts no call without one."""
    readings = readings_of(data)
    drafts: list[Draft] = []
    for (place, tool_id, occurrence), key in zip(answerable(readings), keys, strict=True):
        if not readings[place].is_open:
            continue
        event = ToolResultRecorded(
            message_id=data["id"],
            tool_id=tool_id,
            output=INTERRUPTED,
            status="error",
            tokens=checked_tokens(estimate, INTERRUPTED),
            occurrence=occurrence,
            interrupted=True,
        )
        drafts.append(Draft(event, derived_id(session, key)))
    return drafts


@dataclass(slots=True, eq=False)
class InterruptMessage(StreamCommand):
    """End a message as its producer, who will not finish it; return it, if anything arrived."""

    message_id: str
    fence: int
    estimate: TokenEstimator = estimate_tokens
    reason: str = STOPPED
    found: dict[str, Arrived] | None = None
    earlier: Message | None = None
    """The message under this id that is recorded already, for a repetition."""

    gathers = True

    def gather(self, facts: Facts, state: SessionState) -> InterruptMessage:
        stream = state.streams.get(self.message_id)
        if stream is not None and stream.fence == self.fence:
            return replace(self, found=arrived(facts, state, [stream]))
        id_ = derived_id(state.session_id, newest_key(facts, state, self.message_id))
        version = facts.versions([id_]).get(id_)
        recorded = None if version is None else facts.record(version)
        event = None if recorded is None else recorded.event
        if not isinstance(event, MessageAppended):
            return self
        return replace(self, earlier=Message.model_validate(event.message))

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        self.own(state)
        if not self.found:
            raise lost(state, self.message_id, self.fence)
        return interruptions(state, self.found, self.estimate, self.reason)

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [end_id(session, self.message_id, self.fence, INTERRUPTED)]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return isinstance(recorded[0].event, MessageInterrupted)

    def result(self, recorded: Sequence[Recorded]) -> Message | None:
        whole = (entry.event for entry in recorded if isinstance(entry.event, MessageAppended))
        return next((Message.model_validate(event.message) for event in whole), self.earlier)


@dataclass(slots=True, eq=False)
class InterruptStreams(Command[tuple[str, ...]]):
    """End the streams whose producer is gone; return the ids of their messages.

    ``lost`` has each by its message, as it was judged. A producer that went on since keeps its stream.
    """

    lost: Mapping[str, LostStream]
    estimate: TokenEstimator = estimate_tokens
    found: dict[str, Arrived] | None = None

    gathers = True

    def gather(self, facts: Facts, state: SessionState) -> InterruptStreams:
        return replace(self, found=arrived(facts, state, self._still(state)))

    def _still(self, state: SessionState) -> list[Stream]:
        return [
            stream
            for stream in state.streams.values()
            if (found := self.lost.get(stream.message_id)) is not None
            and (found.fence, found.lease_end) == (stream.fence, stream.lease_end(state.turn))
        ]

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[tuple[str, ...]]:
        if not self.found:
            return Outcome(())
        require_open(state)
        drafts: list[Draft] = []
        for message_id, found in self.found.items():
            reason = self.lost[message_id].reason
            drafts += interruptions(state, {message_id: found}, self.estimate, reason)
        return drafts

    def result(self, recorded: Sequence[Recorded]) -> tuple[str, ...]:
        events = (entry.event for entry in recorded)
        return tuple(event.message_id for event in events if isinstance(event, MessageInterrupted))
