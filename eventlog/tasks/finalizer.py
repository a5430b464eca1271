"""Finalising: which callables do the work, and what each is handed (F5, F6, F8)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.errors import NonRetryableError
from eventlog.session.commit import archive_id
from eventlog.session.queries import archived_messages, latest_overview
from eventlog.tasks.events import TokenUsage
from eventlog.tasks.machine import FINALISE
from eventlog.tasks.requests import (
    EffectRequest,
    Extraction,
    MemoryExtractor,
    SideEffect,
    SkillExtractor,
    Skills,
    Summarizer,
    Summary,
    SummaryRequest,
)

if TYPE_CHECKING:
    from eventlog.session.core import Core
    from eventlog.session.messages import Message
    from eventlog.session.state import Archive, SessionState
    from eventlog.tasks.state import Task

__all__ = ["EmptySummary", "Finalizer", "Material", "gather_material"]

MEMORIES: Final = "memories"
SKILLS: Final = "skills"
EFFECT: Final = "side_effect:"


class EmptySummary(Exception):
    """A summariser returned no overview; another attempt may do better."""


class Material(NamedTuple):
    """What a finalisation works on, read once per attempt."""

    request: SummaryRequest
    covers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finalizer:
    """The callables of a finalisation, plain or async; without any, one that needs no model.

    Only the summary decides whether an archive is completed. Memories, skills and side effects are
    follow-up tasks: they may fail for good without blocking anything.
    """

    summarizer: Summarizer | None = None
    memory_extractor: MemoryExtractor | None = None
    skill_extractor: SkillExtractor | None = None
    side_effects: tuple[SideEffect, ...] = ()
    uncovered_budget: int = 16_000
    """Tokens of earlier failed archives that a summariser is handed raw (F6)."""

    @property
    def follow_ups(self) -> tuple[str, ...]:
        """The kinds of tasks that a completed archive queues."""
        kinds = [MEMORIES] if self.memory_extractor else []
        kinds += [SKILLS] if self.skill_extractor else []
        return (*kinds, *(f"{EFFECT}{_name(effect)}" for effect in self.side_effects))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of tasks that a worker with these callables can do."""
        return frozenset({FINALISE, *self.follow_ups})

    async def summarize(self, request: SummaryRequest) -> Summary:
        """Run the summariser; raise `EmptySummary` for a summary without overview."""
        summary = await _call(self.summarizer or _extractive(), request)
        if not isinstance(summary, Summary) or not summary.overview.strip():
            raise EmptySummary("the summarizer returned no overview")
        return summary

    async def follow_up(
        self, kind: str, request: SummaryRequest, effect: EffectRequest
    ) -> tuple[dict[str, Any], TokenUsage]:
        """Run a follow-up of a completed archive; return its result and what it cost."""
        if kind == MEMORIES and self.memory_extractor is not None:
            extraction: Extraction = await _call(self.memory_extractor, request)
            outcome = {
                "memories_extracted": dict(extraction.memories),
                "memory_diff": extraction.diff,
            }
            return outcome, extraction.usage
        if kind == SKILLS and self.skill_extractor is not None:
            skills: Skills = await _call(self.skill_extractor, request)
            uris = list(skills.uris)
            return {
                "session_skills_extracted": len(uris),
                "session_skill_uris": uris,
            }, skills.usage
        for side_effect in self.side_effects:
            if kind == f"{EFFECT}{_name(side_effect)}":
                await _call(side_effect, effect)
                return {"active_count_updated": True}, TokenUsage()
        raise NonRetryableError(f"no callable of this worker's finalizer does {kind!r}")


def _extractive() -> Summarizer:
    # Imported when first needed: a service with a summariser of its own never does.
    from eventlog.tasks.summary import summarize

    return summarize


def _name(effect: SideEffect) -> str:
    return getattr(effect, "__name__", type(effect).__name__)


async def _call(function: Callable[[Any], Any], argument: object) -> Any:
    """Call a plain function in a thread, so that leases are renewed meanwhile; await an async one."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    ):
        return await cast("Callable[[Any], Awaitable[Any]]", function)(argument)
    from asyncio import to_thread  # Imported when first needed, for it takes long.

    answer = await to_thread(partial(function, argument))
    return await answer if inspect.isawaitable(answer) else answer


def gather_material(core: Core, task: Task, attempt: int, uncovered_budget: int) -> Material:
    """Read what a task's callables are handed (I/O): messages, and what came before them."""
    core.refresh()
    state = core.snapshot_of_state()
    index = cast("int", task.archive)
    archive = state.archives.get(index) or _stored(core, index)
    overview, _, _ = latest_overview(core, _before(state, index))
    earlier = [found for found in state.uncovered() if found.index < index]
    given, covers = _within_budget(core, state, earlier, uncovered_budget)
    request = SummaryRequest(
        session_id=core.session,
        archive_id=archive_id(index),
        messages=archived_messages(core, archive, hydrate=True, previews_will_do=True),
        previous_overview=overview,
        uncovered=given,
        attempt=attempt,
    )
    return Material(request, (*covers, index))


def _stored(core: Core, index: int) -> Archive:
    from eventlog.session.queries import find_archive

    return find_archive(core, archive_id(index))


def _before(state: SessionState, index: int) -> SessionState:
    """Return a state whose overview, if any, is of an archive before this one."""
    if state.overview is not None and state.overview.archive >= index:
        earlier = state.copy()
        earlier.overview = None
        return earlier
    return state


def _within_budget(
    core: Core, state: SessionState, earlier: list[Archive], budget: int
) -> tuple[tuple[Message, ...], list[int]]:
    """Return the messages of earlier archives that no overview covers, and which archives those are.

    Beyond the budget an archive is handed over as a digest of its own, so that one oversized
    archive cannot make every later summary too long. What was only digested is not covered: its
    messages stay visible.
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
    from eventlog.tasks.summary import summarize

    name = archive_id(archive.index)
    digest = summarize(SummaryRequest(session_id=core.session, archive_id=name, messages=messages))
    return Message.system(
        f"Digest of {name}, which failed:\n{digest.overview}", id=f"{name}-digest"
    )
