"""The commands of runs: queue a message, start an attempt, settle how it ended, ask it to stop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from eventlog.errors import DuplicateEvent, LeaseLost, MessageWithdrawn
from eventlog.identifiers import derived_id, format_id
from eventlog.session.command import Command, Draft, KeepingCommand, Outcome, require_open
from eventlog.session.events import MessageAppended
from eventlog.session.message_data import inbound_key, key_again, message_key
from eventlog.session.messages import same_message
from eventlog.session.runs.budget import RestartPolicy
from eventlog.session.runs.events import (
    MessageEnqueued,
    ModelCalled,
    RunAbandoned,
    RunCancelled,
    RunCrashed,
    RunEvent,
    RunFailed,
    RunReleased,
    RunStarted,
    RunStopRequested,
)
from eventlog.session.runs.machine import RunEnd, RunState
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.session.turns.commands import BeginTurn
from eventlog.session.turns.ending import Ending, end_drafts, gather_ending
from eventlog.session.turns.events import TurnAbandoned, TurnCancelled, TurnFailed
from eventlog.session.turns.state import TurnFence
from eventlog.session.turns.unfinished import end_unfinished
from eventlog.session.version_ranges import contains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.command import Facts
    from eventlog.session.commands import AppendMessages
    from eventlog.session.keeping import Values
    from eventlog.session.reading import Newest
    from eventlog.session.runs.state import Run
    from eventlog.session.state import SessionState
    from eventlog.session.turns.events import TurnEvent

__all__ = [
    "OWNER_LOST",
    "EnqueueMessage",
    "RecordModelCall",
    "SettleRun",
    "Settled",
    "StartRun",
    "Started",
    "StopRun",
]

OWNER_LOST: Final = "its supervisor was lost"
"""The error of an attempt that ends because its owner is gone."""


@dataclass(slots=True, eq=False)
class EnqueueMessage(KeepingCommand[str]):
    """Queue a message for a run (R5); the result is the id of its task, run and turn."""

    appends: AppendMessages
    """The message, checked; its large outputs are stored before it is queued."""
    newest: Newest | None = None
    """What the session has under the message's id, once `gather` has looked."""

    gathers = True

    @property
    def unkept(self) -> bool:
        return isinstance(self.appends, KeepingCommand) and self.appends.unkept

    def keep(self, values: Values, state: SessionState) -> Command[str]:
        assert isinstance(self.appends, KeepingCommand)  # Otherwise nothing is unkept.
        return replace(self, appends=cast("AppendMessages", self.appends.keep(values, state)))

    def gather(self, facts: Facts, state: SessionState) -> Command[str]:
        return replace(self, newest=facts.newest([message_key(self._message_id)])[0])

    def reads_stored(self, state: SessionState) -> bool:
        return True

    @property
    def _message_id(self) -> str:
        return self.appends.messages[0].id

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        newest, message_id = self.newest, self._message_id
        is_there = newest is not None and newest.version is not None
        if is_there or message_id in state.streams:
            raise DuplicateEvent(
                state.session_id,
                f"message {message_id!r} is in the session already; queue one with another id",
            )
        if newest is not None and newest.withdrawn:
            raise MessageWithdrawn(
                state.session_id, message_id, newest.withdrawn, newest.withdrawn_at
            )
        data = (self.appends.stored or self.appends.data)[0]
        event = MessageEnqueued(
            task_id=format_id(ids()), message=data, tokens=self.appends.tokens[0]
        )
        return [Draft(event, self.event_ids(state.session_id)[0])]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [derived_id(session, inbound_key(self._message_id))]

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        event = recorded[0].event
        data, message = self.appends.data[0], self.appends.messages[0]
        return isinstance(event, MessageEnqueued) and same_message(event.message, data, message)

    def result(self, recorded: Sequence[Recorded]) -> str:
        return cast("MessageEnqueued", recorded[0].event).task_id


class Started(NamedTuple):
    """An attempt that was begun; or, without one, what became of the run instead."""

    attempt: int = 0
    version: int = 0
    """The version of its ``turn_begun``."""
    steps: dict[str, int] = {}  # noqa: RUF012 - never changed
    message: int = 0
    """The version of the run's message in the session."""
    is_over: bool = False
    """Whether the run was found to be over, since its turn has a result."""

    @property
    def is_begun(self) -> bool:
        """Whether there is an attempt to carry out."""
        return self.attempt > 0


@dataclass(slots=True, eq=False)
class StartRun(Command[Started]):
    """Begin the next attempt of a run: the run's, its turn's, and its message, in one append (R5)."""

    run_id: str
    supervisor: str
    provider: str | None
    begin: BeginTurn
    memory_session: str | None = None
    """The provider for which the session gets an id of its own before the first call (M10)."""
    distrusted: int | None = None
    """A due time that is no longer trusted: while the run still has it, it counts as reached."""
    queued: MessageEnqueued | None = None
    """The event that queued the message, once `gather` has read it."""
    newest: Newest | None = None
    """What was recorded last under the message's key."""

    gathers = True
    ends_turns = True

    def gather(self, facts: Facts, state: SessionState) -> Command[Started]:
        run = state.runs.get(self.run_id)
        if run is None or not self._is_next(state, run):
            return self
        recorded = facts.record(run.queued)
        queued = None if recorded is None else cast("MessageEnqueued", recorded.event)
        newest = facts.newest([message_key(run.message_id)])[0]
        turn = state.turn
        begin = self.begin
        if turn is not None and turn.turn_id == self.run_id and run.state != "running":
            begin = replace(begin, owner_gone=turn.begun)  # Its attempt was settled.
        begin = cast("BeginTurn", begin.gather(facts, state))
        return replace(self, queued=queued, newest=newest, begin=begin)

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def _is_next(self, state: SessionState, run: Run) -> bool:
        return run is state.next_run() and run.state in ("idle", "backing_off")

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Started]:
        require_open(state)
        run = state.runs.get(self.run_id)
        if run is None or self.queued is None or not self._is_next(state, run):
            return Outcome(Started())
        # One that is idle waits for nothing: a clock that was ahead when it was queued does not count.
        is_early = run.state == "backing_off" and run.due_at > now
        if is_early and run.due_at != self.distrusted:
            return Outcome(Started())
        decided = self.begin.decide(state, now, ids)
        if isinstance(decided, Outcome):  # Whoever ended the turn did not know of the run.
            from eventlog.session.runs.events import RunCompleted

            return [Draft(RunCompleted(task_id=run.run_id, attempt=run.attempt))]
        fence = TurnFence(self.run_id, cast("Any", decided[-1].event).attempt)
        started = RunStarted(
            task_id=run.run_id,
            attempt=fence.attempt,
            supervisor=self.supervisor,
            provider=self.provider,
            is_restart=run.state == "backing_off",
        )
        drafts = [
            *self._memory_session(state, now, ids),
            *decided[:-1],
            Draft(started),
            decided[-1],
        ]
        return [*drafts, *self._message(state, self.queued, drafts, fence)]

    def _memory_session(self, state: SessionState, now: int, ids: IdSource) -> list[Draft]:
        provider = self.memory_session
        if provider is None or provider in state.memory_sessions:
            return []
        from eventlog.session.commands import AssignMemorySession

        decided = AssignMemorySession(provider).decide(state, now, ids)
        return [] if isinstance(decided, Outcome) else [*decided]

    def _message(
        self,
        state: SessionState,
        queued: MessageEnqueued,
        drafts: Sequence[Draft],
        fence: TurnFence,
    ) -> list[Draft]:
        """Return the append of the message, unless the session has it: one that was put in its place
        between two attempts is what the run answers then."""
        newest, plan = self.newest, self.begin.plan
        assert newest is not None  # `gather` has set it together with the rest.
        key = newest.key
        if newest.version is not None:
            if plan is None or not contains(plan.event.ranges, newest.version):
                return []
            place = next(at for at, draft in enumerate(drafts) if draft.event is plan.event)
            key = key_again(key, state.version + place + 1)
        appended = MessageAppended.trusted({"message": queued.message, "tokens": queued.tokens})
        return [Draft(appended, derived_id(state.session_id, key), turn=fence)]

    def result(self, recorded: Sequence[Recorded]) -> Started:
        begun = next((entry for entry in recorded if entry.type == "turn_begun"), None)
        if begun is None:
            return Started(is_over=True)
        event = cast("Any", begun.event)
        last = recorded[-1]
        message = last.version if last.type == MessageAppended.event_type else self._message_there
        return Started(event.attempt, begun.version, dict(event.steps), message)

    @property
    def _message_there(self) -> int:
        """The version of the message that the session had before; 0 if it is unknown."""
        return (self.newest and self.newest.version) or 0


How = Literal["crashed", "lost", "released", "cancelled", "failed", "abandoned"]


class Settled(NamedTuple):
    """How an attempt was settled: the state of the run after it; None if there was nothing to do."""

    state: RunState | None = None


@dataclass(slots=True, eq=False)
class SettleRun(Command[Settled]):
    """Record how an attempt ended, or that the run ends: unfinished messages first, then the open
    calls, then the run and its turn, all in one append (R4)."""

    run_id: str
    how: How
    reason: str
    attempt: int | None = None
    """The attempt that its owner settles, or that others judged; None for whatever is there."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    least_delay: int = 0
    """Microseconds that a service asked to wait."""
    provider_gone: bool = False
    owner_gone: int | None = None
    """The version of a ``turn_begun`` whose owner is proven to have ended."""
    distrusted: int | None = None
    """A lease's end that is no longer trusted: while the turn still has it, it counts as reached."""
    lease_now: int | None = None
    expires_leases: bool = True
    unchanged_since: int | None = None
    """With this, only if the session still is at the version."""
    ending: Ending | None = None
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True

    def gather(self, facts: Facts, state: SessionState) -> Command[Settled]:
        if state.turn is None or state.turn.turn_id != self.run_id:
            return replace(self, ending=None)
        drafts, after, later = end_unfinished(facts, state, self.estimate, self.reason)
        ending = gather_ending(later, after, withdraws=False)
        return replace(self, ending=ending._replace(unfinished=drafts))

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[Settled]:
        run = state.runs.get(self.run_id)
        if run is None or not self._applies(state, run, now):
            return Outcome(Settled())
        event, end = self._event(run, now)
        turn_event = self._turn_event(state, run, end)
        drafts = self._end_of_attempt(state, turn_event)
        numbered = Draft(event, self._event_id(state.session_id, run))
        if end is None or turn_event is None:
            return [*drafts, numbered]
        return [*drafts[:-1], numbered, drafts[-1]]

    def _applies(self, state: SessionState, run: Run, now: int) -> bool:
        if self.unchanged_since not in (None, state.version):
            return False
        if self.attempt is not None and run.attempt != self.attempt:
            return False
        if self.how in ("crashed", "released"):
            return run.state == "running"
        if self.how == "lost":
            return run.state == "running" and self.is_lost(state, now)
        return run.is_waiting or (self.how == "abandoned" and run.state == "failed")

    def is_lost(self, state: SessionState, now: int) -> bool:
        turn = state.turn
        if turn is None or turn.turn_id != self.run_id:
            return True  # Others ended it, since its lease had lapsed too long ago.
        if turn.begun == self.owner_gone:
            return True
        is_over = turn.lease_until <= (self.lease_now or now)
        return self.expires_leases and (is_over or turn.lease_until == self.distrusted)

    def _event(self, run: Run, now: int) -> tuple[RunEvent, RunEnd | None]:
        """Return the event that settles the attempt, and how it ends the run, if it does."""
        of: dict[str, Any] = {"task_id": run.run_id, "attempt": run.attempt}
        how = self.how
        if run.stop is not None and how in ("crashed", "lost", "released"):
            return RunCancelled(**of, reason=run.stop), "cancelled"
        if how in ("crashed", "lost"):
            refusal = self.policy.refusal(run, now)
            if refusal is not None:
                return RunFailed(**of, error=f"{self.reason} ({refusal})"), "failed"
            crashed = RunCrashed(
                **of,
                error=self.reason,
                next_run_at=now + max(self.policy.delay(run), self.least_delay),
                owner_lost=how == "lost",
                provider_gone=self.provider_gone,
            )
            return crashed, None
        match how:
            case "released":
                return RunReleased(**of, reason=self.reason), None
            case "cancelled":
                return RunCancelled(**of, reason=self.reason), "cancelled"
            case "failed":
                return RunFailed(**of, error=self.reason), "failed"
            case _:
                return RunAbandoned(**of, reason=self.reason), "abandoned"

    def _turn_event(self, state: SessionState, run: Run, end: RunEnd | None) -> TurnEvent | None:
        """Return the end of the run's turn; None if it is not open, or goes on."""
        turn = state.turn
        if end is None or turn is None or turn.turn_id != run.run_id or state.status != "open":
            return None
        match end:
            case "failed":
                return TurnFailed(turn=turn.turn_id, attempt=turn.attempt, error=self.reason)
            case "cancelled":
                return TurnCancelled(turn=turn.turn_id, attempt=turn.attempt, error=self.reason)
            case _:
                return TurnAbandoned(turn=turn.turn_id, attempt=turn.attempt, reason=self.reason)

    def _end_of_attempt(self, state: SessionState, event: TurnEvent | None) -> list[Draft]:
        if event is not None:
            return end_drafts(state, self.ending or Ending(), event)
        if self.ending is None or state.status != "open":
            return []
        # The turn stays open, so that no commit takes part of it before it is begun again.
        return end_drafts(state, self.ending, None)

    def _event_id(self, session: str, run: Run) -> EventId:
        generation = f"{run.restart_count}\0{run.queued_at}\0{run.due_at}"
        return derived_id(session, f"run\0{run.run_id}\0{run.attempt}\0{run.state}\0{generation}")

    def result(self, recorded: Sequence[Recorded]) -> Settled:
        events = (entry.event for entry in recorded)
        event = next(each for each in events if isinstance(each, RunEvent))
        return Settled(_STATES[event.event_type])


_STATES: Final[dict[str, RunState]] = {
    "run_crashed": "backing_off",
    "run_released": "idle",
    "run_cancelled": "cancelled",
    "run_failed": "failed",
    "run_abandoned": "abandoned",
}


@dataclass(slots=True, eq=False)
class StopRun(Command["str | None"]):
    """Ask for the cancellation of a run; the result is its id, or None if there is none to stop.

    A run that is being executed is cancelled by its owner, so that what has arrived is recorded.
    """

    run_id: str | None = None
    """By default the run that is being executed, or waits for its restart."""
    reason: str = "stopped"
    settle: SettleRun | None = None
    owner_gone: int | None = None
    lease_now: int | None = None
    expires_leases: bool = True
    estimate: TokenEstimator = estimate_tokens

    gathers = True
    ends_turns = True

    def gather(self, facts: Facts, state: SessionState) -> Command[str | None]:
        run = self._found(state)
        if run is None:
            return replace(self, settle=None)
        settle = SettleRun(
            run.run_id,
            "cancelled",
            self.reason,
            attempt=run.attempt,
            owner_gone=self.owner_gone,
            lease_now=self.lease_now,
            expires_leases=self.expires_leases,
            estimate=self.estimate,
        )
        return replace(self, settle=cast("SettleRun", settle.gather(facts, state)))

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def _found(self, state: SessionState) -> Run | None:
        if self.run_id is not None:
            run = state.runs.get(self.run_id)
            return run if run is not None and run.is_waiting else None
        run = state.next_run()
        return run if run is not None and run.attempt else None

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[str | None]:
        run, settle = self._found(state), self.settle
        if run is None or settle is None:
            return Outcome(None)
        require_open(state)
        if run.state != "running" or settle.is_lost(state, now):
            decided = settle.decide(state, now, ids)
            return Outcome(None) if isinstance(decided, Outcome) else decided
        if run.stop is not None:
            return Outcome(run.run_id)
        event = RunStopRequested(task_id=run.run_id, attempt=run.attempt, reason=self.reason)
        return [Draft(event)]

    def result(self, recorded: Sequence[Recorded]) -> str | None:
        events = (entry.event for entry in recorded)
        return next(each.task_id for each in events if isinstance(each, RunEvent))


@dataclass(slots=True, eq=False)
class RecordModelCall(Command[None]):
    """Record that a model was called, in an attempt of a run (R2)."""

    fence: TurnFence
    call: str
    number: int
    outcome: Literal["succeeded", "failed", "refused"]
    error: str | None = None
    delay_seconds: float | None = None
    usage: dict[str, int] = field(default_factory=dict[str, int])

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        run = state.runs.get(self.fence.turn_id)
        if run is None or run.state != "running" or run.attempt != self.fence.attempt:
            raise LeaseLost(*self.fence, "its run is over", of="turn")
        return [
            Draft(
                ModelCalled(
                    task_id=run.run_id,
                    attempt=run.attempt,
                    call=self.call,
                    number=self.number,
                    outcome=self.outcome,
                    error=self.error,
                    delay_seconds=self.delay_seconds,
                    usage=cast("Any", self.usage),
                )
            )
        ]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
