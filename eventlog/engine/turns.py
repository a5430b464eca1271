"""Running a turn: beginning it, its lease, its steps and its end, once for both faces."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.argument_checks import check_number
from eventlog.engine.distant_leases import believed_lease
from eventlog.engine.owner import is_gone, this_process
from eventlog.engine.steps import StoredOutput, arguments_digest, as_json, keep_output
from eventlog.engine.turn_context import Block, bind, fence_of, release
from eventlog.engine.turn_steps import TurnSteps
from eventlog.error_text import shown
from eventlog.errors import ConflictError, InvalidArgument, LogClosed, TurnOpen
from eventlog.redaction import redacted
from eventlog.session.turns.commands import (
    BeginTurn,
    Begun,
    CompleteTurnStep,
    EndTurn,
    RenewTurn,
    owner_name,
)
from eventlog.session.turns.events import OnError, TurnCompleted, TurnStepCompleted
from eventlog.session.turns.state import TurnFence
from eventlog.storable import check_text
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.heartbeat import Beat
    from eventlog.positions import Position
    from eventlog.session.commands import AppendMessages
    from eventlog.session.turns.machine import TurnEnd

__all__ = ["TurnRun", "TurnTerms", "turn_terms"]

WAIT_SECONDS: Final = 1.0
"""The longest wait between two tries to begin a turn while another one is open."""

TURN_ID_CHARACTERS: Final = 512
"""The longest id of a turn, which becomes part of an index key."""


class TurnTerms(NamedTuple):
    """What a turn is begun with."""

    turn_id: str
    resumes: bool
    wait_seconds: float
    lease_seconds: float
    stale_seconds: float
    on_error: OnError


def turn_terms(
    turn_id: str,
    resume: bool,
    wait_seconds: float,
    lease_seconds: float,
    stale_seconds: float,
    on_error: OnError,
) -> TurnTerms:
    """Check the arguments that a turn is begun with."""
    turn_id = check_text("turn_id", turn_id, longest=TURN_ID_CHARACTERS)
    if not turn_id:
        raise InvalidArgument("turn_id is empty; a turn needs an id of the application's")
    if on_error not in ("keep", "withdraw"):
        raise InvalidArgument(f"on_error is {shown(on_error)}; it must be 'keep' or 'withdraw'")
    seconds = {
        "wait_seconds": wait_seconds,
        "lease_seconds": lease_seconds,
        "stale_seconds": stale_seconds,
    }
    for name, value in seconds.items():
        if check_number(name, value) < 0:
            raise InvalidArgument(f"{name} is {value}; it must be 0 or more")
    if not lease_seconds:
        raise InvalidArgument("lease_seconds is 0; a lease must last for some time")
    return TurnTerms(turn_id, bool(resume), wait_seconds, lease_seconds, stale_seconds, on_error)


class TurnRun:
    """One attempt at a turn in this process. Its methods do I/O in the calling thread, unless they
    return a command, which the faces then run."""

    def __init__(self, engine: Engine, core: Core, terms: TurnTerms) -> None:
        self._engine = engine
        self.core = core
        self.terms = terms
        self.steps = TurnSteps(core)
        self.attempt = 0
        self.is_done = False
        self.has_ended = False
        self.result: Any = None
        self._beat: Beat | None = None
        self._block: Block | None = None
        self._process = os.getpid()

    @property
    def fence(self) -> TurnFence:
        """The fence that the turn's commands carry."""
        return TurnFence(self.terms.turn_id, self.attempt)

    longest_wait = WAIT_SECONDS

    def bind(self) -> None:
        """Have commands on the session that the running code gives belong to the turn."""
        self._block = bind(self.core, self.fence, self.steps)

    def release(self) -> None:
        """Undo `bind`. A forked child that leaves the block leaves the turn to its parent."""
        if self._block is not None:
            release(self._block)
        if self._process != os.getpid():
            self.stop()

    def digest(self, arguments: Sequence[object], named: Mapping[str, object]) -> str:
        """Return a digest of the arguments of a step."""
        return arguments_digest(arguments, named)

    # ---- beginning ----------------------------------------------------------------------------

    def refuse_nesting(self) -> None:
        """Raise `TurnOpen` if the running code is inside a turn of the session."""
        fence = fence_of(self.core)
        turn = self.core.state.turn
        if fence is None or turn is None:
            return
        now = self._engine.clock()
        raise TurnOpen(
            self.core.session,
            turn.turn_id,
            owner_name(turn.owner),
            (now - turn.begun_at) / 1e6,
            (turn.lease_until - now) / 1e6,
            "this code runs inside it; end it first",
        )

    def begin_command(self) -> BeginTurn:
        """Return the command that begins the turn, with what is known of the open one's owner."""
        terms, turn = self.terms, self.core.refresh().turn
        lease = int(terms.lease_seconds * 1_000_000)
        lease_now = self._engine.lease_time()
        gone = turn is not None and turn.owner is not None and is_gone(turn.owner)
        return BeginTurn(
            terms.turn_id,
            this_process(),
            lease,
            terms.stale_seconds,
            resumes=terms.resumes,
            on_error=terms.on_error,
            owner_gone=turn.begun if gone and turn is not None else None,
            lease_now=lease_now,
            expires_leases=self._engine.trusts_time(lease),
            believed=believed_lease(self.core, turn, lease_now or self._engine.clock()),
            estimate=self._engine.estimate_tokens,
        )

    def begin(self, command: BeginTurn) -> None:
        """Begin the turn and take that in, in one call that signal handlers cannot divide (I/O)."""
        self.begun(self._engine.execute(self.core, command))
        self.keep_lease()

    def begun(self, begun: Begun) -> None:
        """Take in that the turn was begun, or had ended with a result before (then I/O)."""
        self.attempt, self.is_done = begun.attempt, begun.is_done
        self.steps.resume(begun.steps)
        if begun.is_done:
            self.has_ended = True
            self.result = self._read_result(begun.version)

    def prepare(self) -> tuple[Position, BeginTurn]:
        """Return the command that begins the turn, and the position of the log before it (I/O)."""
        return self._engine.store.tip(), self.begin_command()

    def keep_lease(self) -> None:
        """Renew the lease from a thread of the log, until the turn ends or this object is dropped."""
        if self.has_ended:
            return
        seconds = self.terms.lease_seconds / 3
        heartbeat = self._engine.heartbeat(seconds)
        mine = weakref.ref(self)

        def renew() -> None:
            run = mine()
            if run is not None:
                run.renew()

        def lost(error: ConflictError) -> None:
            log_fact(logging.WARNING, "turn_lost", error=str(error))

        self._beat = heartbeat.begin(renew, lost, at_most_seconds=float("inf"))
        weakref.finalize(self, heartbeat.end, self._beat)

    def renew(self) -> None:
        """Renew the lease; raise `LeaseLost` if another attempt owns the turn."""
        if self.has_ended:
            return
        lease = int(self.terms.lease_seconds * 1_000_000)
        command = RenewTurn(self.fence, lease, self._engine.lease_time())
        try:
            self._engine.execute(self.core, command, fence=self.fence, follow=False)
        except LogClosed:
            self.stop()

    # ---- steps --------------------------------------------------------------------------------

    def step_command(
        self, name: str, digest: str, output: Any, appends: AppendMessages
    ) -> tuple[Any, CompleteTurnStep]:
        """Return a step's output as later attempts will read it, and the command to record it."""
        copied, data = as_json(f"the output of step {name!r}", output)
        kept = keep_output(self.core, copied, data)
        command = CompleteTurnStep(self.fence, name, digest, kept.output, kept.blob, appends)
        return copied, command

    def read_step(self, version: int) -> Any:
        """Return the output of the step that is recorded at a version (I/O)."""
        recorded = self.core.reader.record(version)
        event = cast("TurnStepCompleted", recorded.event if recorded else None)
        return StoredOutput(event.output, event.blob).read(self.core)

    # ---- the end ------------------------------------------------------------------------------

    def end_command(self, result: Any) -> EndTurn:
        """Return the command that completes the turn with a result."""
        copied, _ = as_json("the result of the turn", result)
        return EndTurn(self.fence, "completed", copied, estimate=self._engine.estimate_tokens)

    def failure_command(self, error: BaseException) -> EndTurn:
        """Return the command that ends the turn because an exception left it."""
        ends = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
        how: TurnEnd = "cancelled" if isinstance(error, ends) else "failed"
        return EndTurn(
            self.fence,
            how,
            redacted(error),
            withdraws=self.terms.on_error == "withdraw",
            estimate=self._engine.estimate_tokens,
        )

    def ended(self, result: Any) -> None:
        """Take in that the turn has ended."""
        self.stop()
        self.result = result

    @property
    def is_open(self) -> bool:
        """Whether the attempt was begun and has not ended, by what is known here."""
        turn = self.core.state.turn
        return self.attempt > 0 and turn is not None and turn.fence == self.fence

    def stop(self) -> None:
        """Renew the lease no more."""
        self.has_ended = True
        if self._beat is not None:
            self._beat.ended = True

    def not_ended(self, error: BaseException) -> None:
        """Log that the end could not be recorded while another exception goes on."""
        self.stop()
        log_fact(logging.WARNING, "turn_not_ended", turn=self.terms.turn_id, error=redacted(error))

    def _read_result(self, version: int) -> Any:
        recorded = self.core.reader.record(version)
        event = None if recorded is None else recorded.event
        return event.result if isinstance(event, TurnCompleted) else None
