"""The asynchronous face of a turn: `AsyncTurn`. Its twin is `eventlog.turn_face`."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from eventlog.async_session_face import AsyncSession
from eventlog.engine import arguments
from eventlog.engine.steps import arguments_digest
from eventlog.engine.turn_context import bind, release
from eventlog.engine.turns import WAIT_SECONDS
from eventlog.errors import LeaseLost, SessionClosed, TurnOpen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.turns import TurnRun
    from eventlog.session.command import Command
    from eventlog.session.messages import Message
    from eventlog.session.turns.state import TurnFence

__all__ = ["AsyncTurn"]

Output = TypeVar("Output")


class AsyncTurn(AsyncSession):
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
    def turn_id(self) -> str:
        """The turn's id."""
        return self._run.terms.turn_id

    @property
    def attempt(self) -> int:
        """Which attempt at the turn this is, from 1."""
        return self._run.attempt

    @property
    def done(self) -> bool:
        """Whether the turn had been completed before, so that there is nothing to do."""
        return self._run.is_done

    @property
    def result(self) -> Any:
        """The result with which the turn was completed; None before."""
        return self._run.result

    async def __aenter__(self) -> Self:
        run, engine = self._run, self._engine
        run.refuse_nesting()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + run.terms.wait_seconds
        while True:
            seen, command = await engine.run(run.prepare)
            try:
                begun = await engine.execute(run.core, command)
                break
            except TurnOpen:
                left = deadline - loop.time()
                if left <= 0:
                    raise
                await engine.wait(seen, min(left, WAIT_SECONDS))
        await engine.run(run.begun, begun)
        if not run.is_done:
            run.keep_lease()
            bind(run.core, run.fence)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        release(run.core, run.fence)
        if run.has_ended:
            return
        if error is None:
            try:
                await self.end()
            except (LeaseLost, SessionClosed):
                run.stop()
                if run.core.state.status == "open":
                    raise
            return
        try:
            await self._shielded(run.failure_command(error))
            run.stop()
        except Exception as failure:  # noqa: BLE001 - the exception of the block goes on
            run.not_ended(failure)

    async def _shielded(self, command: Command[Any]) -> None:
        """Run a command to its end although the task is cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._do(command, None)))

    async def step(
        self,
        name: str,
        function: Callable[..., Awaitable[Output] | Output],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Output:
        """Run a function once, and record its output and ``messages`` together; return the output.

        The function may be a coroutine function; a plain one runs in the event loop. See `Turn.step`.
        """
        run, engine = self._run, self._engine
        with run.names.named(name):
            digest = arguments_digest(args, kwargs)
            found = await engine.run(run.find_step, name, digest)
            if found is not None:
                if found.append is not None:
                    await self._do(found.append, None)
                return cast("Output", found.output)
            made = function(*args, **kwargs)
            if inspect.isawaitable(made):
                made = await made
            said = messages(made) if callable(messages) else messages
            appends = arguments.append(self._core, engine.estimate_tokens, said, None, run.fence)
            _, command = await engine.run(run.step_command, name, digest, made, appends)
            version: int = await self._do(command, None)
            recorded: Output = await engine.run(run.read_step, version)
            return recorded

    async def end(self, result: Any = None) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        See `Turn.end`.
        """
        run = self._run
        command = run.end_command(result)
        await self._do(command, None)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<AsyncTurn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"
