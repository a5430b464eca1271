"""Random programs of two supervisors, a stopping user and a clock, against a model of the run machine.

The model knows the rules in a few lines, and the log must come to the same: after every step, in the
state, in the index, in a replay, and for a rival that has another process's view.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventlog import DuplicateEvent, LeaseLost, Log, Message, RestartPolicy, Session
from eventlog.session.commands import AppendMessages
from eventlog.session.runs.commands import SettleRun
from eventlog.session.turns.commands import CompleteTurnStep, EndTurn, RenewTurn
from eventlog.session.turns.state import TurnFence
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of, engine_of, execute
from tests.runs.driving import LEASE, check, start
from tests.shares import rounds

POLICY = RestartPolicy(consecutive=2, delays=(1, 2), window=(4, 60.0))
ENDS = {"completed", "cancelled", "failed", "abandoned"}


@dataclass
class Expected:
    """What the rules say of one run."""

    run_id: str
    state: str = "idle"
    attempt: int = 0
    consecutive: int = 0
    restarts: list[int] = field(default_factory=list[int])
    due: int = 0
    lease: int = 0
    steps: set[str] = field(default_factory=set[str])
    stop: bool = False


class Runs(RuleBasedStateMachine):
    """One session, two processes that supervise it."""

    @initialize()
    def begin(self) -> None:
        self.clock, self.store = FakeClock(), MemoryStore()
        self.logs = [Log(self.store, clock=self.clock) for _ in range(2)]
        self.session: Session = self.logs[0].session("s", create=True)
        self.session.ensure_created()
        self.runs: list[Expected] = []

    # ---- the model ----------------------------------------------------------------------------

    @property
    def next(self) -> Expected | None:
        return next((run for run in self.runs if run.state not in ENDS), None)

    def expect_settled(self, run: Expected) -> str:
        """Return what a crash leads to."""
        now = self.clock()
        recent = [at for at in run.restarts if at > now - 60_000_000]
        if run.stop:
            run.state = "cancelled"
        elif run.consecutive >= 2 or len(recent) >= 4:
            run.state = "failed"
        else:
            run.state = "backing_off"
            run.due = now + (1 if run.consecutive == 0 else 2) * 1_000_000
        return run.state

    # ---- what happens -------------------------------------------------------------------------

    @rule()
    def enqueue(self) -> None:
        if len(self.runs) < 4:
            run_id = self.session.enqueue(Message.user("x", id=f"m{len(self.runs)}"))
            self.runs.append(Expected(run_id, due=self.clock()))

    @rule(who=st.integers(0, 1), which=st.integers(0, 3))
    def start(self, who: int, which: int) -> None:
        if which >= len(self.runs):
            return
        run = self.runs[which]
        begins = (
            run is self.next and run.state in ("idle", "backing_off") and (run.due <= self.clock())
        )
        assert start(self.logs[who], run.run_id).is_begun == begins
        if begins:
            if run.state == "backing_off":
                run.consecutive += 1
                run.restarts.append(self.clock())
            run.state, run.attempt, run.stop = "running", run.attempt + 1, False
            run.lease = self.clock() + LEASE

    @rule(who=st.integers(0, 1), stale=st.booleans())
    def crash(self, who: int, stale: bool) -> None:
        """An owner settles its attempt; a late one, whose attempt is over, changes nothing."""
        run = self.next
        if run is None:
            return
        command = SettleRun(
            run.run_id, "crashed", "it broke", attempt=run.attempt - stale, policy=POLICY
        )
        expected = None
        if run.state == "running" and not stale:
            expected = self.expect_settled(run)
        assert execute(self.logs[who], "s", command).state == expected

    @rule(who=st.integers(0, 1))
    def find_lost(self, who: int) -> None:
        run = self.next
        if run is None:
            return
        expected = None
        if run.state == "running" and run.lease <= self.clock():
            expected = self.expect_settled(run)
        command = SettleRun(run.run_id, "lost", "it was lost", policy=POLICY)
        assert execute(self.logs[who], "s", command).state == expected

    @rule(who=st.integers(0, 1), how=st.sampled_from(["released", "failed", "abandoned"]))
    def settle(self, who: int, how: Any) -> None:
        run = self.next
        if run is None:
            return
        expected: str | None = how
        if how == "released":
            expected = ("cancelled" if run.stop else "idle") if run.state == "running" else None
            run.due = self.clock() if expected == "idle" else run.due
        run.state = expected or run.state
        found = execute(self.logs[who], "s", SettleRun(run.run_id, how, "x", policy=POLICY)).state
        assert found == expected

    @rule(who=st.integers(0, 1))
    def stop(self, who: int) -> None:
        run = self.next
        session = self.logs[who].session("s")
        stopped = session.stop_run()
        if run is None or not run.attempt:
            assert stopped is None
            return
        assert stopped == run.run_id
        if run.state == "running" and run.lease > self.clock():
            run.stop = True
        else:
            run.state = "cancelled"

    @rule(who=st.integers(0, 1), name=st.sampled_from("ab"), late=st.booleans())
    def finish_step(self, who: int, name: str, late: bool) -> None:
        run = self.next
        if run is None or not run.attempt:
            return
        fence = TurnFence(run.run_id, run.attempt - late)
        step = CompleteTurnStep(fence, name, "", 1, None, AppendMessages((), (), ()))
        owns = run.state == "running" and not late
        if self.is_allowed(who, step, fence, owns=owns) and name not in run.steps:
            run.steps.add(name)
            run.consecutive = 0

    @rule(who=st.integers(0, 1), late=st.booleans())
    def renew(self, who: int, late: bool) -> None:
        run = self.next
        if run is not None and run.attempt:
            fence = TurnFence(run.run_id, run.attempt - late)
            owns = run.state == "running" and not late
            if self.is_allowed(who, RenewTurn(fence, LEASE), fence, owns=owns):
                run.lease = self.clock() + LEASE

    @rule(who=st.integers(0, 1), late=st.booleans())
    def complete(self, who: int, late: bool) -> None:
        run = self.next
        if run is not None and run.attempt:
            fence = TurnFence(run.run_id, run.attempt - late)
            owns = run.state == "running" and not late
            if self.is_allowed(who, EndTurn(fence, "completed", 1), fence, owns=owns):
                run.state = "completed"

    def is_allowed(self, who: int, command: Any, fence: TurnFence, *, owns: bool) -> bool:
        """Give a command of an attempt; return whether it is the current one's."""
        log = self.logs[who]
        try:
            engine_of(log).execute(core_of(log, "s"), command, fence=fence)
        except LeaseLost:
            assert not owns
            return False
        # A repetition has the outcome of the first time, whoever owns the turn now.
        return owns

    @rule(which=st.integers(0, 3), who=st.integers(0, 1), text=st.sampled_from("xy"))
    def append(self, which: int, who: int, text: str) -> None:
        """Append under the id of a message that is queued, or was; others are left alone."""
        if which >= len(self.runs) or (self.runs[which].state in ENDS - {"failed"}):
            return
        message, run = Message.user(text, id=f"m{which}"), self.runs[which]
        try:
            self.logs[who].session("s").append(message)
        except DuplicateEvent:
            assert not run.attempt or text == "y"
        else:
            assert run.attempt
            assert text == "x"

    @rule(which=st.integers(0, 3), who=st.integers(0, 1))
    def retry(self, which: int, who: int) -> None:
        if which < len(self.runs) and self.runs[which].state == "failed":
            run = self.runs[which]
            running = next((each for each in self.runs if each.state == "running"), None)
            if running is not None and self.runs.index(running) > which:
                return  # It would take its place while another one runs, which is tried elsewhere.
            assert self.logs[who].session("s").retry(run.run_id) == "accepted"
            run.state, run.consecutive, run.restarts, run.due = "idle", 0, [], self.clock()
            run.stop = False

    @rule(seconds=st.sampled_from([0.5, 1, 2, 30, 61]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # ---- what must hold -----------------------------------------------------------------------

    @invariant()
    def the_log_says_what_the_rules_say(self) -> None:
        found = {run.run_id: run for run in self.logs[1].runs("s")}
        for run in self.runs:
            view = found[run.run_id]
            assert (view.state, view.attempt) == (run.state, run.attempt)
        assert sum(run.state == "running" for run in self.runs) <= 1
        ids = [message.id for message in self.session.tail()]
        begun = {f"m{place}" for place, run in enumerate(self.runs) if run.attempt}
        assert len(ids) == len(set(ids))
        assert set(ids) == begun

    def teardown(self) -> None:
        for log in self.logs:
            check(log)
            log.close()


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=rounds(8, 2_000),
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
)
