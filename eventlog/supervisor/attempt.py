"""One attempt of a run: the agent in a task of its own, its lease, and the record of its end (R3).

The agent's task is never awaited but only waited for, so nothing that happens in it reaches the
supervisor: neither its exceptions, nor a cancellation by a generator that it left half-read, nor one
of all the tasks that it can find. Whether it was cancelled because somebody wanted that, only this side
knows, and says so in `ask`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from eventlog.argument_checks import check_count
from eventlog.engine.request import SessionRequest
from eventlog.error_text import shown
from eventlog.errors import (
    ConflictError,
    EventLogError,
    Indeterminate,
    InvalidArgument,
    InvalidError,
    LeaseLost,
    ProviderGone,
    UnavailableError,
)
from eventlog.redaction import redacted, redacted_with_causes
from eventlog.session.runs.commands import RecordModelCall, SettleRun
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.turns.fence import turn_lost
from eventlog.storable import check_text
from eventlog.supervisor.guarded import GuardedTask, UsersCode, is_being_cancelled, leave_behind
from eventlog.supervisor.retrying import CallableFailed, CallTerms
from eventlog.telemetry import log_fact
from eventlog.worker.retry_policy import (
    RetryPolicy,
    as_text,
    classify,
    classify_result,
    holds,
    retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.engine.turns import TurnRun
    from eventlog.session.command import Command
    from eventlog.session.messages import Message
    from eventlog.session.runs.commands import How
    from eventlog.session.runs.machine import RunState
    from eventlog.supervisor.providers import Provider
    from eventlog.supervisor.retrying import CallAttempt
    from eventlog.supervisor.terms import Terms
    from eventlog.worker.retry_policy import ErrorClass

__all__ = ["STOPPED", "Attempt", "BegunRun"]

UNWINDING_SECONDS: Final = 10.0
"""How long a cancelled agent may take to end before its supervisor goes on without it."""

RECORDING_SECONDS: Final = 30.0
"""How long the end of an attempt is tried to be recorded while the store is unavailable."""

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
"""The pauses between these tries double from the first to the last."""

STOPPED: Final = "the supervisor was stopped"

Usage: TypeAlias = "Callable[[Any], Mapping[str, int]]"

Wish = Literal["released", "cancelled", "lost"]


class BegunRun(NamedTuple):
    """A run of which an attempt was begun."""

    core: Core
    turn: TurnRun
    run_id: str
    attempt: int
    prompt: Message
    provider: Provider | None


class Attempt:
    """An attempt of a run, which this supervisor has begun."""

    def __init__(
        self,
        engine: AsyncEngine,
        terms: Terms,
        begun: BegunRun,
        agent: Callable[[Attempt], Coroutine[Any, Any, Any]],
        *,
        is_plain: bool,
    ) -> None:
        self._engine = engine
        self._terms = terms
        self.begun = begun
        self._agent = agent
        self._is_plain = is_plain
        self._code = UsersCode()
        self._called: asyncio.Task[Any] | None = None
        self._wish: tuple[Wish, str] | None = None
        self._asked = asyncio.Event()
        self._is_cancelled = False
        self.has_looked = False
        """Whether a plain agent was told that it is to stop."""

    # ---- wishes of others ---------------------------------------------------------------------

    def ask(self, wish: Wish, reason: str, *, at_once: bool = True) -> None:
        """Have the attempt end; a plain agent is only told so, unless it is to end at once."""
        called = self._called
        if called is not None and called.done():
            return
        if self._wish is None or wish == "lost":
            self._wish = wish, reason
        self._asked.set()
        # Once: a second cancellation would interrupt what the agent does because of the first.
        if called is not None and not self._is_cancelled and (at_once or not self._is_plain):
            self._is_cancelled = called.cancel()

    @property
    def is_asked(self) -> bool:
        """Whether the attempt is to end; a plain agent looks at this."""
        self.has_looked = self.has_looked or self._wish is not None
        return self._wish is not None

    # ---- calls of models ----------------------------------------------------------------------

    def call_terms(self, policy: RetryPolicy | None) -> CallTerms:
        """Return how the agent's calls of a model are tried again."""
        terms = self._terms
        return CallTerms(
            policy or RetryPolicy(),
            terms.classify,
            terms.classify_result,
            terms.draw,
            self._engine.clock,
        )

    async def record_call(self, name: str, made: CallAttempt, usage: Usage | None) -> None:
        """Record one try of a call."""
        command, problem = self._call_command(name, made, usage)
        await self._engine.execute(self.begun.core, command, fence=self.begun.turn.fence)
        if problem is not None:
            raise problem

    def record_call_plainly(self, name: str, made: CallAttempt, usage: Usage | None) -> None:
        """Record one try of a call, from the thread of a plain agent."""
        command, problem = self._call_command(name, made, usage)
        engine = self._engine.blocking
        engine.execute(self.begun.core, command, fence=self.begun.turn.fence)
        if problem is not None:
            raise problem

    def _call_command(
        self, name: str, made: CallAttempt, usage: Usage | None
    ) -> tuple[RecordModelCall, InvalidArgument | None]:
        """Return the command that records a try, and what is wrong with its usage: it was made all
        the same."""
        cost: dict[str, int] = {}
        problem: InvalidArgument | None = None
        if made.outcome == "succeeded" and usage is not None:
            try:
                cost = _checked_usage(usage(made.result))
            except InvalidArgument as error:
                problem = error
            except Exception as error:  # noqa: BLE001 - a user's function
                problem = CallableFailed("usage", error)
                problem.__cause__ = error
        command = RecordModelCall(
            self.begun.turn.fence,
            check_text("name", name, longest=200),
            made.number,
            made.outcome,
            made.error,
            made.delay_seconds,
            cost,
        )
        return command, problem

    # ---- the attempt --------------------------------------------------------------------------

    async def run(self) -> RunState | None:
        """Carry out the attempt; return the state of the run after it, as far as it was recorded."""
        loop = asyncio.get_running_loop()
        turn = self.begun.turn
        turn.keep_lease(lambda error: _threadsafe(loop, self.ask, "lost", str(error)))
        called = self._called = GuardedTask(self._guarded(), self._code)
        if self._wish is not None:
            called.cancel()
        try:
            await self._ended(called)
        except asyncio.CancelledError:  # The whole loop ends.
            self.ask("released", STOPPED)
            with suppress(asyncio.CancelledError):
                await self._release(STOPPED)
            raise
        finally:
            turn.stop()
            if called.done() and not called.cancelled():
                called.exception()  # Retrieved, whatever becomes of it.
        return await self._record(called)

    async def _guarded(self) -> Any:
        self._code.enter()
        try:
            return await self._agent(self)
        except KeyboardInterrupt:  # It ends the loop, and what is running with it.
            self._code.has_reached_out = True
            raise

    async def _ended(self, called: asyncio.Task[Any]) -> None:
        """Wait for the agent; once it was cancelled, not for ever."""
        asked = GuardedTask(self._asked.wait())
        try:
            await asyncio.wait({called, asked}, return_when=asyncio.FIRST_COMPLETED)
            if called.done():
                return
            await asyncio.wait({called}, timeout=UNWINDING_SECONDS)
            if self._is_plain and not called.done():
                called.cancel()  # Its thread goes on; what it writes from here on is refused.
                await asyncio.wait({called}, timeout=UNWINDING_SECONDS)
            if not called.done():
                log_fact(logging.ERROR, "agent_ignores_cancellation", **self._who())
                leave_behind(called)
        finally:
            asked.cancel()

    async def _record(self, called: asyncio.Task[Any]) -> RunState | None:
        """Record how the agent ended; what cannot even be judged was a crash."""
        try:
            return await self._judge(called)
        except Exception as problem:  # noqa: BLE001 - errors, results and classifiers are a user's
            self._log("attempt_not_judged", problem)
            return await self._fail(redacted_with_causes(problem), "transient")

    async def _judge(self, called: asyncio.Task[Any]) -> RunState | None:
        if self.begun.turn.is_done_with:  # The agent has ended its turn, and so its run.
            if called.done() and not called.cancelled() and (error := called.exception()):
                self._log("agent_failed_after_its_turn", error)
            return "completed"
        wish = self._wish
        if wish is not None and not self._came_to_an_end(called):
            how, reason = wish
            if how == "released":
                return await self._release(reason)
            return None if how == "lost" else await self._settle(how, reason)
        if called.cancelled():
            return await self._crash(RuntimeError("the agent cancelled itself"))
        error = called.exception()
        if error is not None:
            return await self._crash(error)
        return await self._complete(called.result())

    async def _release(self, reason: str) -> RunState | None:
        """Record that the supervisor was stopped; if the agent itself may have done that, it crashed.

        Otherwise an agent that ends its supervisor each time would be paid for ever (R1).
        """
        if self._code.has_reached_out:
            return await self._crash(RuntimeError("the agent cancelled tasks of its supervisor"))
        return await self._settle("released", reason)

    def _came_to_an_end(self, called: asyncio.Task[Any]) -> bool:
        """Return whether the agent was done although it was to stop: a plain one that did not know."""
        if not self._is_plain or self.has_looked or not called.done() or called.cancelled():
            return False
        return called.exception() is None

    async def _complete(self, result: Any) -> RunState | None:
        turn = self.begun.turn
        found = self._class_of_result(result)
        if found is not None:
            said = redacted(f"the agent returned an error as text: {as_text(result)}")
            return await self._fail(said, "fatal" if found == "fatal" else "transient")
        try:
            written = await self._write(turn.end_command(result), fenced=True)
        except InvalidError as error:  # Another attempt would be paid, and end alike.
            return await self._fail(redacted_with_causes(error), "fatal")
        return "completed" if written is not None else None

    async def _crash(self, error: BaseException) -> RunState | None:
        if isinstance(error, LeaseLost) and await self._engine.run(self._is_lost):
            self._log("lease_lost", error)
            return None
        gone = holds(error, ProviderGone)
        kind: ErrorClass = "transient" if gone else self._class_of(error)
        delay = retry_after(error, self._engine.clock())
        said = redacted_with_causes(error)
        return await self._fail(said, kind, delay=delay, provider_gone=gone)

    def _is_lost(self) -> bool:
        return turn_lost(self.begun.core.refresh(), self.begun.turn.fence) is not None

    async def _fail(
        self, reason: str, kind: ErrorClass, *, delay: int = 0, provider_gone: bool = False
    ) -> RunState | None:
        how: How = "failed" if kind == "fatal" else "crashed"
        log_fact(logging.WARNING, f"run_{how}", **self._who(), error=reason)
        return await self._settle(how, reason, delay=delay, provider_gone=provider_gone)

    def _class_of(self, error: BaseException) -> ErrorClass:
        try:
            found = self._terms.classify(error)
        except Exception as problem:  # noqa: BLE001 - the classifier may be a user's
            self._log("classifier_failed", problem)
            found = classify(error)
        is_fatal = found == "fatal"
        return "fatal" if is_fatal else "transient"

    def _class_of_result(self, result: Any) -> ErrorClass | None:
        try:
            return self._terms.classify_result(result)
        except Exception as problem:  # noqa: BLE001 - the classifier may be a user's
            self._log("classifier_failed", problem)
            return classify_result(result)

    # ---- its records --------------------------------------------------------------------------

    async def _settle(
        self, how: How, reason: str, *, delay: int = 0, provider_gone: bool = False
    ) -> RunState | None:
        command = SettleRun(
            self.begun.run_id,
            how,
            reason,
            attempt=self.begun.attempt,
            policy=self._terms.restarts,
            least_delay=delay,
            provider_gone=provider_gone,
            estimate=self._engine.estimate_tokens,
        )
        try:
            settled = await self._write(command)
        except InvalidError as error:
            self._log("run_unrecorded", error)
            return None
        state: RunState | None = None if settled is None else settled.state
        return state

    async def _write(self, command: Command[Any], *, fenced: bool = False) -> Any:
        """Record something to its end, whoever is cancelled, within a time limit; None if it failed.

        Raises `InvalidError` for what the store does not take.
        """
        fence = self.begun.turn.fence if fenced else None
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + RECORDING_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._answer(SessionRequest(self.begun.core, command, fence=fence))
            except UnavailableError as error:
                self._log("store_unavailable", error)
                if loop.time() + pause > give_up_at:
                    return None
            except ConflictError as error:
                self._log("lease_lost", error)
                return None
            except InvalidError:
                raise
            except EventLogError as error:
                self._log("run_unrecorded", error)
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _answer(self, request: SessionRequest) -> Any:
        """Return the answer to a request, also where whoever is cancelled is not this task."""
        answer = self._engine.answer(request)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if is_being_cancelled() or not answer.cancelled():
                raise
        raise Indeterminate("the task that waited for the answer was cancelled")

    def _log(self, fact: str, error: BaseException) -> None:
        log_fact(logging.WARNING, fact, **self._who(), error=redacted(error))

    def _who(self) -> dict[str, Any]:
        begun = self.begun
        return {
            "session_id": begun.core.session,
            "run_id": begun.run_id,
            "attempt": begun.attempt,
        }


def _checked_usage(usage: Mapping[str, int]) -> dict[str, int]:
    """Return token counts; raise `InvalidArgument` for other names, and for what is no count."""
    for name, count in usage.items():
        if name not in TokenUsage.__annotations__:
            known = ", ".join(TokenUsage.__annotations__)
            raise InvalidArgument(f"usage has {shown(name)}; it may have {known}")
        check_count(f"usage[{name!r}]", count, "tokens")
    return dict(usage)


def _threadsafe(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *given: Any) -> None:
    with suppress(RuntimeError):  # The loop is closed.
        loop.call_soon_threadsafe(function, *given)
