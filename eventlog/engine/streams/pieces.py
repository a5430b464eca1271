"""What was written of a message and is in no chunk yet.

A signal handler runs between any two instructions of the main thread, and may write to the message
itself, or close the log and so wait for whoever stores. So nobody who writes may hold a lock. Pieces
are handed over through a deque, whose ends are atomic, and whoever stores gathers them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.session.streams.coalescing import ChunkBuffer

if TYPE_CHECKING:
    from eventlog.session.streams.coalescing import WriterOptions

__all__ = ["WaitingPieces"]


class _Piece(NamedTuple):
    text: str
    type: str
    part: dict[str, Any] | None
    now: int
    size: int


class WaitingPieces:
    """Any thread adds; one at a time takes. Times are in microseconds."""

    def __init__(self, options: WriterOptions) -> None:
        self._window, self._limit = options.window, options.chunk_bytes
        self._buffer = ChunkBuffer(options.window, options.chunk_bytes)
        self._added: deque[_Piece] = deque()
        self._size = 0
        """Of the pieces that were added: too small for a moment where two threads add at once."""

    def add_text(self, text: str, type: str, now: int) -> bool:
        """Add a text; return whether a chunk is due."""
        return self._add(_Piece(text, type, None, now, _bytes(text)))

    def add_part(self, part: dict[str, Any], now: int) -> bool:
        """Add a whole part; return whether a chunk is due."""
        return self._add(_Piece("", "", part, now, len(repr(part))))

    def _add(self, piece: _Piece) -> bool:
        self._added.append(piece)
        self._size += piece.size
        return self.is_due(piece.now)

    @property
    def size(self) -> int:
        """Bytes of text, or of an estimate where a part is no text."""
        return self._buffer.size + self._size

    @property
    def due_at(self) -> int | None:
        """When the pieces are due at the latest; None if there are none."""
        due = self._buffer.due_at
        if due is not None:
            return due
        try:
            return self._buffer.end_of_window(self._added[0].now)
        except IndexError:
            return None

    def is_due(self, now: int) -> bool:
        """Return whether the pieces should be a chunk now."""
        due = self.due_at
        return due is not None and (now >= due or self.size >= self._limit)

    def __bool__(self) -> bool:
        return bool(self._buffer) or bool(self._added)

    def take(self) -> list[dict[str, Any]]:
        """Return the parts of the next chunk, and begin another; for one thread at a time."""
        while self._added:
            piece = self._added.popleft()
            if piece.part is None:
                self._buffer.add_text(piece.text, piece.type, piece.now)
            else:
                self._buffer.add_part(piece.part, piece.now)
        self._size = 0
        return self._buffer.take()


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
