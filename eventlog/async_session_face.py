"""The asynchronous face of a session: `AsyncSession`, the twin of `eventlog.session_face.Session`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from eventlog import late_verbs
from eventlog.clock import format_time
from eventlog.engine import arguments, queries
from eventlog.engine.farewell import in_spite_of_cancellation, whole
from eventlog.engine.request import SessionRequest
from eventlog.errors import LeaseLost, SessionClosed, TurnOpen
from eventlog.faces.async_folder import AsyncFolderVerbs
from eventlog.faces.async_itself import AsyncOwnVerbs
from eventlog.faces.async_messages import AsyncMessageVerbs
from eventlog.faces.async_past import AsyncPastVerbs
from eventlog.faces.async_reading import AsyncReadingVerbs
from eventlog.faces.async_steps import AsyncStepVerbs
from eventlog.faces.async_streams import AsyncStreamVerbs
from eventlog.faces.async_work import AsyncWorkVerbs
from eventlog.records import Metadata
from eventlog.session.messages import Message
from eventlog.session.views import TurnView

if TYPE_CHECKING:
    from types import TracebackType

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.engine.turns import TurnRun
    from eventlog.forensics.fork import Edit
    from eventlog.session.turns.commands import Begun
    from eventlog.session.turns.events import OnError
    from eventlog.session.turns.machine import TurnEnd
    from eventlog.session.turns.state import TurnFence
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncSession", "AsyncTurn"]


class AsyncSession(
    AsyncReadingVerbs,
    AsyncPastVerbs,
    AsyncMessageVerbs,
    AsyncStreamVerbs,
    AsyncWorkVerbs,
    AsyncFolderVerbs,
    AsyncOwnVerbs,
):
    """One conversation, with the methods of `Session` to await.

    If a command is cancelled before the log has begun to write it, nothing is stored. After that it
    is completed, and repeating it with the same message id or ``idempotency_key`` returns its
    result.
    """

    async def fork(
        self,
        into: str,
        *,
        version: int | None = None,
        edit: Edit | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> AsyncSession:
        """Make a new session of this one's events up to a version, changed on the way; return it.

        See `Session.fork`.
        """
        from eventlog.forensics.fork import fork

        engine = self._engine.blocking
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        core = await self._engine.run(fork, engine, self._past, into, version, edit, by)
        return AsyncSession(self._engine, core)

    def turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: OnError = "keep",
    ) -> AsyncTurn:
        """Return a turn to enter: one unit of an agent's work, with an id of the application's.

        For use in an ``async with`` block. See `Session.turn`.
        """
        from eventlog.engine.turns import TurnRun, turn_terms

        terms = turn_terms(turn_id, resume, wait_seconds, lease_seconds, stale_seconds, on_error)
        return AsyncTurn(self._engine, TurnRun(self._engine.blocking, self._core, terms))

    async def begin_turn(
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
    ) -> AsyncTurn:
        """Begin a turn without a block, and return it, for code that goes on with it elsewhere.

        See `Session.begin_turn`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        run = await self._engine.run(
            late_verbs.turn,
            self._engine.blocking,
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
        await _begin(self._engine, run, by)
        return AsyncTurn(self._engine, run)

    async def held_turn(self, fence: int) -> AsyncTurn:
        """Return the turn that began at a version, its ``fence``, to go on with it.

        See `Session.held_turn`.
        """
        return AsyncTurn(
            self._engine,
            await self._engine.run(late_verbs.held_turn, self._engine.blocking, self._core, fence),
        )

    async def turns(self, turn_id: str | None = None) -> tuple[TurnView, ...]:
        """Return the session's turns: how each ended, and the open one; or the one with an id.

        See `Session.turns`.
        """
        return await self._engine.run(queries.read_turns, self._core, turn_id)

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id!r} at version {self.version}>"


async def _begin(engine: AsyncEngine, run: TurnRun, by: Metadata | None) -> None:
    """Begin a turn, once no other is open."""
    run.refuse_nesting()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + run.terms.wait_seconds
    while True:
        seen, command = await engine.run(run.prepare)
        beginning = engine.answer(SessionRequest(run.core, command, by))
        try:
            begun: Begun = await asyncio.shield(beginning)
            break
        except TurnOpen:
            left = deadline - loop.time()
            if left <= 0:
                raise
            await engine.wait(seen, min(left, run.longest_wait))
        except asyncio.CancelledError:
            await in_spite_of_cancellation(_take_in(run, beginning))
            raise
    if begun.is_done:
        await engine.run(run.begun, begun)
    else:
        run.begun(begun)


async def _take_in(run: TurnRun, beginning: asyncio.Future[Begun]) -> None:
    """Take in that a turn was begun although the task that began it is cancelled."""
    begun = await beginning
    if not begun.is_done:
        run.begun(begun)


class AsyncTurn(AsyncSession, AsyncStepVerbs):
    """An attempt at a turn: the session, with commands that belong to the turn and carry its fence.

    See `Turn`.
    """

    def __init__(self, engine: AsyncEngine, run: TurnRun) -> None:
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

    async def __aenter__(self) -> Self:
        run = self._run
        run.refuse_another_beginning()
        try:
            await _begin(self._engine, run, None)
        except BaseException as error:
            await in_spite_of_cancellation(self._leave(error))
            raise
        if not run.is_done:
            run.keep_lease()
            run.bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        run.release()
        if error is not None:
            await in_spite_of_cancellation(self._leave(error))
        elif not run.has_ended:
            try:
                await whole(self.end())
            except (LeaseLost, SessionClosed):
                run.stop()
                if run.core.state.status == "open":
                    raise
            except BaseException as failure:
                await in_spite_of_cancellation(self._leave(failure))
                raise

    async def _leave(self, error: BaseException) -> None:
        """End the attempt because of an exception, which goes on whatever becomes of this."""
        run = self._run
        if run.attempt and not run.is_open:
            run.stop()
        if run.has_ended or not run.attempt:
            return
        try:
            await self._do(run.failure_command(error), None)
            run.stop()
        except Exception as failure:  # noqa: BLE001 - as above
            run.not_ended(failure)

    async def end_message(
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
        command = await self._engine.run(
            late_verbs.end_message,
            self._engine.blocking,
            self._core,
            message_id,
            fence,
            message,
            of_turn,
        )
        ended: Message = await self._do(command, by)
        return ended

    async def renew(self, lease_seconds: float = 60.0) -> str:
        """Renew the lease of a turn that `Session.begin_turn` began; return its new end, ISO 8601.

        In a block a thread of the log does so. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        command = await self._engine.run(run.renew_command, lease_seconds)
        run.lease_until = await self._do(command, None)
        return self.lease_until

    async def fail(
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
        await self._do(run.end_by_error(error, how), by)
        run.stop()

    async def end(
        self,
        result: Any = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        See `Turn.end`.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = run.end_command(result)
        await self._do(command, by)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<AsyncTurn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"
