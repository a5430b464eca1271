"""The commands of a message that is being written: its producer's, each fenced.

Ending streams whose producer is gone is in `eventlog.session.streams.interrupting`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from eventlog.clock import format_time
from eventlog.errors import DuplicateEvent, InvalidArgument, LeaseLost
from eventlog.identifiers import derived_id
from eventlog.session.command import (
    Command,
    Draft,
    Facts,
    KeepingCommand,
    refuse_queued,
    require_open,
)
from eventlog.session.events import MessageAppended
from eventlog.session.keeping import check_kept, keep_outputs
from eventlog.session.message_data import MessageData, message_key
from eventlog.session.messages import Message
from eventlog.session.parts import weigh
from eventlog.session.reading import with_results
from eventlog.session.streams.content import without_result
from eventlog.session.streams.events import ChunkAppended, MessageBegun, MessageEnded, ResultKept
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.turns.fence import turn_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.events import Event
    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.keeping import Values
    from eventlog.session.state import SessionState
    from eventlog.session.streams.state import Stream
    from eventlog.session.tasks.events import OwnerData
    from eventlog.session.turns.steps import StepOfTurn

__all__ = [
    "AppendChunk",
    "BeginMessage",
    "BegunMessage",
    "EndMessage",
    "Holder",
    "StreamCommand",
    "chunk_id",
    "end_id",
    "kept_results",
    "lease_end",
    "lost",
    "newest_key",
]


class BegunMessage(NamedTuple):
    """A message that its producer may continue.

    ``fence`` names the producer in every further call; ``sequence`` is the number of the last chunk,
    so the first one to append is ``sequence + 1``.
    """

    message_id: str
    fence: int
    sequence: int = 0


def chunk_id(session: str, message_id: str, fence: int, sequence: int) -> EventId:
    """Return the event id of a chunk, so that a resent one is recognised."""
    return derived_id(session, f"{message_id}\0chunk\0{fence}", sequence)


def end_id(
    session: str, message_id: str, fence: int, how: Literal["ended", "interrupted"]
) -> EventId:
    """Return the event id of the end of a stream, so that a repeated one is recognised."""
    return derived_id(session, f"{message_id}\0{how}\0{fence}")


def lease_end(stream: Stream, now: int) -> int | None:
    """Return the new end of a lease that is renewed now; it never comes closer.

    An end that lies further off than a lease from then was recorded by a clock that was ahead.
    """
    if stream.lease_until is None:
        return None
    until = now + stream.lease
    return max(until, stream.lease_until) if stream.lease_until <= until + stream.lease else until


def lost(state: SessionState, message_id: str, fence: int) -> LeaseLost:
    """Return the error of a producer whose stream is no longer its own."""
    stream = state.streams.get(message_id)
    why = "it is not being written" if stream is None else f"its fence is {stream.fence}"
    return LeaseLost(message_id, fence, why, of="message")


class Holder:
    """Who begins a message, and when: no part of what is asked for, so that a command that is
    repeated elsewhere with the same idempotency key is known to be the same."""

    __slots__ = ("lease_now", "owner")

    def __init__(self, owner: OwnerData, lease_now: int | None = None) -> None:
        self.owner = owner
        self.lease_now = lease_now
        """The time of the clock that leases are measured by, if that is not the log's."""

    def __repr__(self) -> str:
        return "the calling process"


@dataclass(slots=True, eq=False)
class BeginMessage(Command[BegunMessage]):
    """Begin to write a message; from here on its id is taken."""

    data: MessageData
    """Without parts; the time is that of its recording if it is not given."""
    lease: int
    """Microseconds."""
    holder: Holder
    in_turn: bool = False
    """Whether the lease of a turn stands for its own; ids of withdrawn messages may be used again."""
    is_taken: bool = False

    gathers = True

    def gather(self, facts: Facts, state: SessionState) -> BeginMessage:
        (newest,) = facts.newest([message_key(self.data["id"])])
        is_used = newest.version is not None or (bool(newest.withdrawn) and not self.in_turn)
        return replace(self, is_taken=is_used)

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        message_id = self.data["id"]
        if self.is_taken or message_id in state.streams:
            is_now = "was recorded before" if self.is_taken else "is being written already"
            raise DuplicateEvent(
                state.session_id, f"message {message_id!r} {is_now}; take another id"
            )
        refuse_queued(state, [message_id])
        message = cast("MessageData", {"created_at": format_time(now), **self.data})
        until = None if self.in_turn else (self.holder.lease_now or now) + self.lease
        event = MessageBegun(
            message=message, owner=self.holder.owner, lease=self.lease, lease_until=until
        )
        return [Draft(event)]

    def result(self, recorded: Sequence[Recorded]) -> BegunMessage:
        return BegunMessage(self.data["id"], recorded[0].version)


class StreamCommand(Command[Any]):
    """A command of the producer of a message: it continues its own stream, even a late one that
    nobody has ended yet."""

    __slots__ = ()

    message_id: str
    fence: int

    @property
    def continues(self) -> str:
        return self.message_id

    def own(self, state: SessionState) -> Stream:
        """Return the stream; raise `LeaseLost` if it is no longer the producer's."""
        require_open(state)
        stream = state.streams.get(self.message_id)
        if stream is None or stream.fence != self.fence:
            raise lost(state, self.message_id, self.fence)
        gone = stream.turn and turn_lost(state, stream.turn)
        if gone:
            raise gone
        return stream


@dataclass(slots=True, eq=False)
class AppendChunk(StreamCommand, KeepingCommand[None]):
    """Append the next chunk, and renew the lease. Repeating a chunk changes nothing."""

    message_id: str
    fence: int
    sequence: int
    parts: list[dict[str, Any]]
    keeps_large: bool = False
    """Whether a part has a large output, which is stored beside the log first."""
    claims: bool = False
    """Whether a part names an output that is stored already, which is looked up first."""
    lease_now: int | None = None

    @property
    def unkept(self) -> bool:
        return self.keeps_large or self.claims

    def keep(self, values: Values, state: SessionState) -> AppendChunk:
        if state.status != "open":
            return self
        whole = cast("MessageData", {"id": self.message_id, "parts": self.parts})
        kept = _kept(values, state, whole, self.claims, self.keeps_large)
        return replace(self, parts=kept["parts"], keeps_large=False, claims=False)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        stream = self.own(state)
        if self.sequence != stream.sequence + 1:
            raise InvalidArgument(
                f"message {self.message_id!r}: chunk {self.sequence} cannot follow chunk "
                f"{stream.sequence}; append chunk {stream.sequence + 1} next"
            )
        event = ChunkAppended.trusted(
            {
                "message_id": self.message_id,
                "fence": self.fence,
                "sequence": self.sequence,
                "parts": self.parts,
                "lease_until": lease_end(stream, self.lease_now or now),
            }
        )
        return [Draft(event, self.event_ids(state.session_id)[0], turn=stream.turn)]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [chunk_id(session, self.message_id, self.fence, self.sequence)]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return cast("ChunkAppended", recorded[0].event).parts == self.parts

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(slots=True, eq=False)
class EndMessage(StreamCommand, KeepingCommand[Message]):
    """End a message and record the whole of it, with the results that came while it was written."""

    message_id: str
    fence: int
    data: MessageData
    estimate: TokenEstimator = estimate_tokens
    keeps_large: bool = False
    claims: bool = False
    """Both as in `AppendChunk`."""
    step: StepOfTurn | None = None
    """The step of a turn that the message is."""
    results: tuple[ResultKept, ...] = ()
    key: str | None = None
    """The key that the message has, once `gather` has looked: one withdrawn may have had its id."""

    gathers = True

    @property
    def unkept(self) -> bool:
        return self.keeps_large or self.claims

    def keep(self, values: Values, state: SessionState) -> EndMessage:
        if state.status != "open":
            return self
        data = _kept(values, state, self.data, self.claims, self.keeps_large)
        return replace(self, data=data, keeps_large=False, claims=False)

    def gather(self, facts: Facts, state: SessionState) -> EndMessage:
        key = newest_key(facts, state, self.message_id)
        stream = state.streams.get(self.message_id)
        results = () if stream is None else kept_results(facts, stream)
        return replace(self, results=results, key=key)

    def reads_stored(self, state: SessionState) -> bool:
        stream = state.streams.get(self.message_id)
        return bool(state.withdrawn) or (stream is not None and bool(stream.results))

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        stream = self.own(state)
        data, tokens = with_kept_results(self.data, self.results, self.estimate)
        events: list[Event] = [] if self.step is None else [self.step.completed(2)]
        events += [
            MessageEnded(message_id=self.message_id, fence=self.fence, chunks=stream.sequence),
            MessageAppended.trusted({"message": data, "tokens": tokens}),
        ]
        own_ids = self.event_ids(state.session_id)
        return [
            Draft(event, id_, turn=stream.turn) for event, id_ in zip(events, own_ids, strict=True)
        ]

    def event_ids(self, session: str) -> Sequence[EventId]:
        first = [] if self.step is None else [self.step.event_id(session)]
        return [
            *first,
            end_id(session, self.message_id, self.fence, "ended"),
            derived_id(session, self.key or message_key(self.message_id)),
        ]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        ended, appended = (entry.event for entry in recorded[-2:])
        if not isinstance(ended, MessageEnded) or not isinstance(appended, MessageAppended):
            return False
        return _without_results(appended.message) == _without_results(self.data)

    def result(self, recorded: Sequence[Recorded]) -> Message:
        return Message.model_validate(cast("MessageAppended", recorded[-1].event).message)


def _kept(
    values: Values, state: SessionState, data: MessageData, claims: bool, keeps_large: bool
) -> MessageData:
    """Look up the stored outputs that a message names, and store its large ones (M6)."""
    if claims:
        check_kept(values, state.session_id, data)
    return keep_outputs(values, state.session_id, data, state.tool_output) if keeps_large else data


def newest_key(facts: Facts, state: SessionState, message_id: str) -> str:
    """Return the key that a message has, or is to have; where one under its id was withdrawn, it
    follows from that (I/O then)."""
    key = message_key(message_id)
    return facts.newest([key])[0].key if state.withdrawn else key


def kept_results(facts: Facts, stream: Stream) -> tuple[ResultKept, ...]:
    """Read the results that wait for the end of a message (I/O)."""
    found = (facts.record(kept.version) for kept in stream.results)
    return tuple(cast("ResultKept", entry.event) for entry in found if entry is not None)


def with_kept_results(
    data: MessageData, results: Sequence[ResultKept], estimate: TokenEstimator
) -> tuple[MessageData, int]:
    """Return a message with results in the calls that they answer, and its tokens."""
    tokens = weigh(estimate, data)
    if not results:
        return data, tokens
    last = {(result.tool_id, result.occurrence): result for result in results}
    return with_results(data, last), tokens + sum(result.tokens for result in last.values())


def _without_results(data: MessageData) -> dict[str, Any]:
    """Return what a producer said of a message: without what results have written into its calls,
    and without the time, which was drawn when it began."""
    said = {name: value for name, value in data.items() if name != "created_at"}
    said["parts"] = [without_result(part) for part in data["parts"]]
    return said
