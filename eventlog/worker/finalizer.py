"""Finalising: the callables that do the work, and the arguments that they get (F5, F6, F8, L16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.argument_checks import check_count
from eventlog.engine.queries import archived_messages, latest_overview
from eventlog.errors import InvalidArgument, NonRetryableError
from eventlog.session.commit import archive_id
from eventlog.session.tasks.machine import EFFECT, FINALISE, MEMORIES, SKILLS
from eventlog.storable import check_text
from eventlog.worker.requests import (
    EffectRequest,
    Extraction,
    MemoryExtractor,
    SideEffect,
    SkillExtractor,
    Skills,
    StepResult,
    Summarizer,
    Summary,
    SummaryRequest,
    TaskCallable,
    TaskRequest,
)

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.session.archive import Archive
    from eventlog.session.messages import Message
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.state import Task
    from eventlog.worker.retry_policy import ErrorClass
    from eventlog.worker.steps import RecordedSteps

__all__ = [
    "EXTRACTIVE",
    "EmptySummary",
    "Finalizer",
    "SummaryInput",
    "UnusableResult",
    "read_summary_input",
]


EXTRACTIVE: Final = "extractive"
"""The recorded name of the summariser that needs no model."""

LONGEST_NAME: Final = 200
"""Characters of a finaliser's name, which is part of an index key."""


class EmptySummary(Exception):
    """A summariser returned no overview; another attempt may succeed."""


class UnusableResult(Exception):
    """A callable returned something that is not a result, such as an error as text (F4)."""

    def __init__(self, text: str, error_class: ErrorClass) -> None:
        super().__init__(text)
        self.error_class: ErrorClass = error_class


class SummaryInput(NamedTuple):
    """The input of a finalisation, read once per attempt."""

    request: SummaryRequest
    covers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finalizer:
    """The callables that a worker runs, plain or async.

    Without a ``summarizer``, one that needs no model is used. An archive is completed once its
    summary is recorded: memories, skills and side effects are tasks that follow, and block nothing
    if they fail. ``kinds`` has the callables for tasks of an application's own kinds, which
    `Session.queue_task` queues.

    Raises `InvalidArgument` for a kind without a dot, and for side effects of the same name.
    """

    summarizer: Summarizer | None = None
    memory_extractor: MemoryExtractor | None = None
    skill_extractor: SkillExtractor | None = None
    side_effects: tuple[SideEffect, ...] = ()
    uncovered_budget: int = 16_000
    """The most tokens of uncovered messages of earlier archives that a summariser gets."""
    kinds: Mapping[str, TaskCallable] = field(default_factory=dict[str, TaskCallable])
    name: str | None = None
    """What the log calls the maker of the overviews; by default the name of the summariser."""

    def __post_init__(self) -> None:
        if self.name is not None:
            check_text("name", self.name, longest=LONGEST_NAME)
        for kind in (*self.kinds, *self.follow_ups):
            check_text("a kind of task", kind)
        for kind in self.kinds:
            if "." not in kind:
                raise InvalidArgument(
                    f"task kind {kind!r}: use a prefix of your own, such as 'acme.{kind}'"
                )
        if len(set(self.follow_ups)) < len(self.follow_ups):
            raise InvalidArgument(
                f"side effects must have different names, not {list(self.follow_ups)}; "
                "rename one of the functions"
            )

    @property
    def shown_name(self) -> str:
        """The name that is recorded with every overview; `EXTRACTIVE` for the default summariser."""
        if self.name is not None:
            return self.name
        if self.summarizer is None:
            return EXTRACTIVE
        summarizer = self.summarizer
        named: Any = summarizer if hasattr(summarizer, "__qualname__") else type(summarizer)
        return f"{named.__module__}.{named.__qualname__}"[:LONGEST_NAME]

    @property
    def follow_ups(self) -> tuple[str, ...]:
        """The kinds of the tasks that a completed archive queues."""
        kinds = [MEMORIES] if self.memory_extractor else []
        kinds += [SKILLS] if self.skill_extractor else []
        return (*kinds, *(f"{EFFECT}{_name(effect)}" for effect in self.side_effects))

    @property
    def task_kinds(self) -> frozenset[str]:
        """The kinds of the tasks that a worker with these callables can run."""
        return frozenset({FINALISE, *self.follow_ups, *self.kinds})

    async def summarize(self, request: SummaryRequest) -> Summary:
        """Run the summariser; raise `EmptySummary` for a summary without overview."""
        summary = await _call(self.summarizer or _extractive(), request)
        if not isinstance(summary, Summary):
            raise EmptySummary("the summarizer returned no overview")
        for name in ("overview", "abstract"):
            text: object = getattr(summary, name)
            if not isinstance(text, str):
                found = type(text).__name__
                raise UnusableResult(f"the summary's {name} is {found}, not text", "transient")
        if not summary.overview.strip():
            raise EmptySummary("the summarizer returned no overview")
        return summary

    async def extract(self, kind: str, request: SummaryRequest) -> StepResult:
        """Run the extractor for a kind of follow-up on a completed archive."""
        if kind == MEMORIES and self.memory_extractor is not None:
            extraction = _expect(Extraction, await _call(self.memory_extractor, request))
            memories = _counted(extraction.memories)
            output = {"memories_extracted": memories, "memory_diff": extraction.diff}
            return StepResult(output=output, usage=extraction.usage)
        if kind == SKILLS and self.skill_extractor is not None:
            skills = _expect(Skills, await _call(self.skill_extractor, request))
            uris = list(skills.uris)
            output = {"session_skills_extracted": len(uris), "session_skill_uris": uris}
            return StepResult(output=output, usage=skills.usage)
        raise _unknown(kind)

    async def affect(self, kind: str, request: EffectRequest) -> dict[str, Any]:
        """Run a side effect on a completed archive."""
        for side_effect in self.side_effects:
            if kind == f"{EFFECT}{_name(side_effect)}":
                await _call(side_effect, request)
                return {"active_count_updated": True}
        raise _unknown(kind)

    async def do(self, request: TaskRequest) -> Any:
        """Run the callable for an application's own kind of task, and return its result."""
        if request.kind not in self.kinds:
            raise _unknown(request.kind)
        return await _call(self.kinds[request.kind], request)


def _unknown(kind: str) -> NonRetryableError:
    return NonRetryableError(f"this worker's finalizer has no callable for {kind!r}")


def _expect(expected: type[Any], answer: object) -> Any:
    if not isinstance(answer, expected):
        found = type(answer).__name__
        raise UnusableResult(f"the callable returned {found}, not {expected.__name__}", "transient")
    return answer


TOTAL: Final = "total"
"""Not a category: readers add the counts up, so a sum among them would count twice."""


def _counted(memories: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of memories by category; raise `InvalidArgument` for other values."""
    counts = {check_text("a category of memories", name): n for name, n in memories.items()}
    for name, count in counts.items():
        check_count(f"memories.{name}", count, "memories")
    return {name: count for name, count in counts.items() if name != TOTAL}


def _extractive() -> Summarizer:
    # Imported when first needed: a service with its own summariser never needs it.
    from eventlog.summary.summarizer import summarize

    return summarize


def _name(effect: SideEffect) -> str:
    return str(getattr(effect, "__name__", type(effect).__name__))


async def _call(function: Callable[[Any], Any], request: object) -> Any:
    # Imported when first needed, since importing asyncio takes long.
    from eventlog.worker.callables import call

    return await call(function, request)


def read_summary_input(
    core: Core, task: Task, attempt: int, uncovered_budget: int, steps: RecordedSteps
) -> SummaryInput:
    """Read the input of a task's callables (I/O): the messages, and what came before them.

    Raises `NonRetryableError` for an archive without messages, such as an adopted one with an
    unreadable file: there is nothing to summarise.
    """
    state = core.snapshot_of_state()  # Not older than the claim, so it has all earlier archives.
    index = cast("int", task.archive)
    archive = state.archives.get(index) or _stored(core, index)
    if not archive.message_count:
        raise NonRetryableError(
            f"{archive_id(index)} has no messages: there were none to adopt; abandon it"
        )
    overview, _, _ = latest_overview(core, _before(state, index))
    given, covers = _within_budget(core, state, state.uncovered(before=index), uncovered_budget)
    request = SummaryRequest(
        session_id=core.session,
        archive_id=archive_id(index),
        messages=archived_messages(core, archive, hydrate=True, previews_will_do=True),
        previous_overview=overview,
        uncovered=given,
        attempt=attempt,
        steps=steps,
    )
    return SummaryInput(request, (*covers, index))


def _stored(core: Core, index: int) -> Archive:
    from eventlog.engine.queries import find_archive

    return find_archive(core, archive_id(index))


def _before(state: SessionState, index: int) -> SessionState:
    """Return the state with the latest overview of an archive before this one, if there is any."""
    if state.overview is not None and state.overview.archive >= index:
        earlier = state.copy()
        earlier.overview = None
        return earlier
    return state


def _within_budget(
    core: Core, state: SessionState, earlier: list[Archive], budget: int
) -> tuple[tuple[Message, ...], list[int]]:
    """Return the messages of earlier archives that no overview covers, and the archives' numbers.

    An archive beyond the budget is replaced by a digest, so that one oversized archive cannot make
    every later summary too long. A digested archive does not count as covered: its messages stay
    visible.
    """
    messages: list[Message] = []
    covers: list[int] = []
    for archive in earlier:
        found = archived_messages(core, archive)
        if archive.tokens <= budget:
            budget -= archive.tokens
            messages += found
            covers.append(archive.index)
        else:
            messages.append(_digest(core, archive, found))
    return tuple(messages), covers


def _digest(core: Core, archive: Archive, messages: tuple[Message, ...]) -> Message:
    from eventlog.session.messages import Message
    from eventlog.summary.summarizer import summarize

    name = archive_id(archive.index)
    digest = summarize(SummaryRequest(session_id=core.session, archive_id=name, messages=messages))
    return Message.system(
        f"Digest of {name}, which failed:\n{digest.overview}", id=f"{name}-digest"
    )
