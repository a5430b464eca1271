"""Gathering the pieces of a message into chunks: when one is due, by time and by size. Pure.

What an event demands, such as a call of a tool or the end, is stored by whoever brings it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from eventlog.session.streams.content import is_text_piece, joined_parts

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
    _pieces: list[dict[str, Any]] | None = None
    _since: int = 0
    size: int = 0
    """Bytes of text, or of an estimate where a piece is no text."""

    def add(self, piece: dict[str, Any], now: int) -> None:
        """Take a piece in."""
        if self._pieces is None:
            self._pieces, self._since = [], now
        self._pieces.append(piece)
        self.size += _size(piece)

    def __bool__(self) -> bool:
        return self._pieces is not None

    def is_due(self, now: int) -> bool:
        """Return whether the pieces should be a chunk now."""
        if self._pieces is None:
            return False
        is_over = now // self.window > self._since // self.window
        return is_over or self.size >= self.limit

    def due_at(self) -> int | None:
        """Return when the pieces are due at the latest; None if there are none."""
        if self._pieces is None:
            return None
        return (self._since // self.window + 1) * self.window

    def take(self) -> list[dict[str, Any]]:
        """Return the parts of the next chunk, and begin another."""
        pieces, self._pieces = self._pieces or [], None
        self.size = 0
        return joined_parts(pieces)


def _size(piece: dict[str, Any]) -> int:
    if is_text_piece(piece):
        text = piece["text"]
        return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return len(repr(piece))
