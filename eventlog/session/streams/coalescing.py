"""Gathering the pieces of a message into chunks: when one is due, by time and by size. Pure.

What an event demands, such as a call of a tool or the end, is stored by whoever brings it.
"""

from __future__ import annotations

from collections import deque
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


class ChunkBuffer:
    """Pieces that are not in a chunk yet. Times are in microseconds of a clock that never goes back.

    Windows lie on a grid that is the same for all messages of a process. So the chunks of messages
    that are written at once are due at once, and share a durable transaction; none waits for longer
    than a window.

    Any thread may add, and one at a time may take, without a lock: a signal handler runs between any
    two instructions of the main thread, and may write to the message itself, or close the log and so
    wait for whoever stores. The ends of a deque are atomic.
    """

    __slots__ = ("_added", "_limit", "_window", "size")

    def __init__(self, window: int, limit: int = CHUNK_BYTES) -> None:
        self._window, self._limit = window, limit
        self._added: deque[tuple[int, str, str | dict[str, Any]]] = deque()
        """When each piece was added, and its type and text, or nothing and its part."""
        self.size = 0
        """Bytes of text, or of an estimate where a part is no text. If somebody adds while another
        adds or takes, it may be too small by a piece until the next chunk."""

    def add_text(self, text: str, type: str, now: int) -> bool:
        """Take a text in, which continues the one before it if that has the same type.

        Returns whether the pieces should be a chunk now. Called for each token.
        """
        added = self._added
        added.append((now, type, text))
        self.size += len(text) if text.isascii() else len(text.encode())
        try:
            first, _, _ = added[0]
        except IndexError:  # Another thread has just taken it.
            return False
        # As `is_due` does; two calls less for each token.
        window = self._window
        return now // window > first // window or self.size >= self._limit

    def add_part(self, part: dict[str, Any], now: int) -> None:
        """Take a part in, as it is."""
        self._added.append((now, "", part))
        self.size += len(repr(part))

    @property
    def due_at(self) -> int | None:
        """When the pieces are due at the latest; None if there are none."""
        try:
            first, _, _ = self._added[0]
        except IndexError:
            return None
        return (first // self._window + 1) * self._window

    def __bool__(self) -> bool:
        return bool(self._added)

    def is_due(self, now: int) -> bool:
        """Return whether the pieces should be a chunk now."""
        due = self.due_at
        return due is not None and (now >= due or self.size >= self._limit)

    def take(self) -> list[dict[str, Any]]:
        """Return the parts of the next chunk, and begin another."""
        parts: list[dict[str, Any]] = []
        texts, last = list[str](), ""
        while self._added:
            _, type, piece = self._added.popleft()
            if texts and type != last:
                parts.append(text_part("".join(texts), last))
                texts = []
            if isinstance(piece, str):
                texts.append(piece)
                last = type
            else:
                parts.append(piece)
        if texts:
            parts.append(text_part("".join(texts), last))
        self.size = 0
        return joined_parts(parts)
