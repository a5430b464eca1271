"""The commands of turns: begin, renew, record a step, end, and abandon one whose owner is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.errors import LeaseLost, TurnClosed, TurnOpen
from eventlog.session.command import Command, Draft, KeepingCommand, Outcome, require_open
from eventlog.session.streams.reasons import GONE, TURN_LAPSED, end_of_turn
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.turns.ending import (
    Ending,
    abandoned,
    end_drafts,
    gather_ending,
    live_part,
)
from eventlog.session.turns.events import (
    TurnAbandoned,
    TurnBegun,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    TurnRenewed,
)
from eventlog.session.turns.fence import turn_lost
from eventlog.session.turns.state import owner_name
from eventlog.session.turns.steps import StepOfTurn, turn_event_id
from eventlog.session.turns.unfinished import end_unfinished
from eventlog.session.version_ranges import contains, withdrawal_of
from eventlog.session.withdrawals.planning import plan_withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.command import Facts
    from eventlog.session.commands import AppendMessages
    from eventlog.session.keeping import Values
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.events import OwnerData
    from eventlog.session.turns.events import OnError, TurnEvent
    from eventlog.session.turns.machine import TurnEnd
    from eventlog.session.turns.state import BelievedLease, Turn, TurnFence
    from eventlog.session.withdrawals.planning import Plan, PlanFacts

__all__ = [
    "AbandonStaleTurn",
    "BeginTurn",
    "Begun",
    "CompleteTurnStep",
    "EndTurn",
    "RenewTurn",
]


class Begun(NamedTuple):
    """A turn that was begun, or one that had ended with a result."""

    attempt: int
    version: int
    """The version of its ``turn_begun``; of a completed one, of the record with its result."""
    is_done: bool = False
    steps: dict[str, int] = {}  # noqa: RUF012 - never changed
    lease_until: int = 0


@dataclass(slots=True, eq=False)
class BeginTurn(Command[Begun]):
    """Begin a turn, or begin it again: what its unfinished attempt added is withdrawn (T1)."""

    turn_id: str
    owner: OwnerData
    lease: int
    """Microseconds."""
    stale_seconds: float
    resumes: bool = False
    on_error: OnError = "keep"
    owner_gone: int | None = None
    """The version of a ``turn_begun`` whose owner is proven to have ended."""
    lease_now: int | None = None
    """The current time of the clock that leases are measured by, if that is not the log's."""
    expires_leases: bool = True
    """Whether the time can be trusted when it says that a lease has ended."""
    believed: BelievedLease | None = None
    """The lease of the open turn, if it ends later than is believed."""
    past: Turn | None = None
    """The turn as its last attempt left it, once `gather` has found it."""
    plan: Plan | None = None
    is_taken: bool = False
    """Whether a commit took part of it."""
    ending: Ending | None = None
    """How an open turn of another id is to end if it is stale."""
    unfinished: tuple[Draft, ...] = ()
    """What ends the messages that the open turn was writing."""
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True

    def content(self) -> Any:
        # Not who begins it, and when: with one key the same command may be given by others again.
        return (self.turn_id, self.lease, self.stale_seconds, self.resumes, self.on_error)

    def gather(self, facts: Facts, state: SessionState) -> Command[Begun]:
        if state.status != "open":
            return self
        past = self._past(facts, state)
        is_taken = past is not None and _is_taken(facts, state, past)
        is_gone = state.turn is not None and state.turn.begun == self.owner_gone
        reason = GONE if is_gone else TURN_LAPSED
        drafts, after, later = end_unfinished(facts, state, self.estimate, reason)
        if past is state.turn:
            past = after.turn
        plan, ending = self._plan(later, after, past)
        return replace(
            self, past=past, plan=plan, is_taken=is_taken, ending=ending, unfinished=drafts
        )

    def _past(self, facts: Facts, state: SessionState) -> Turn | None:
        """Return the turn as its last attempt left it; None if there was none."""
        if state.turn is not None and state.turn.turn_id == self.turn_id:
            return state.turn
        return facts.turn(self.turn_id)

    def _plan(
        self, facts: PlanFacts, state: SessionState, past: Turn | None
    ) -> tuple[Plan | None, Ending | None]:
        """Plan what is withdrawn, and how an open turn of another id ends."""
        open_turn, ending = state.turn, None
        chosen: set[int] = set()
        results: set[int] = set()
        if open_turn is not None and open_turn is not past:
            ending = gather_ending(facts, state, withdraws=False)
            if open_turn.on_error == "withdraw":
                chosen, results = live_part(facts, state, open_turn)
                ending = Ending()
        if past is not None and past.state != "completed":
            live, own_results = live_part(facts, state, past)
            chosen, results = chosen | live, results | own_results
        return plan_withdrawal(facts, state, chosen, results=results, closes=True), ending

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Begun]:
        require_open(state)
        now = self.lease_now or now
        past = self.past
        if past is not None and past.state == "completed":
            return Outcome(Begun(past.attempt, past.ended, is_done=True))
        drafts = [*self.unfinished]
        if state.turn is not None:
            self._refuse_open(state.turn, state.session_id, now)
        if self.is_taken and past is not None:
            raise TurnClosed(state.session_id, self.turn_id, past.state)
        if self.plan is not None:
            drafts.append(Draft(self.plan.event))
        if state.turn is not None and state.turn.turn_id != self.turn_id:
            ending = self.ending or Ending()
            gone = set[int]() if self.plan is None else set(self.plan.versions)
            drafts += end_drafts(state, ending, abandoned(state.turn), without=gone)
        drafts.append(Draft(self._begun(past, now)))
        return drafts

    def _begun(self, past: Turn | None, now: int) -> TurnBegun:
        return TurnBegun(
            turn=self.turn_id,
            attempt=1 if past is None else past.attempt + 1,
            lease_until=now + self.lease,
            stale_seconds=self.stale_seconds,
            owner=self.owner,
            resumes=self.resumes,
            on_error=self.on_error,
            steps=past.steps if past is not None and self.resumes else {},
        )

    def _refuse_open(self, turn: Turn, session: str, now: int) -> None:
        """Raise `TurnOpen` unless this turn may be begun although another attempt is open."""
        is_gone = turn.begun == self.owner_gone
        if turn.turn_id == self.turn_id:
            is_free = is_gone or (self.expires_leases and turn.lease_end(self.believed) <= now)
        else:
            is_free = self.expires_leases and turn.stale_from(self.believed) <= now
        if not is_free:
            age, left = (now - turn.begun_at) / 1e6, (turn.lease_until - now) / 1e6
            raise TurnOpen(session, turn.turn_id, owner_name(turn.owner), age, left)

    def result(self, recorded: Sequence[Recorded]) -> Begun:
        last = recorded[-1]
        event = cast("TurnBegun", last.event)
        steps = dict(event.steps)
        return Begun(event.attempt, last.version, steps=steps, lease_until=event.lease_until)


def _is_taken(facts: Facts, state: SessionState, turn: Turn) -> bool:
    """Return whether a commit took a message of a turn that may be begun again."""
    if turn.state == "completed":
        return False
    live = state.window.ranges(state.version)
    return any(
        not contains(live, version) and not withdrawal_of(state.withdrawn, version)
        for version, _ in facts.appended(turn.messages)
    )


@dataclass(slots=True, eq=False)
class RenewTurn(Command[int]):
    """Extend the lease of a turn; the result is its new end."""

    fence: TurnFence
    lease: int
    lease_now: int | None = None

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        lost = turn_lost(state, self.fence)
        turn = state.turn
        if lost is not None or turn is None:
            raise lost or LeaseLost(*self.fence, "the turn has ended", of="turn")
        until = (self.lease_now or now) + self.lease
        if turn.lease_until <= until + self.lease:  # Otherwise the clock before was ahead.
            until = max(until, turn.lease_until)
        event = TurnRenewed(turn=turn.turn_id, attempt=turn.attempt, lease_until=until)
        return [Draft(event)]

    def result(self, recorded: Sequence[Recorded]) -> int:
        return cast("TurnRenewed", recorded[0].event).lease_until


@dataclass(slots=True, eq=False)
class CompleteTurnStep(KeepingCommand[int]):
    """Record a step of a turn, with its messages; the result is the version of its record."""

    fence: TurnFence
    step: str
    digest: str
    output: Any
    blob: str | None
    appends: AppendMessages

    gathers = True

    @property
    def unkept(self) -> bool:
        return isinstance(self.appends, KeepingCommand) and self.appends.unkept

    def keep(self, values: Values, state: SessionState) -> Command[int]:
        assert isinstance(self.appends, KeepingCommand)  # Otherwise nothing is unkept.
        return replace(self, appends=cast("AppendMessages", self.appends.keep(values, state)))

    def gather(self, facts: Facts, state: SessionState) -> Command[int]:
        if self.unkept:
            return self
        return replace(self, appends=cast("AppendMessages", self.appends.gather(facts, state)))

    def reads_stored(self, state: SessionState) -> bool:
        return bool(state.withdrawn) and bool(self.appends.messages)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        appended = self.appends.decide(state, now, ids) if self.appends.messages else list[Draft]()
        event = self._step.completed(len(appended), self.output, self.blob)
        return [Draft(event, self.event_ids(state.session_id)[0]), *appended]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [self._step.event_id(session)]

    @property
    def _step(self) -> StepOfTurn:
        return StepOfTurn(self.fence, self.step, self.digest)

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return True  # A step is recorded once in an attempt.

    def result(self, recorded: Sequence[Recorded]) -> int:
        return recorded[0].version


@dataclass(slots=True, eq=False)
class EndTurn(Command[int]):
    """End a turn; the result is the version of the record."""

    fence: TurnFence
    how: TurnEnd
    value: Any = None
    """The result, or what went wrong."""
    withdraws: bool = False
    ending: Ending | None = None
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True

    def gather(self, facts: Facts, state: SessionState) -> Command[int]:
        if state.turn is None:
            return self
        is_whole = self.how == "completed"
        drafts, after, later = end_unfinished(
            facts, state, self.estimate, end_of_turn(self.how, self.value)
        )
        ending = Ending() if is_whole else gather_ending(later, after, withdraws=self.withdraws)
        return replace(self, ending=ending._replace(unfinished=drafts))

    def reads_stored(self, state: SessionState) -> bool:
        return self.how != "completed" or bool(state.streams)

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        turn, attempt = self.fence
        event: TurnEvent
        match self.how:
            case "completed":
                event = TurnCompleted(turn=turn, attempt=attempt, result=self.value)
            case "failed":
                event = TurnFailed(turn=turn, attempt=attempt, error=self.value)
            case "cancelled":
                event = TurnCancelled(turn=turn, attempt=attempt, error=self.value)
            case "abandoned":
                event = TurnAbandoned(turn=turn, attempt=attempt, reason=self.value)
        drafts = end_drafts(state, self.ending or Ending(), event)
        end = drafts[-1]._replace(event_id=self.event_ids(state.session_id)[0])
        return [*drafts[:-1], *self._end_of_run(state), end]

    def _end_of_run(self, state: SessionState) -> list[Draft]:
        """Return what ends the run that the turn is part of, if it is part of one, in the same way
        (R5)."""
        run = state.runs.get(self.fence.turn_id)
        if run is None or not run.is_waiting:
            return []
        from eventlog.session.runs.events import ended_run  # Few sessions have runs.

        return [Draft(ended_run(*self.fence, self.how, self.value))]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [turn_event_id(session, self.fence, "end", self.how)]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return recorded[-1].event == drafts[-1].event if drafts else True

    def result(self, recorded: Sequence[Recorded]) -> int:
        return recorded[-1].version


@dataclass(slots=True, eq=False)
class AbandonStaleTurn(Command[bool]):
    """Abandon the open turn if its lease lapsed too long ago; return whether it was."""

    lease_now: int | None = None
    believed: BelievedLease | None = None
    ending: Ending | None = None
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True

    def gather(self, facts: Facts, state: SessionState) -> Command[bool]:
        if state.turn is None:
            return self
        drafts, after, later = end_unfinished(facts, state, self.estimate, TURN_LAPSED)
        ending = gather_ending(later, after, withdraws=state.turn.on_error == "withdraw")
        return replace(self, ending=ending._replace(unfinished=drafts))

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[bool]:
        turn = state.turn
        now = self.lease_now or now
        if state.status != "open" or turn is None or turn.stale_from(self.believed) > now:
            return Outcome(False)
        return end_drafts(state, self.ending or Ending(), abandoned(turn))

    def result(self, recorded: Sequence[Recorded]) -> bool:
        return True
