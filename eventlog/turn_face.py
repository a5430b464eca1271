"""The synchronous face of a turn: `Turn`. Its twin is `eventlog.async_turn_face`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from eventlog.engine import arguments
from eventlog.engine.steps import arguments_digest
from eventlog.engine.turn_context import bind, release
from eventlog.engine.turns import WAIT_SECONDS
from eventlog.errors import LeaseLost, SessionClosed, TurnOpen
from eventlog.session_face import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from eventlog.engine.engine import Engine
    from eventlog.engine.turns import TurnRun
    from eventlog.session.messages import Message
    from eventlog.session.turns.state import TurnFence

__all__ = ["Turn"]

Output = TypeVar("Output")


class Turn(Session):
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

    def __enter__(self) -> Self:
        run, engine = self._run, self._engine
        run.refuse_nesting()
        deadline = time.monotonic() + run.terms.wait_seconds
        while True:
            seen, command = engine.shelter.read(run.prepare)
            try:
                begun = engine.execute(run.core, command)
                break
            except TurnOpen:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                engine.shelter.read(engine.store.wait, seen, min(left, WAIT_SECONDS))
        engine.shelter.read(run.begun, begun)
        if not run.is_done:
            engine.shelter.write(run.keep_lease)
            bind(run.core, run.fence)
        return self

    def __exit__(
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
                self.end()
            except (LeaseLost, SessionClosed):
                run.stop()
                if run.core.state.status == "open":
                    raise
            return
        try:
            self._do(run.failure_command(error), None)
            run.stop()
        except Exception as failure:  # noqa: BLE001 - the exception of the block goes on
            run.not_ended(failure)

    def step(
        self,
        name: str,
        function: Callable[..., Output],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Output:
        """Run a function once, and record its output and ``messages`` together; return the output.

        With ``resume``, a step of this name that an earlier attempt finished with the same arguments
        is read back instead, and its messages are appended again. ``messages`` may be a callable
        that makes them from the output. The output is JSON, and is returned as a later attempt will
        read it. Raises `InvalidArgument` for a name that was used before in this attempt.
        """
        run, shelter = self._run, self._engine.shelter
        with run.names.named(name):
            digest = arguments_digest(args, kwargs)
            found = shelter.read(run.find_step, name, digest)
            if found is not None:
                if found.append is not None:
                    self._do(found.append, None)
                output: Output = found.output
                return output
            made = function(*args, **kwargs)
            said = messages(made) if callable(messages) else messages
            appends = arguments.append(
                self._core, self._engine.estimate_tokens, said, None, run.fence
            )
            _, command = shelter.write(run.step_command, name, digest, made, appends)
            version: int = self._do(command, None)
            recorded: Output = shelter.read(run.read_step, version)
            return recorded

    def end(self, result: Any = None) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        The same result again changes nothing. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        command = run.end_command(result)
        self._do(command, None)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"
