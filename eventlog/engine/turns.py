"""Running a turn: beginning it, its lease, its steps and its end, once for both faces."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.argument_checks import check_number
from eventlog.engine.distant_leases import believed_lease
from eventlog.engine.owner import holder_of_fence, is_gone, this_process
from eventlog.engine.steps import (
    StoredOutput,
    arguments_digest,
    as_json,
    check_step_name,
    keep_output,
    name_used,
)
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
)
from eventlog.session.turns.events import OnError, TurnCompleted, TurnStepCompleted
from eventlog.session.turns.state import TurnFence, owner_name
from eventlog.session.turns.steps import StepOfTurn
from eventlog.storable import check_text
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.heartbeat import Beat
    from eventlog.positions import Position
    from eventlog.records import Metadata
    from eventlog.session.commands import AppendMessages
    from eventlog.session.turns.machine import TurnEnd

__all__ = ["TurnRun", "TurnTerms", "owner_gone", "turn_terms"]

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
    holder: str | None = None
    """Who holds the turn if it is not this process, such as a client."""


def turn_terms(
    turn_id: str,
    resume: bool,
    wait_seconds: float,
    lease_seconds: float,
    stale_seconds: float,
    on_error: OnError,
    holder: str | None = None,
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
    if holder is not None:
        holder = check_text("holder", holder, longest=TURN_ID_CHARACTERS)
    return TurnTerms(
        turn_id, bool(resume), wait_seconds, lease_seconds, stale_seconds, on_error, holder
    )


class TurnRun:
    """One attempt at a turn in this process. Its methods do I/O in the calling thread, unless they
    return a command, which the faces then run."""

    def __init__(self, engine: Engine, core: Core, terms: TurnTerms) -> None:
        self._engine = engine
        self.core = core
        self.terms = terms
        self.steps = TurnSteps(core)
        self.attempt = 0
        self.begun_at_version = 0
        self.lease_until = 0
        self.is_done = False
        self.has_ended = False
        self.result: Any = None
        self._beat: Beat | None = None
        self._is_ended = False
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

    def step_of(self, name: str | None, digest: str) -> StepOfTurn | None:
        """Return the step of the attempt that a streamed message is; None for one without a name."""
        return (
            None if name is None else StepOfTurn(self.fence, check_step_name(name, digest), digest)
        )

    # ---- beginning ----------------------------------------------------------------------------

    def refuse_another_beginning(self) -> None:
        """Raise `InvalidArgument` if this attempt has begun: what is begun is entered no more."""
        if self.attempt:
            raise InvalidArgument(
                f"turn {self.terms.turn_id!r} has begun; use the handle, and end it by end() or fail()"
            )

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
        store = self._engine.store.inner
        return BeginTurn(
            terms.turn_id,
            this_process(store) if terms.holder is None else holder_of_fence(terms.holder),
            lease,
            terms.stale_seconds,
            resumes=terms.resumes,
            on_error=terms.on_error,
            owner_gone=owner_gone(self._engine, self.core),
            lease_now=lease_now,
            expires_leases=self._engine.trusts_time(lease),
            believed=believed_lease(
                self._engine.store, self.core.session, turn, lease_now or self._engine.clock()
            ),
            estimate=self._engine.estimate_tokens,
        )

    def begin(self, command: BeginTurn, by: Metadata | None) -> None:
        """Begin the turn and take that in, in one call that signal handlers cannot divide (I/O)."""
        self.begun(self._engine.execute(self.core, command, by))

    def begun(self, begun: Begun) -> None:
        """Take in that the turn was begun, or had ended with a result before (then I/O)."""
        self.attempt, self.is_done = begun.attempt, begun.is_done
        self.begun_at_version, self.lease_until = begun.version, begun.lease_until
        self.steps.resume(begun.steps, begun.version)
        self._engine.left_turns.pop(self.core.session, None)
        if begun.is_done:
            self.has_ended = True
            self.begun_at_version = 0
            self.result = self._read_result(begun.version)

    def prepare(self) -> tuple[Position, BeginTurn]:
        """Return the command that begins the turn, and the position of the log before it (I/O)."""
        return self._engine.store.tip(), self.begin_command()

    def keep_lease(self, on_loss: Callable[[ConflictError], object] | None = None) -> None:
        """Renew the lease from a thread of the log, until the turn ends or this object is dropped.

        ``on_loss`` is called in that thread if another attempt owns the turn.
        """
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
            if on_loss is not None:
                on_loss(error)

        self._beat = heartbeat.begin(renew, lost, at_most_seconds=float("inf"))
        weakref.finalize(self, heartbeat.end, self._beat)

    def renew(self) -> None:
        """Renew the lease; raise `LeaseLost` if another attempt owns the turn."""
        if self.has_ended:
            return
        command = self.renew_command(self.terms.lease_seconds)
        try:
            self._engine.execute(self.core, command, fence=self.fence, follow=False)
        except LogClosed:
            self.stop()

    def renew_command(self, lease_seconds: float) -> RenewTurn:
        """Return the command that renews the lease (I/O)."""
        if check_number("lease_seconds", lease_seconds) <= 0:
            raise InvalidArgument(f"lease_seconds is {lease_seconds}; it must be more than 0")
        return RenewTurn(self.fence, int(lease_seconds * 1_000_000), self._engine.lease_time())

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

    def check_same_step(self, version: int, command: CompleteTurnStep) -> None:
        """Raise `InvalidArgument` if the step at a version is another one of the same name."""
        recorded = self.core.reader.record(version)
        event = cast("TurnStepCompleted", recorded.event if recorded else None)
        stored = (event.digest, event.output, event.blob, event.messages)
        given = (command.digest, command.output, command.blob, len(command.appends.messages))
        if stored != given:
            raise name_used(command.step)

    # ---- the end ------------------------------------------------------------------------------

    def end_command(self, result: Any) -> EndTurn:
        """Return the command that completes the turn with a result."""
        copied, _ = as_json("the result of the turn", result)
        return EndTurn(self.fence, "completed", copied, estimate=self._engine.estimate_tokens)

    def failure_command(self, error: BaseException) -> EndTurn:
        """Return the command that ends the turn because an exception left it."""
        ends = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
        return self.end_by_error(error, "cancelled" if isinstance(error, ends) else "failed")

    def end_by_error(self, error: BaseException | str, how: TurnEnd) -> EndTurn:
        """Return the command that ends the turn without a result."""
        if not isinstance(error, BaseException):
            check_text("error", error)
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
        self._is_ended = True
        self.result = result

    @property
    def is_open(self) -> bool:
        """Whether the attempt was begun and has not ended, by what is known here."""
        turn = self.core.state.turn
        return self.attempt > 0 and turn is not None and turn.fence == self.fence

    @property
    def is_done_with(self) -> bool:
        """Whether the turn was ended through this object."""
        return self._is_ended

    def stop(self) -> None:
        """Renew the lease no more."""
        self.has_ended = True
        if self._beat is not None:
            self._beat.ended = True

    def not_ended(self, error: BaseException) -> None:
        """Log that the end could not be recorded while another exception goes on.

        Nothing executes the attempt any more, so this process may begin the turn again at once.
        """
        self.stop()
        self._engine.left_turns[self.core.session] = self.begun_at_version
        log_fact(logging.WARNING, "turn_not_ended", turn=self.terms.turn_id, error=redacted(error))

    def _read_result(self, version: int) -> Any:
        recorded = self.core.reader.record(version)
        event = None if recorded is None else recorded.event
        return event.result if isinstance(event, TurnCompleted) else None


def owner_gone(engine: Engine, core: Core) -> int | None:
    """Return the version of the open turn's beginning if it is proven that nothing executes it.

    Its owner has ended, or it is this process, which left the turn's block without recording an end.
    """
    turn = core.state.turn
    if turn is None:
        return None
    if engine.left_turns.get(core.session) == turn.begun:
        return turn.begun
    gone = turn.owner is not None and is_gone(turn.owner, engine.store.inner)
    return turn.begun if gone else None
