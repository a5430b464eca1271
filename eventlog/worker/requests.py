"""The arguments that callables of tasks get, and the results that they return (F5, F6, L16)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast

from eventlog.argument_checks import check_count
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.session.messages import Message
from eventlog.session.tasks.events import TokenUsage
from eventlog.summary.requests import Summary
from eventlog.worker.callables import call

__all__ = [
    "EffectRequest",
    "Extraction",
    "MemoryExtractor",
    "SideEffect",
    "SkillExtractor",
    "Skills",
    "StepResult",
    "Steps",
    "Summarizer",
    "Summary",
    "SummaryRequest",
    "TaskCallable",
    "TaskRequest",
    "checked_usage",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The output of a step that cost tokens, as JSON, and what it cost."""

    output: Any
    usage: TokenUsage = field(default_factory=TokenUsage)


def checked_usage(usage: Any) -> TokenUsage:
    """Return a usage if it has counts of tokens by name; raise `InvalidArgument` otherwise."""
    if usage is None:
        return TokenUsage()
    if not isinstance(usage, Mapping):
        raise InvalidArgument(f"usage must have counts of tokens by name, not {shown(usage)}")
    counts = dict(cast("Mapping[str, int]", usage))
    for name, count in counts.items():
        check_count(f"usage.{name}", count, "tokens")
    return cast("TokenUsage", {name: int(count) for name, count in counts.items()})


class Steps(Protocol):
    """Runs the steps of an attempt and records their outputs."""

    async def run(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a step from the event loop, or read the output that it returned before."""
        ...

    def run_sync(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Do the same in the thread that the callable runs in."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What every callable gets: a way to record its own steps."""

    steps: Steps | None = field(default=None, repr=False, compare=False)
    """Set by the worker. Without it, as in a test of the callable, steps run without a record."""

    async def step(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Run ``function(*arguments)``, plain or async, and record its output under a name.

        A later attempt at the task does not run the step again: it returns the recorded output. So
        each name stands for one piece of work. The output must be JSON, or a `StepResult`, which
        also has the cost. A crash between the work and the record repeats the work.

        Raises whatever the function raises; `InvalidArgument` for an output that is not JSON, or a
        name that this attempt has used already (a step that raised may be tried again); and
        `LeaseLost` if another attempt owns the task. Do not catch the last two.
        """
        if self.steps is not None:
            return await self.steps.run(name, function, *arguments)
        return _output(await call(function, *arguments))

    def step_sync(self, name: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Do what `step` does, from a plain callable, which runs in a thread."""
        if self.steps is not None:
            return self.steps.run_sync(name, function, *arguments)
        return _output(function(*arguments))


def _output(value: Any) -> Any:
    return value.output if isinstance(value, StepResult) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRequest(_Request):
    """An archive to summarise.

    ``previous_overview`` is the overview of the latest completed archive before it, or empty.
    ``uncovered`` are the messages of earlier archives that failed or were abandoned and that no
    overview covers yet. The new overview should carry both forward.
    """

    session_id: str
    archive_id: str
    messages: tuple[Message, ...]
    previous_overview: str = ""
    uncovered: tuple[Message, ...] = ()
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The number of memories by category, and an account of what changed."""

    memories: Mapping[str, int]
    diff: dict[str, Any] | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skills:
    """The URIs of the skills that were extracted."""

    uris: tuple[str, ...] = ()
    usage: TokenUsage = field(default_factory=TokenUsage)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRequest(_Request):
    """A completed archive, for a side effect. A repetition has the same ``idempotency_key``."""

    session_id: str
    archive_id: str
    overview: str
    abstract: str
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest(_Request):
    """A task of an application's own kind. All attempts have the same ``idempotency_key``."""

    session_id: str
    task_id: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    idempotency_key: str


Summarizer: TypeAlias = Callable[[SummaryRequest], Summary | Awaitable[Summary]]
MemoryExtractor: TypeAlias = Callable[[SummaryRequest], Extraction | Awaitable[Extraction]]
SkillExtractor: TypeAlias = Callable[[SummaryRequest], Skills | Awaitable[Skills]]
SideEffect: TypeAlias = Callable[[EffectRequest], object]
TaskCallable: TypeAlias = Callable[[TaskRequest], object]
"""A plain or async function that returns the task's result as JSON, or None."""
