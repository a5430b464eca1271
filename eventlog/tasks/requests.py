"""What a finalisation hands to its callables, and what it expects back (F6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from eventlog.session.messages import Message
from eventlog.tasks.events import TokenUsage

__all__ = [
    "EffectRequest",
    "Extraction",
    "MemoryExtractor",
    "SideEffect",
    "SkillExtractor",
    "Skills",
    "Summarizer",
    "Summary",
    "SummaryRequest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRequest:
    """An archive to summarise.

    ``previous_overview`` is that of the latest completed archive before it, empty if there is none;
    ``uncovered`` are the messages of earlier archives that failed or were abandoned and that no
    overview stands for yet. What they say should be carried into the new overview.
    """

    session_id: str
    archive_id: str
    messages: tuple[Message, ...]
    previous_overview: str = ""
    uncovered: tuple[Message, ...] = ()
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A long and a one-line summary; an empty overview counts as a failure."""

    overview: str
    abstract: str
    usage: TokenUsage = field(default_factory=TokenUsage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """Memories by category, and an account of what changed by them."""

    memories: Mapping[str, int]
    diff: dict[str, Any] | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skills:
    """The URIs of the skills that were learnt."""

    uris: tuple[str, ...] = ()
    usage: TokenUsage = field(default_factory=TokenUsage)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRequest:
    """A completed archive, for a side effect; ``idempotency_key`` is the same at every repeat."""

    session_id: str
    archive_id: str
    overview: str
    abstract: str
    idempotency_key: str


Summarizer: TypeAlias = Callable[[SummaryRequest], Summary | Awaitable[Summary]]
MemoryExtractor: TypeAlias = Callable[[SummaryRequest], Extraction | Awaitable[Extraction]]
SkillExtractor: TypeAlias = Callable[[SummaryRequest], Skills | Awaitable[Skills]]
SideEffect: TypeAlias = Callable[[EffectRequest], object]
