"""The twin of `eventlog.faces.steps`, to be awaited."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from eventlog.engine import arguments
from eventlog.engine.steps import check_step_name
from eventlog.faces.async_base import AsyncBase
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventlog.engine.turn_steps import RecordedStep
    from eventlog.engine.turns import TurnRun
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncStepVerbs"]


class AsyncStepVerbs(AsyncBase):
    """The steps of a turn."""

    _run: TurnRun

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, and record its output and ``messages`` together; return the output.

        The function may be a coroutine function; a plain one runs in the event loop. See `Turn.step`.
        """
        run, engine = self._run, self._engine
        with run.steps.names.named(name):
            digest = run.digest(args, kwargs)
            found = await engine.run(run.steps.find, name, digest)
            if found is not None:
                if found.append is not None:
                    await self._do(found.append, None)
                return found.output
            made = function(*args, **kwargs)
            if inspect.isawaitable(made):
                made = await made
            said = messages(made) if callable(messages) else messages
            appends = arguments.append(self._core, engine.estimate_tokens, said, None, run.fence)
            _, command = await engine.run(run.step_command, name, digest, made, appends)
            version: int = await self._do(command, None)
            return await engine.run(run.read_step, version)

    async def recorded_step(self, name: str, digest: str = "") -> RecordedStep | None:
        """Return a finished step of this attempt or, with ``resume``, of an earlier one; or None.

        Changes nothing. ``digest`` is that of the step's arguments, see `step_digest`.
        """
        run = self._run
        return await self._engine.run(run.steps.recorded, check_step_name(name, digest), digest)

    async def resume_step(
        self,
        name: str,
        digest: str = "",
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> RecordedStep | None:
        """Return a finished step as `recorded_step` does, and append its messages again.

        `step` does this before it calls its function. Calling it again changes nothing.
        """
        again = await self._engine.run(self._run.steps.again, check_step_name(name, digest), digest)
        if again is not None:
            by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
            await self._do(again, by)
        return await self.recorded_step(name, digest)

    async def record_step(
        self,
        name: str,
        output: Any,
        *,
        digest: str = "",
        messages: Iterable[Message | dict[str, Any]] = (),
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Any:
        """Record a step that was done, with its messages; return its output as it is stored.

        `step` does this after it has called its function. Recording the same step again changes
        nothing; another one of the same name in one attempt raises `InvalidArgument`.
        """
        run = self._run
        check_step_name(name, digest)
        appends = arguments.append(
            self._core, self._engine.estimate_tokens, messages, None, run.fence
        )
        _, command = await self._engine.run(run.step_command, name, digest, output, appends)
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        version: int = await self._do(command, by)
        await self._engine.run(run.check_same_step, version, command)
        return await self._engine.run(run.read_step, version)
