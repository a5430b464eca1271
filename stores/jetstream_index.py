"""The index entries of a JetStream log (L14), as each process folds them from the log.

Entries stand in the messages of the appends that they came with, so they are stored with them or not
at all. Whoever scans first folds what is new in the log, up to its end as the leader has it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from eventlog.stores.jetstream_messages import decode, decode_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.records import IndexEntry
    from eventlog.stores.jetstream_messages import Message, Subjects
    from eventlog.stores.jetstream_reader import Reader

__all__ = ["Index"]


class Index:
    """Keys in code point order, and their values, up to a sequence of the log."""

    def __init__(self, reader: Reader, subjects: Subjects) -> None:
        self._reader = reader
        self._subjects = subjects
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._entries: dict[str, bytes] = {}
        self.sequence = 0
        """The message up to which the log is folded."""

    def scan(self, start: str, end: str, limit: int | None) -> list[tuple[str, bytes]]:
        """Return the entries with ``start <= key < end``, as of now."""
        with self._lock:
            self._fold(self._reader.messages(self.sequence))
            keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
            return [(key, self._entries[key]) for key in keys[:limit]]

    def stored(self, messages: Sequence[Message], first: int) -> None:
        """Fold messages that this process has stored, unless others have come before them."""
        with self._lock:
            if self.sequence == first - 1:
                self._fold(
                    message._replace(sequence=sequence)
                    for sequence, message in enumerate(messages, first)
                )

    def _fold(self, messages: Iterable[Message]) -> None:
        for message in messages:
            session = self._subjects.session_of(message.subject)
            entries = message.payload if session is None else decode(message, session).entries
            self._put(decode_entries(entries))
            self.sequence = message.sequence

    def _put(self, entries: Iterable[IndexEntry]) -> None:
        for key, value in entries:
            known = key in self._entries
            if value is not None:
                if not known:
                    insort(self._keys, key)
                self._entries[key] = value
            elif known:
                del self._keys[bisect_left(self._keys, key)]
                del self._entries[key]
