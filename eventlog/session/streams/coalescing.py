"""Gathering the pieces of a message into chunks: when one is due, by time and by size. Pure.

What an event demands, such as a call of a tool or the end, is stored by whoever brings it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from eventlog.session.streams.content import joined_parts, text_part

__all__ = [
    "BUFFER_BYTES",
    "CHUNK_BYTES",
    "LEASE_SECONDS",
    "WINDOW_SECONDS",
    "ChunkBuffer",
    "WriterOptions",
]

WINDOW_SECONDS: Final = 0.3
"""How long the first piece of a chunk waits for others: viewers are behind by no more."""

LEASE_SECONDS: Final = 60.0
"""How long a producer is waited for after its last chunk."""

CHUNK_BYTES: Final = 4_096
"""Of text, at which a chunk does not wait any longer."""

BUFFER_BYTES: Final = 1_048_576
"""Of text, from which on the producer waits for the store: a few hundred windows of a fast model."""


class WriterOptions(NamedTuple):
    """How a message is cut into chunks."""

    window: int
    """Microseconds."""
    lease: int
    """Microseconds."""
    chunk_bytes: int = CHUNK_BYTES
    buffer_bytes: int = BUFFER_BYTES
    in_background: bool = True


@dataclass(slots=True)
class ChunkBuffer:
    """Pieces that are not in a chunk yet. Times are in microseconds of a clock that never goes back.

    Windows lie on a grid that is the same for all messages of a process. So the chunks of messages
    that are written at once are due at once, and share a durable transaction; none waits for longer
    than a window.
    """

    window: int
    limit: int = CHUNK_BYTES
    size: int = 0
    """Bytes of text, or of an estimate where a part is no text."""
    due_at: int | None = None
    """When the pieces are due at the latest; None if there are none."""
    _parts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _type: str | None = None
    """The type of the texts that the last part will have."""
    _texts: list[str] = field(default_factory=list[str])

    def add_text(self, text: str, type: str, now: int) -> bool:
        """Take a text in, which continues the one before it if that has the same type.

        Returns whether the pieces should be a chunk now. Called for each token.
        """
        if type == self._type:
            self._texts.append(text)
        else:
            self._close()
            self._type, self._texts = type, [text]
        self.size += len(text) if text.isascii() else len(text.encode())
        due_at = self.due_at
        if due_at is None:
            due_at = self.due_at = self._window_end(now)
        return now >= due_at or self.size >= self.limit

    def add_part(self, part: dict[str, Any], now: int) -> None:
        """Take a part in, as it is."""
        self._close()
        self._parts.append(part)
        self.size += len(repr(part))
        if self.due_at is None:
            self.due_at = self._window_end(now)

    def _window_end(self, now: int) -> int:
        return (now // self.window + 1) * self.window

    def _close(self) -> None:
        if self._type is not None:
            self._parts.append(text_part("".join(self._texts), self._type))
            self._type = None

    def __bool__(self) -> bool:
        return self.due_at is not None

    def is_due(self, now: int) -> bool:
        """Return whether the pieces should be a chunk now."""
        return self.due_at is not None and (now >= self.due_at or self.size >= self.limit)

    def take(self) -> list[dict[str, Any]]:
        """Return the parts of the next chunk, and begin another."""
        self._close()
        parts, self._parts = self._parts, []
        self.size, self.due_at = 0, None
        return joined_parts(parts)
