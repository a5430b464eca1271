"""The face of supervisors: `Supervisor`, and what an agent is given: `Run`, or `PlainRun`."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from eventlog.aio import AsyncLog, async_engine_of
from eventlog.argument_checks import check_seconds
from eventlog.async_session_face import AsyncSession, AsyncTurn
from eventlog.engine.async_engine import AsyncEngine
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.identifiers import new_id
from eventlog.log import Log, engine_of
from eventlog.session.runs.budget import RestartPolicy
from eventlog.session_face import Session, Turn
from eventlog.supervisor.providers import Provider, checked_providers
from eventlog.supervisor.retrying import retry_calls, retrying_plain
from eventlog.supervisor.supervisor import RunLoop
from eventlog.supervisor.terms import Terms
from eventlog.worker.callables import call
from eventlog.worker.retry_policy import (
    Classifier,
    ResultClassifier,
    RetryPolicy,
    classify,
    classify_result,
)

if TYPE_CHECKING:
    from eventlog.message_streams import AsyncMessageStream, MessageStream
    from eventlog.session.messages import Message, Role
    from eventlog.supervisor.attempt import Attempt

__all__ = ["PlainRun", "Run", "Supervisor"]

Result = TypeVar("Result")

Agent: TypeAlias = "Callable[[Run], Awaitable[Any]] | Callable[[PlainRun], Any]"
"""An agent: an asynchronous function that takes a `Run`, or a plain one that takes a `PlainRun`."""


class _AnyRun:
    """What both forms of a run have."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @property
    def run_id(self) -> str:
        """The id of the run, of its task, and of its turn."""
        return self._attempt.begun.run_id

    @property
    def prompt(self) -> Message:
        """The message that was queued, as the session has it; it is in the tail already."""
        return self._attempt.begun.prompt

    @property
    def provider(self) -> Provider | None:
        """The provider to use in this attempt; None if the supervisor has none."""
        return self._attempt.begun.provider

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._attempt.begun.attempt

    @property
    def stop_requested(self) -> bool:
        """Whether the agent is to end. An asynchronous one is cancelled; a plain one looks here."""
        return self._attempt.is_asked

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run_id!r}, attempt {self.attempt}>"


class Run(_AnyRun):
    """An attempt of a run, for an asynchronous agent.

    What the agent does with `session`, or any session of this id, belongs to the run's turn. If the
    run was settled by others, its commands raise `LeaseLost`.
    """

    def __init__(self, engine: AsyncEngine, attempt: Attempt) -> None:
        super().__init__(attempt)
        self._turn = AsyncTurn(engine, attempt.begun.turn)

    @property
    def session(self) -> AsyncSession:
        """The session of the run."""
        return self._turn

    @property
    def turn(self) -> AsyncTurn:
        """The turn of the run; ending it completes the run.

        The run is over then. What the agent does afterwards is cancelled only when the supervisor ends,
        and the next message of the session may begin meanwhile.
        """
        return self._turn

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, record its output, and return it; a later attempt reads it back.

        See `Turn.step`.
        """
        return await self._turn.step(name, function, *args, messages=messages, **kwargs)

    def stream(
        self,
        name: str | None = None,
        *,
        role: Role = "assistant",
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> AsyncMessageStream:
        """Return a context manager in which one message is written while it arrives.

        See `Session.stream`, which has more options.
        """
        return self._turn.stream(name, role=role, message_id=message_id, fields=fields)

    async def call(
        self,
        function: Callable[[], Any],
        policy: RetryPolicy | None = None,
        *,
        name: str = "model",
        usage: Callable[[Any], Mapping[str, int]] | None = None,
    ) -> Any:
        """Call a model, again after errors that may pass; every try is an event of the run.

        ``usage`` returns what a result cost in tokens, by the names of `TokenUsage`. See `retrying`,
        which also says when a call is tried again; needs the extra ``runs``.
        """
        attempt = self._attempt
        return await retry_calls(
            function,
            attempt.call_terms(policy),
            lambda made: attempt.record_call(name, made, usage),
        )


class PlainRun(_AnyRun):
    """An attempt of a run, for a plain function, which runs in a thread; see `Run`.

    A plain function cannot be cancelled: it looks at `stop_requested`. What it writes after its run
    was settled is refused.
    """

    def __init__(self, engine: AsyncEngine, attempt: Attempt) -> None:
        super().__init__(attempt)
        self._turn = Turn(engine.blocking, attempt.begun.turn)

    @property
    def session(self) -> Session:
        """The session of the run."""
        return self._turn

    @property
    def turn(self) -> Turn:
        """The turn of the run; ending it completes the run.

        What the agent does afterwards is outside of the run; see `Run.turn`.
        """
        return self._turn

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, record its output, and return it; a later attempt reads it back.

        See `Turn.step`.
        """
        return self._turn.step(name, function, *args, messages=messages, **kwargs)

    def stream(
        self,
        name: str | None = None,
        *,
        role: Role = "assistant",
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> MessageStream:
        """Return a context manager in which one message is written while it arrives.

        See `Session.stream`, which has more options.
        """
        return self._turn.stream(name, role=role, message_id=message_id, fields=fields)

    def call(
        self,
        function: Callable[[], Any],
        policy: RetryPolicy | None = None,
        *,
        name: str = "model",
        usage: Callable[[Any], Mapping[str, int]] | None = None,
    ) -> Any:
        """Call a model, again after errors that may pass; every try is an event of the run.

        See `Run.call`.
        """
        attempt = self._attempt
        return retrying_plain(
            function,
            attempt.call_terms(policy),
            lambda made: attempt.record_call_plainly(name, made, usage),
        )


class Supervisor:
    """Executes the runs of a log: each queued message is one turn, carried out by an agent.

    ``agent`` is an asynchronous function that takes a `Run`, or a plain one that takes a `PlainRun`
    and runs in a thread. What it returns, as JSON, is the result of the turn. An attempt that
    crashes is repeated as ``restarts`` allows, and reads back the steps and named streams that were
    finished before; a fatal error, such as a prompt that is too long, ends the run at once.
    ``classifier`` tells these errors apart, and ``result_classifier`` finds errors that were
    returned as text.

    The runs of a session are executed one after another, up to ``concurrency`` at once over all
    sessions. Any number of supervisors may share a store, in any number of processes. An attempt's
    lease, of ``lease_seconds``, is renewed by a thread for as long as the process lives; an attempt
    whose lease lapsed has crashed, and another supervisor goes on. A run without an event but
    heartbeats for ``stale_seconds`` has failed.

    An attempt uses the provider that is recorded for its session, or another of ``providers`` if that
    one is not available; a run that none of them can process is abandoned.

    Raises `InvalidArgument` for an option that is out of range.
    """

    def __init__(
        self,
        log: Log | AsyncLog,
        agent: Agent,
        providers: Sequence[Provider] = (),
        *,
        restarts: RestartPolicy | None = None,
        stale_seconds: float = 21_600.0,
        concurrency: int = 64,
        lease_seconds: float = 60.0,
        name: str | None = None,
        classifier: Classifier = classify,
        result_classifier: ResultClassifier = classify_result,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not callable(agent):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidArgument("agent is not callable; give a function that takes a run")
        if not isinstance(log, (Log, AsyncLog)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"log is {shown(log)}; it must be a Log or an AsyncLog")
        self._log = log
        self._function: Callable[..., Any] = agent
        self._is_plain = not _is_asynchronous(agent)
        self._terms = Terms(
            providers=checked_providers(providers),
            restarts=RestartPolicy() if restarts is None else restarts,
            stale_seconds=stale_seconds,
            concurrency=concurrency,
            lease_seconds=lease_seconds,
            name=f"supervisor-{new_id()[:13]}" if name in (None, "") else name,
            classify=classifier,
            classify_result=result_classifier,
            draw=draw,
        )
        self._running: tuple[RunLoop, asyncio.AbstractEventLoop] | None = None
        self._stopped: float | None = None

    @property
    def name(self) -> str:
        """The name under which its attempts are recorded."""
        return self._terms.name

    async def run(self) -> None:
        """Execute runs until `stop` is called, and wake when one becomes due."""
        await self._run(RunLoop.run)

    async def run_once(self) -> int:
        """Execute runs until none is due; return how many were completed."""
        return await self._run(RunLoop.run_once)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop: begin no more runs, and cancel those that are executed, within ``grace_seconds``.

        What they received is recorded, and their leases are released: the next start goes on from
        there. May be called from any thread or a signal handler, also before `run`. A supervisor that
        was stopped cannot be started again.
        """
        check_seconds("grace_seconds", grace_seconds, may_be_zero=True)
        self._stopped = grace_seconds
        if self._running is not None:
            running, loop = self._running
            with suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(running.stop, grace_seconds)

    async def _run(self, run: Callable[[RunLoop], Coroutine[Any, Any, Result]]) -> Result:
        is_async = isinstance(self._log, AsyncLog)
        engine = (
            async_engine_of(self._log)
            if isinstance(self._log, AsyncLog)
            else AsyncEngine(engine_of(self._log))
        )
        try:
            runs = RunLoop(engine, self._terms, self._agent_on(engine), is_plain=self._is_plain)
            self._running = runs, asyncio.get_running_loop()
            if self._stopped is not None:
                runs.stop(self._stopped)
            return await run(runs)
        finally:
            if not is_async:
                engine.release()

    def _agent_on(self, engine: AsyncEngine) -> Callable[[Attempt], Coroutine[Any, Any, Any]]:
        """Return what carries out an attempt: the agent, with the turn bound to its task."""

        async def carry_out(attempt: Attempt) -> Any:
            turn = attempt.begun.turn
            turn.bind()  # In the context of the agent's own task, which ends with it.
            if self._is_plain:
                return await call(self._plain, PlainRun(engine, attempt))
            return await call(self._function, Run(engine, attempt))

        return carry_out

    def _plain(self, run: PlainRun) -> Any:
        answer = self._function(run)
        if not inspect.isawaitable(answer):
            return answer
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidArgument(
            "the agent is a plain function and returned something to await; give the asynchronous "
            "function itself, or functools.partial() of it"
        )


def _is_asynchronous(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
