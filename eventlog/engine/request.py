"""One command of one session on its way: decided, encoded, chained; then folded and answered."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, cast

import pydantic_core
from pydantic_core import PydanticSerializationError, ValidationError

from eventlog.chain import EMPTY_METADATA, chained_record
from eventlog.codec import (
    encode_event,
    encode_metadata,
    refusal,
    with_records_to_come,
    with_what_follows,
)
from eventlog.engine.committer import Request
from eventlog.errors import (
    ConflictError,
    DuplicateEvent,
    EventLogError,
    InvalidArgument,
    LeaseLost,
    MessageWithdrawn,
    VersionConflict,
)
from eventlog.events import is_builtin_type
from eventlog.identifiers import EventId, derived_id
from eventlog.machine import ABSENT
from eventlog.recorded import Recorded
from eventlog.records import ANY, Append, Appended, Expected, IndexEntry, Metadata, Position, Record
from eventlog.session.appended import APPENDED
from eventlog.session.auto_commit import AUTOMATIC
from eventlog.session.command import Command, Draft, KeepingCommand, Outcome
from eventlog.session.folding import apply
from eventlog.session.index import event_entries, index_changes, may_change_index
from eventlog.session.state import SessionState
from eventlog.session.turns.fence import turn_lost
from eventlog.session.version_ranges import withdrawal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventlog.engine.core import Core
    from eventlog.session.events import MessageAppended
    from eventlog.session.turns.state import TurnFence

__all__ = ["SessionRequest", "request_after_round", "run_keeping"]

NAMED: Final = 5
"""How many of the stored events an error names."""


class SessionRequest(Request):
    """One command of one session on its way through the committer."""

    __slots__ = (
        "_after",
        "_command",
        "_core",
        "_drafts",
        "_expected",
        "_fence",
        "_fingerprint",
        "_ids",
        "_key",
        "_metadata",
        "_outside",
        "_recorded",
        "_recovered",
    )

    def __init__(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
        fence: TurnFence | None = None,
    ) -> None:
        super().__init__(core)
        self._core = core
        self._command = command
        self._expected = expected
        self._fence = fence
        self._key = None if metadata is None else metadata.idempotency_key
        if command.keeps_values:
            self.keeps, self.unkept = True, cast("KeepingCommand[Any]", command).unkept
        elif command.ends_turns and core.writers:
            self.keeps = self.unkept = True
        self._ids: list[EventId] = []
        self._drafts: Sequence[Draft] = ()
        self._recorded: list[Recorded] = []
        self._after: SessionState | None = None
        self._fingerprint: str | None = None
        self._recovered = False
        if metadata is None:
            self._metadata = EMPTY_METADATA
        else:
            if self._key is not None:
                # Of the command as it was given, without the facts that it gathers later.
                self._fingerprint = _fingerprint(command)
                metadata = metadata._replace(command=self._fingerprint)
            self._metadata = encode_metadata(metadata)
        self._outside = self._metadata
        if fence is not None:
            marked = (metadata or Metadata())._replace(turn=fence.turn_id, attempt=fence.attempt)
            self._metadata = encode_metadata(marked)

    # ---- called by the committer --------------------------------------------------------------

    def prepare(self, round: int) -> Append | None:
        """Decide; a decision to record nothing or to refuse is taken on the newest state."""
        # The state may be out of date: another process may have written to the stream. A decision
        # that records something need not look: the store compares version and hash, answers with a
        # conflict, and the command is decided again. A refusal, or an outcome without events, never
        # reaches the store, so nothing would reveal that it was taken on an old state. Therefore
        # the log is read after such a decision; if that has folded foreign records, the loop
        # decides again. A state with predecessors of this round counts as up to date: if one of
        # them is not stored as decided, `Committer._settle` has this request decided again.
        #
        # A refusal is also preceded by a look for the command's own records. A repeated command,
        # whose first answer was lost, must get its original result (P8) even if it would be refused
        # today, for instance because the session was closed since.
        core = self._core
        self.waits = False
        while True:
            state = core.deciding_state(round)
            if self._waits_or_was_recorded(state):
                return None
            ready = self._ready(state)
            if ready is None:
                return None
            state, seen = ready
            now = core.clock()
            version = state.version
            try:
                decision = self._decide(seen, now)
            except ValidationError as error:
                raise refusal(error) from error
            except EventLogError as error:
                if self._was_recorded(error):
                    return None
                if core.up_to_date(state).version == version:
                    raise
                continue
            if not isinstance(decision, Outcome):
                self._drafts = decision
                return self._build(state, max(state.time, now))
            if core.up_to_date(state).version == version:
                self.result = decision.result
                return None

    def confirm(self, appended: Appended) -> bool:
        if appended.replayed:
            self._core.invalidate()
            self.settle_repeated(appended.versions)
            return False
        command, recorded = self._command, self._recorded
        self._core.confirm(self, [entry.record for entry in recorded], self._after)
        if command.creates:
            self._core.follow_policies()
        if len(recorded) > len(self._drafts):
            recorded = recorded[1:]
        if command.returns_records:
            recorded = self._placed(appended.positions)
        self.result = command.result(recorded)
        return True

    def fold(self, state: SessionState) -> None:
        for recorded in self._recorded:
            if recorded.record.version == state.version + 1:
                apply(state, recorded)

    def recorded(self) -> Sequence[Recorded]:
        return self._recorded

    def recall(self) -> bool:
        append = self.append
        if append is None:
            return False
        ids = [record.event_id for record in append.records]
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        self._core.refresh()
        self.settle_repeated([found[event_id] for event_id in ids])
        return True

    def keep_values(self) -> None:
        core, command = self._core, self._command
        if command.ends_turns:
            # What is written here and waits for its window belongs to what ends.
            for writer in tuple(core.writers):
                writer.store_rest()
        if isinstance(command, KeepingCommand):
            self._command = command.keep(core.reader, core.state.as_seen(core.creation))
        self.decisions = 0
        self.unkept = False

    def after_round(self) -> Request | None:
        return request_after_round(self._core)

    def refused(self, answer: EventLogError) -> EventLogError:
        """Return the store's refusal; of a batch of which a part is stored, with the part's names."""
        if not isinstance(answer, DuplicateEvent) or len(self._recorded) < 2:
            return answer
        by_id = {entry.record.event_id: entry for entry in self._recorded}
        try:
            found = self._core.reader.versions(list(by_id))
        except EventLogError:
            return answer
        stored = sorted((version, _named(by_id[event_id])) for event_id, version in found.items())
        if not stored:
            return answer
        how = "in another order" if len(stored) == len(by_id) else "already"
        names = ", ".join(f"{name} at version {version}" for version, name in stored[:NAMED])
        more = ", …" if len(stored) > NAMED else ""
        return DuplicateEvent(
            self._core.session,
            f"{len(stored)} of {len(by_id)} events are stored {how} ({names}{more}); "
            "repeat the whole batch as it was, or leave out what is stored",
        )

    # ---- inside -------------------------------------------------------------------------------

    def _waits_for_recovery(self, state: SessionState) -> bool:
        """Return whether unfinished messages that nobody will end must be ended first.

        That is tried once: if it is refused, the command is decided as things are.
        """
        core = self._core
        if self._recovered or core.recovery is None:
            return False
        command = self._command
        found = core.recovery.command(
            state, command.continues, self._fence, spares_turns=command.ends_turns
        )
        if found is None:
            return False
        first = SessionRequest(core, found)
        self._recovered = self.waits = first._recovered = True
        self.predecessor = first
        return True

    def _waits_or_was_recorded(self, state: SessionState) -> bool:
        """Return whether the key was used before, or can be looked up only in a later round."""
        if state.streams and self._waits_for_recovery(state):
            return True
        if self._key is None:
            return False
        # A command with the same key may be among those of this round, whose records are not
        # stored.
        self.waits = bool(self._core.pending)
        return self.waits or self._recall_by_key(self._key)

    def _ready(self, state: SessionState) -> tuple[SessionState, SessionState] | None:
        """Return the state to decide on, and as the command sees it, with the facts gathered; None
        if it cannot be decided in this round, or is answered already."""
        expected = self._at_expected(state)
        if expected is None:
            return None
        creates, core = self._command.creates, self._core
        seen = expected if creates else expected.as_seen(core.creation)
        return (expected, seen) if self._gather(seen) else None

    def _decide(self, seen: SessionState, now: int) -> Sequence[Draft] | Outcome[Any]:
        lost = self._fence and turn_lost(seen, self._fence)
        if lost:
            raise lost
        return self._command.decide(seen, now, self._core.ids)

    def _was_recorded(self, refusal: EventLogError) -> bool:
        """Return whether a command that is refused has its own records, so that it is a repetition.

        For one of a turn that is lost, nothing else counts.
        """
        try:
            return self._recall_by_drafts()
        except ConflictError:
            if not isinstance(refusal, LeaseLost):
                raise
            self.error = None
            return False

    def _gather(self, seen: SessionState) -> bool:
        """Let the command look up the facts that it needs; return whether it can be decided."""
        core, command = self._core, self._command
        if command.gathers and not (self._fence and turn_lost(seen, self._fence)):
            self.waits = bool(core.pending) and command.reads_stored(seen)
            if self.waits:
                return False
            command = self._command = command.gather(core.reader, seen)
        if command.keeps_values:
            # If the session is not open, the command will be refused, so no value is stored.
            unkept = cast("KeepingCommand[Any]", command).unkept
            self.unkept = unkept and seen.status == "open"
        return not self.unkept

    def _at_expected(self, state: SessionState) -> SessionState | None:
        """Return the state at the version that the caller expects; read the log if need be.

        None if the command is answered with its own records, or has to wait for those of this round.
        """
        if self._expected is ANY or self._is_expected(state):
            return state
        if self._command.expects_conversation and self._core.pending:
            # What it conflicts with, or repeats, may be a command of this round, which may fail.
            self.waits = True
            return None
        state = self._core.up_to_date(state)
        if self._is_expected(state):
            return state
        if self._command.expects_conversation and self._recall_by_drafts():
            return None
        raise VersionConflict(self._core.session, int(self._expected), state.version)

    def _is_expected(self, state: SessionState) -> bool:
        expected = int(self._expected)
        if self._command.expects_conversation:
            return state.conversation_version <= expected <= state.version
        return expected == state.version

    def _build(self, state: SessionState, time: int) -> Append:
        """Encode and chain the drafts into the append to store."""
        core = self._core
        stream, version, hash_ = core.session, state.version, state.hash
        drafts, first = self._drafts, 0
        if state.status == ABSENT and core.creation is not None and not self._command.creates:
            # The command's own events are numbered as if there were no creation before them.
            drafts, first = (core.creation_draft(), *drafts), -1
        recorded: list[Recorded] = []
        records: list[Record] = []
        indexed, keyed, to_come = False, False, len(drafts)
        number = first
        for event, given_id, is_turns, turn in drafts:
            if turn is None:
                metadata = self._metadata if is_turns else self._outside
            else:
                metadata = self._metadata if turn == self._fence else self._as_part_of(turn)
            version += 1
            type_, schema = event.event_type, event.event_schema
            data = encode_event(event)
            event_id = given_id or self._id(number)
            number += given_id is None or number < 0
            to_come -= 1
            beside = metadata
            if not is_builtin_type(type_):
                beside = with_what_follows(beside, event)
                keyed = keyed or bool(event.event_keys)
            if to_come:
                beside = with_records_to_come(beside, to_come)
            record = chained_record(
                hash_, stream, version, event_id, type_, schema, time, data, beside
            )
            hash_ = record.hash
            records.append(record)
            recorded.append(Recorded(record, event))
            indexed = indexed or may_change_index(state, type_, time)
        self._recorded = recorded
        index: tuple[IndexEntry, ...] = ()
        self._after = None
        if indexed:
            after = self._after = state.copy()
            for entry in recorded:
                apply(after, entry)
            index = index_changes(state, recorded, after)
            core.pending.add(self, after)
        else:
            core.pending.add(self)
            if keyed:
                index = tuple(entry for record in records for entry in event_entries(record))
        return Append(stream, state.version, tuple(records), index, state.hash)

    def _as_part_of(self, turn: TurnFence) -> bytes:
        """Return the metadata of what belongs to an attempt that did not give the command."""
        marks = {"turn": turn.turn_id, "attempt": turn.attempt}
        return pydantic_core.to_json({**pydantic_core.from_json(self._outside), **marks})

    def _placed(self, positions: Sequence[Position]) -> list[Recorded]:
        """Return the command's own records with the positions that the store gave them."""
        placed = [
            Recorded(entry.record._replace(position=position), entry.event)
            for entry, position in zip(self._recorded, positions, strict=True)
        ]
        return placed[len(placed) - len(self._drafts) :]

    def _id(self, number: int) -> EventId:
        """Return the id of the ``number``-th event, the same at every decision."""
        ids = self._ids
        while len(ids) <= number:
            key = self._key
            ids.append(
                self._core.ids() if key is None else derived_id(self._core.session, key, len(ids))
            )
        return ids[number]

    def settle_repeated(self, versions: Sequence[int]) -> None:
        """Answer with the original outcome if the content is the same (P8)."""
        core, command = self._core, self._command
        count = len(self._drafts) or len(command.event_ids(core.session))
        own = versions[len(versions) - count :]
        recorded = [self._record(version) for version in own]
        self.error = self._withdrawn(recorded)
        if self.error is not None:
            return
        if command.repeats(recorded, self._drafts):
            self.result = command.result(recorded)
        else:
            other = recorded[command.other(recorded)]
            self.error = DuplicateEvent(
                core.session,
                f"the id of {_named(other)} was used before with other content, at version "
                f"{other.version}; take another id or idempotency key",
            )

    def _withdrawn(self, recorded: Sequence[Recorded]) -> EventLogError | None:
        """Return the error for a message that was withdrawn since, if there is one among these.

        For what belongs to a turn that is lost, that is the reason.
        """
        session = self._core.session
        for entry in recorded:
            if entry.type != APPENDED:
                continue
            state = self._core.refresh()
            at = withdrawal_of(state.withdrawn, entry.version)
            if at:
                turns = (draft.turn for draft in self._drafts if draft.turn is not None)
                turn = self._fence or next(turns, None)
                lost = turn and turn_lost(state, turn)
                if lost:
                    return lost
                message_id = cast("MessageAppended", entry.event).message["id"]
                return MessageWithdrawn(session, message_id, entry.version, at)
        return None

    def _recall_by_key(self, key: str) -> bool:
        """Answer with the records of an earlier command with this idempotency key, if any."""
        recorded = list(self._recorded_as(key))
        if not recorded:
            return False
        if recorded[0].metadata.command != self._fingerprint:
            raise DuplicateEvent(
                self._core.session,
                f"the idempotency key {key!r} was used before for another command; "
                "take another key",
            )
        self.result = self._command.result(self._whole(recorded))
        return True

    def _whole(self, recorded: list[Recorded]) -> list[Recorded]:
        """Return the records of a command together with those that have ids of their own."""
        span = self._command.span()
        if span is None:
            return recorded
        place, count = span
        begin = recorded[0].version - place
        return [self._record(version) for version in range(begin, begin + count)]

    def _recorded_as(self, key: str) -> Iterator[Recorded]:
        number = 0
        while True:
            found = self._core.reader.recorded_as(key, number)
            if found is None:
                return
            yield found
            number += 1

    def _recall_by_drafts(self) -> bool:
        """Answer a command that would now be refused with its own records, if they are stored.

        Only commands whose events have ids that follow from their content are recognised this way.
        """
        ids = self._command.event_ids(self._core.session)
        if not ids:
            return False
        found = self._core.reader.versions(ids)
        if len(found) < len(ids):
            return False
        versions = [found[event_id] for event_id in ids]
        if versions != list(range(versions[0], versions[0] + len(versions))):
            return False  # They were not appended together.
        self.settle_repeated(versions)
        if self.error is not None:
            raise self.error
        return True

    def _record(self, version: int) -> Recorded:
        return cast("Recorded", self._core.reader.record(version))


def _named(entry: Recorded) -> str:
    """Return what users know an event by: its message, or its call (M3)."""
    event: Any = entry.event
    match entry.type:
        case "message_appended":
            return f"message {event.message['id']!r}"
        case "message_enqueued":
            return f"the queued message {event.message['id']!r}"
        case "tool_result_recorded":
            return f"the result of call {event.tool_id!r} of message {event.message_id!r}"
        case _:
            return f"the event {entry.type}"


def request_after_round(core: Core) -> SessionRequest | None:
    """Do work that can wait until after a round; return the request that follows, if any."""
    command = core.after_round()
    return None if command is None else SessionRequest(core, command, AUTOMATIC)


def run_keeping(run: Callable[[Request], Any], request: Request) -> Any:
    """Run a request that may name large values; these are stored before it is queued.

    Most values are known to be large beforehand. Whether an output exceeds the limit of its message
    together with others is known only when the request is decided: then nothing is recorded, the
    value is stored here, and the request is queued again.
    """
    while True:
        if request.unkept:
            request.keep_values()
        result = run(request)
        if not request.unkept:
            return result


def _in_digest(value: object) -> str:
    """Return what stands in a digest for a value that is no JSON. Of a function it is always the same: how
    tokens are estimated is not what was asked for, and each process has it at another address."""
    return "" if callable(value) else str(value)


def _fingerprint(command: Command[Any]) -> str:
    """Return a digest of a command's content, to recognise another command with the same key."""
    try:
        content = pydantic_core.to_json(
            [type(command).__name__, command.content()], fallback=_in_digest
        )
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidArgument(f"it cannot be stored as JSON: {error}; correct the value") from error
    return hashlib.sha256(content).hexdigest()[:32]
