"""What a session records about the files that its messages were imported from."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from eventlog.events import Event

__all__ = ["ConversationImported"]


class ConversationImported(Event, type="conversation_imported"):
    """A conversation of another program was imported, as far as it was understood.

    ``lines`` has a pair for each run of messages from consecutive lines: the line of the first one,
    from 1, and their number. ``fields`` are those of the conversation itself, ``findings`` say what
    was replaced, left out or kept unread, each with the original line.
    """

    format: str
    source: str
    messages: int
    fields: dict[str, Any] = Field(default_factory=dict[str, Any])
    lines: list[tuple[int, int]] = Field(default_factory=list[tuple[int, int]])
    findings: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
