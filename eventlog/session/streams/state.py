"""The folded state of a message that is being written: one value, replaced by each of its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from eventlog.session.tasks.events import OwnerData

__all__ = ["KeptResult", "Stream"]


class KeptResult(NamedTuple):
    """A result that waits for the end of the message with its call."""

    tool_id: str
    occurrence: int
    digest: str
    """Of the whole output."""
    version: int
    """Of its record."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What decisions on an unfinished message depend on; its text is in the records alone.

    All times are in microseconds since the Unix epoch.
    """

    message_id: str
    role: str
    fence: int
    """The version of the event that began it."""
    owner: OwnerData
    lease: int
    lease_until: int | None
    """When its own lease ends; None if something else says how long it is alive."""
    began_at: int
    sequence: int = 0
    """The number of the last chunk."""
    last_version: int = 0
    """The version of the last chunk, or of the beginning."""
    calls: tuple[str, ...] = ()
    """The tool ids of the calls that arrived, in order."""
    results: tuple[KeptResult, ...] = ()
    result_characters: int = 0
    """What these results add to the message."""
