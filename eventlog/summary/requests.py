"""The input of a summariser, as far as it reads it, and its result (F5, F6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from eventlog.session.tasks.events import TokenUsage

if TYPE_CHECKING:
    from eventlog.session.messages import Message

__all__ = ["Summarizable", "Summary"]


class Summarizable(Protocol):
    """An archive to summarise; a worker's `eventlog.SummaryRequest` is one."""

    @property
    def session_id(self) -> str: ...

    @property
    def archive_id(self) -> str: ...

    @property
    def messages(self) -> tuple[Message, ...]: ...

    @property
    def previous_overview(self) -> str:
        """The overview of the latest completed archive before it; empty if there is none."""
        ...

    @property
    def uncovered(self) -> tuple[Message, ...]:
        """The messages of earlier archives that no overview covers yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A long and a one-line summary; an empty overview counts as a failure."""

    overview: str
    abstract: str
    usage: TokenUsage = field(default_factory=TokenUsage)
