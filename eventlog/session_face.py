"""The synchronous face of a session: `Session`. Its twin is `eventlog.async_session_face`.

No logic lives here: arguments become commands, the engine runs them, and queries read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from eventlog import late_verbs
from eventlog.clock import format_time
from eventlog.engine import arguments, queries
from eventlog.errors import LeaseLost, SessionClosed, TurnOpen
from eventlog.faces.folder import FolderVerbs
from eventlog.faces.itself import OwnVerbs
from eventlog.faces.messages import MessageVerbs
from eventlog.faces.past import PastVerbs
from eventlog.faces.reading import ReadingVerbs
from eventlog.faces.steps import StepVerbs
from eventlog.faces.streams import StreamVerbs
from eventlog.faces.work import WorkVerbs
from eventlog.records import Metadata
from eventlog.session.messages import Message
from eventlog.session.views import TurnView

if TYPE_CHECKING:
    from types import TracebackType

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.engine.turns import TurnRun
    from eventlog.forensics.fork import Edit
    from eventlog.forensics.past import Past
    from eventlog.session.turns.events import OnError
    from eventlog.session.turns.machine import TurnEnd
    from eventlog.session.turns.state import TurnFence
    from eventlog.trace_context import TraceContext

__all__ = ["Session", "Turn", "core_of", "past_of"]


class Session(ReadingVerbs, PastVerbs, MessageVerbs, StreamVerbs, WorkVerbs, FolderVerbs, OwnVerbs):
    """One conversation: commands that record events, and reads that fold them.

    When a command returns, its events are stored, as durably as `Log.durability` says. Any number
    of `Session` objects may be open on one session, in any number of threads.

    All commands take the same options. With an ``idempotency_key``, a repeated command changes
    nothing and returns the result of the first one. ``actor``, ``correlation_id``, ``causation_id``
    and ``trace`` (a W3C trace context) are recorded with the events.
    """

    def fork(
        self,
        into: str,
        *,
        version: int | None = None,
        edit: Edit | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Session:
        """Make a new session of this one's events up to a version, changed on the way; return it.

        ``edit`` is a callable that is given each event (`Recorded`), or a mapping from versions: what
        it returns takes the event's place: another event, a `Message`, the event itself, None for
        nothing, or a list of those. The events keep their times; what names the session, its tasks or
        its versions follows. A last event, ``session_forked``, says where the session came from. This
        session stays as it is; its folder is not the fork's.

        Repeating a fork changes nothing. Raises `InvalidArgument` if what is left cannot have
        been a history, saying at which version, and `HistoryConflict` if another session has
        the id.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        core = self._engine.shelter.write(
            late_verbs.fork, self._engine, self._past, into, version, edit, by
        )
        return Session(self._engine, core)

    def turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: OnError = "keep",
    ) -> Turn:
        """Return a turn to enter: one unit of an agent's work, with an id of the application's.

        For use in a ``with`` block. Commands in the block, through the handle or any `Session` of
        this id, belong to the turn; so do those of tasks that it starts. It ends completed when the
        block is left, failed with an exception, cancelled with `KeyboardInterrupt`, `SystemExit` or
        `asyncio.CancelledError`. A completed turn is not run again: `Turn.done` is true and
        `Turn.result` what it had. Any other one can be begun again with its id: what was added by the
        attempt before is withdrawn first, and results of its calls with it. With ``resume``, steps
        that an earlier attempt finished are read back instead of run.

        One turn is open per session. While another one is, this one waits up to ``wait_seconds``.
        Its lease, of ``lease_seconds``, is renewed by a thread of the log for as long as the process
        lives; after its end the same turn can be begun again elsewhere, and the commands of the
        attempt before raise `LeaseLost`. A turn that is not begun again is abandoned
        ``stale_seconds`` after that. ``on_error`` says what becomes of the messages of a turn that
        does not complete: ``keep`` them, with an ``interrupted`` result for open calls, or
        ``withdraw`` them.

        Entering raises `TurnOpen`, and `TurnClosed` for a turn of which a commit took a part.
        """
        run = self._engine.shelter.read(
            late_verbs.turn,
            self._engine,
            self._core,
            (turn_id, resume, wait_seconds, lease_seconds, stale_seconds, on_error),
        )
        return Turn(self._engine, run)

    def begin_turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: OnError = "keep",
        holder: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Turn:
        """Begin a turn without a block, and return it, for code that goes on with it elsewhere.

        `turn` has the arguments. Nothing renews the lease but `Turn.renew`, and nothing ends the
        turn but `Turn.end` and `Turn.fail`. `Turn.fence` is what others need to go on with it, see
        `held_turn`. ``holder`` names who holds the turn if it is not this process: then it is
        lost when its lease lapses, and not when this process ends. With an ``idempotency_key``, beginning it
        again returns the same attempt.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        run = self._engine.shelter.read(
            late_verbs.turn,
            self._engine,
            self._core,
            (
                turn_id,
                resume,
                wait_seconds,
                lease_seconds,
                stale_seconds,
                on_error,
                holder,
            ),
        )
        _begin(self._engine, run, by)
        return Turn(self._engine, run)

    def held_turn(self, fence: int) -> Turn:
        """Return the turn that began at a version, its ``fence``, to go on with it.

        Once the turn has ended, or another attempt owns it, the commands of this one raise
        `LeaseLost`. Raises `InvalidArgument` if no turn began at that version.
        """
        return Turn(
            self._engine,
            self._engine.shelter.read(late_verbs.held_turn, self._engine, self._core, fence),
        )

    def turns(self, turn_id: str | None = None) -> tuple[TurnView, ...]:
        """Return the session's turns: how each ended, and the open one; or the one with an id.

        Those that have ended come first, by id; the open one is the last. A completed turn has its
        result only if it is asked for by ``turn_id``; for an unknown id the tuple is empty.
        """
        return self._engine.shelter.read(queries.read_turns, self._core, turn_id)

    def __repr__(self) -> str:
        return f"<Session {self.id!r} at version {self.version}>"


def _begin(engine: Engine, run: TurnRun, by: Metadata | None) -> None:
    """Begin a turn, once no other is open."""
    run.refuse_nesting()
    deadline = time.monotonic() + run.terms.wait_seconds
    while True:
        seen, command = engine.shelter.read(run.prepare)
        try:
            engine.shelter.write(run.begin, command, by)
            break
        except TurnOpen:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            engine.shelter.read(engine.store.wait, seen, min(left, run.longest_wait))


class Turn(Session, StepVerbs):
    """An attempt at a turn: the session, with commands that belong to the turn and carry its fence.

    Code in another thread uses the handle; code in the block may use any `Session` of this id. Once
    the turn has ended, or another attempt owns it, its commands raise `LeaseLost`.
    """

    def __init__(self, engine: Engine, run: TurnRun) -> None:
        super().__init__(engine, run.core)
        self._run = run

    @property
    def _fence(self) -> TurnFence | None:
        return self._run.fence

    @property
    def _steps(self) -> TurnSteps | None:
        return self._run.steps

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._run.terms.turn_id

    @property
    def attempt(self) -> int:
        """Which attempt at the turn this is, from 1."""
        return self._run.attempt

    @property
    def fence(self) -> int:
        """The version at which the attempt began, by which others go on with it; 0 before that."""
        return self._run.begun_at_version

    @property
    def lease_until(self) -> str:
        """The end of the lease as this handle knows it, ISO 8601; empty if there is none."""
        return format_time(self._run.lease_until) if self._run.lease_until else ""

    @property
    def done(self) -> bool:
        """Whether the turn had been completed before, so that there is nothing to do."""
        return self._run.is_done

    @property
    def result(self) -> Any:
        """The result with which the turn was completed; None before."""
        return self._run.result

    def __enter__(self) -> Self:
        run = self._run
        run.refuse_another_beginning()
        try:
            _begin(self._engine, run, None)
            if not run.is_done:
                self._engine.shelter.write(run.keep_lease)
                run.bind()
            return self
        except BaseException as error:
            self._leave(error)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        try:
            run.release()
            if error is None and not run.has_ended:
                self.end()
        except (LeaseLost, SessionClosed):
            run.stop()
            if run.core.state.status == "open":
                raise
        except BaseException as interrupt:
            self._leave(interrupt)
            raise
        if error is not None:
            self._leave(error)

    def _leave(self, error: BaseException) -> None:
        """End the attempt because of an exception, which goes on whatever becomes of this."""
        run = self._run
        if run.attempt and not run.is_open:
            run.stop()
        if run.has_ended or not run.attempt:
            return
        try:
            self._do(run.failure_command(error), None)
            run.stop()
        except Exception as failure:  # noqa: BLE001 - as above
            run.not_ended(failure)

    def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        *,
        step: str | None = None,
        digest: str = "",
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """End a message that was begun in the turn, and return it as it was recorded.

        With ``step`` the message is the step of that name, see `Session.stream`. Otherwise as
        `Session.end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        of_turn = self._run.step_of(step, digest)
        command = self._engine.shelter.read(
            late_verbs.end_message, self._engine, self._core, message_id, fence, message, of_turn
        )
        ended: Message = self._do(command, by)
        return ended

    def renew(self, lease_seconds: float = 60.0) -> str:
        """Renew the lease of a turn that `Session.begin_turn` began; return its new end, ISO 8601.

        In a block a thread of the log does so. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        command = self._engine.shelter.read(run.renew_command, lease_seconds)
        run.lease_until = self._do(command, None)
        return self.lease_until

    def fail(
        self,
        error: BaseException | str,
        *,
        cancelled: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """End the turn ``failed``, or ``cancelled``; leaving the block by an exception does so.

        The same again changes nothing. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        how: TurnEnd = "cancelled" if cancelled else "failed"
        self._do(run.end_by_error(error, how), by)
        run.stop()

    def end(
        self,
        result: Any = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        The same result again changes nothing. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = run.end_command(result)
        self._do(command, by)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"


def past_of(session: Session) -> Past:
    """Return the past of a session, for the library's own tools."""
    return session._past  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def core_of(session: Session) -> Core:
    """Return the core behind a session, for the face that shares it."""
    return session._core  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
