"""The steps of one attempt: a step of an earlier attempt is read back, not run again (F5)."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.engine.steps import INLINE_BYTES, StepNames, StoredOutput, as_json, keep_output
from eventlog.errors import InvalidArgument, LeaseLost
from eventlog.session.tasks.commands import CompleteStep
from eventlog.session.tasks.events import StepCompleted
from eventlog.session.tasks.state import add_usage
from eventlog.worker.callables import call
from eventlog.worker.requests import StepResult, checked_usage

if TYPE_CHECKING:
    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.session.command import Command
    from eventlog.session.tasks.state import Task

__all__ = ["INLINE_BYTES", "RecordedSteps", "as_stored"]


class _Found(NamedTuple):
    output: Any


class RecordedSteps:
    """Runs the steps of one attempt, each at most once over all attempts at the task."""

    def __init__(
        self,
        engine: AsyncEngine,
        core: Core,
        task: Task,
        fence: int,
        *,
        write: Callable[[Command[Any]], Awaitable[Any]],
        check: Callable[[object], None],
    ) -> None:
        self._engine = engine
        self._core = core
        self._task_id = task.task_id
        self._fence = fence
        self._write = write
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._done = dict(task.steps)
        self._names = StepNames()
        """Those of the callables' steps."""
        self._ended = False
        self.reserved: str | None = None
        """The name of the step that the library itself records for this task."""
        self.usage = task.usage
        """The cost so far of the recorded steps of all attempts at the task."""

    def end(self) -> None:
        """Refuse further steps, for instance from a thread that outlives the attempt."""
        self._ended = True

    # ---- for the library ----------------------------------------------------------------------

    async def run_own(
        self, name: str, function: Callable[[], Awaitable[StepResult]]
    ) -> tuple[Any, CompleteStep | None]:
        """Run the step that the library takes the whole task to be, such as an archive's summary.

        Returns its output and the command that records it. Since nothing happens in between, the
        step is recorded in one append with the end of the task. The command is None if an earlier
        attempt has recorded the step.
        """
        self.reserved = name
        found = await self._find(name)
        if found:
            return found.output, None
        with self._observed(name):
            return await self._made(name, await function())

    # ---- for callables ------------------------------------------------------------------------

    async def run(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a step of a callable, from the event loop."""
        with self._named(name):
            found = await self._find(name)
            if found:
                return found.output
            with self._observed(name):
                return await self._record(name, await call(function, *arguments))

    def run_sync(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a step of a callable, in the thread that the callable runs in."""
        with self._named(name):
            found = self._run_in_loop(self._find(name))
            if found:
                return found.output
            with self._observed(name):
                return self._run_in_loop(self._record(name, function(*arguments)))

    # ---- inside -------------------------------------------------------------------------------

    def _observed(self, name: str) -> AbstractContextManager[None]:
        observer = self._engine.blocking.observer
        if observer is None:
            return nullcontext()
        return observer.step(self._core.session, self._task_id, name)

    @contextmanager
    def _named(self, name: str) -> Generator[None]:
        """Reserve a name for one step of this attempt; a step that fails frees its name again."""
        if name == self.reserved:
            raise InvalidArgument(
                f"step {name!r} is one that the task itself records; use another name for yours"
            )
        with self._names.named(name):
            yield

    async def _find(self, name: str) -> _Found | None:
        """Read the output of a step, if it was recorded."""
        if self._ended:
            raise self._lost()
        version = self._done.get(name)
        if version is None:
            return None
        return _Found(await self._engine.run(_read, self._core, version))

    async def _record(self, name: str, value: Any) -> Any:
        """Record a step as done; return its output as later attempts will read it."""
        output, step = await self._made(name, value)
        self._done[name] = await self._write(step)
        self.usage = add_usage(self.usage, step.usage)
        return output

    async def _made(self, name: str, value: Any) -> tuple[Any, CompleteStep]:
        """Return a step's output as later attempts will read it, and the command to record it."""
        self._check(value)
        made = value if isinstance(value, StepResult) else StepResult(output=value)
        usage = checked_usage(made.usage)
        output, data = as_json(f"the output of step {name!r}", made.output)
        kept = StoredOutput(output)
        if len(data) > INLINE_BYTES:
            kept = await self._engine.run(keep_output, self._core, output, data)
        if self._ended:
            raise self._lost()
        step = CompleteStep(self._task_id, self._fence, name, kept.output, usage, kept.blob)
        return output, step

    def _run_in_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop, and wait for it in a thread."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except (RuntimeError, concurrent.futures.CancelledError) as error:
            coroutine.close()
            if self._ended or self._loop.is_closed():
                raise self._lost() from error
            raise

    def _lost(self) -> LeaseLost:
        return LeaseLost(self._task_id, self._fence, "the attempt has ended")


def as_stored(what: str, value: Any) -> Any:
    """Return a value as it will be read back; raise `InvalidArgument` if JSON cannot hold it."""
    return as_json(what, value)[0]


def _read(core: Core, version: int) -> Any:
    """Read the output of the step that is recorded at a version (I/O)."""
    recorded = core.reader.record(version)
    event = cast("StepCompleted", recorded.event if recorded else None)
    return StoredOutput(event.output, event.blob).read(core)
