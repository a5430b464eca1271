"""The policies of a session: large tool outputs, and automatic commits.

They are recorded with the session, so every process treats it alike. A log's policies become those
of the sessions that it creates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from eventlog.argument_checks import check_count, check_seconds
from eventlog.errors import InvalidArgument
from eventlog.session.window import KEEP_LIMIT

__all__ = ["AutoCommitPolicy", "ToolOutputPolicy"]

INLINE_CHARACTERS: Final = 20_000
"""The longest tool output that stays in its message (M6)."""

MESSAGE_CHARACTERS: Final = 100_000
"""The most characters of tool output, previews included, that stay in one message (M6)."""

PREVIEW_CHARACTERS: Final = 2_000
"""The length of the preview that replaces a large output in its message (M6)."""

SHORTEST_PREVIEW: Final = 500
"""A shorter preview would hold little but its own explanation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutputPolicy:
    """How much of a tool's output stays in its message; the rest is stored beside the log.

    An output of more than ``inline_characters`` is stored in the blob area, and a preview of
    ``preview_characters`` takes its place. If the outputs of a message together have more than
    ``message_characters``, the longest ones are stored until the rest is within the limit.
    ``on_failure`` says what to do if an output cannot be stored: record it whole in its message
    (``keep_raw``), raise the error (``reject``), or record the preview and lose the rest
    (``preview_only``).

    Raises `InvalidArgument` for limits that do not fit together.
    """

    inline_characters: int = INLINE_CHARACTERS
    message_characters: int = MESSAGE_CHARACTERS
    preview_characters: int = PREVIEW_CHARACTERS
    on_failure: Literal["keep_raw", "reject", "preview_only"] = "keep_raw"

    def __post_init__(self) -> None:
        for name in ("inline_characters", "message_characters", "preview_characters"):
            check_count(name, getattr(self, name), "characters")
        shortest = min(self.inline_characters, self.message_characters)
        if not SHORTEST_PREVIEW <= self.preview_characters <= shortest:
            raise InvalidArgument(
                f"{self}: a preview must have at least {SHORTEST_PREVIEW} characters, and no more "
                "than may stay in a message"
            )
        if self.on_failure not in ("keep_raw", "reject", "preview_only"):
            raise InvalidArgument(
                f"on_failure is {self.on_failure!r}; it must be 'keep_raw', 'reject' or "
                "'preview_only'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCommitPolicy:
    """When a session is committed automatically: as soon as it reaches one of the limits.

    ``pending_tokens`` and ``messages`` count what a commit would archive; they are checked after
    every command. ``idle_seconds`` is the time since the last message; workers and
    `Log.commit_idle` check it. The commit keeps the newest ``keep_recent`` messages live.

    Raises `InvalidArgument` if there is no limit, or one is out of range.
    """

    pending_tokens: int | None = None
    messages: int | None = None
    idle_seconds: float | None = None
    keep_recent: int = 0

    def __post_init__(self) -> None:
        if self.pending_tokens is not None:
            check_count("pending_tokens", self.pending_tokens, "tokens", lowest=1)
        if self.messages is not None:
            check_count("messages", self.messages, "messages", lowest=1)
        if self.idle_seconds is not None:
            check_seconds("idle_seconds", self.idle_seconds)
        if self.pending_tokens is self.messages is self.idle_seconds is None:
            raise InvalidArgument(
                "an AutoCommitPolicy needs at least one of pending_tokens, messages, idle_seconds"
            )
        check_count("keep_recent", self.keep_recent, "messages", highest=KEEP_LIMIT)
