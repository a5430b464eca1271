"""The index entries of a JetStream log (L14), folded from the log by each process.

Entries are part of the messages of their appends, so they are stored together or not at all. Each
scan first folds what is new in the log, up to the leader's end of it; the first scan of a process
begins at the last checkpoint.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final

from eventlog.stores.jetstream.checkpoint import Checkpoint
from eventlog.stores.jetstream.messages import decode, decode_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.store import IndexEntry
    from eventlog.stores.jetstream.checkpoint import Checkpoints
    from eventlog.stores.jetstream.messages import Message, Subjects
    from eventlog.stores.jetstream.reader import Reader

__all__ = ["Index"]

SIZE_PER_MESSAGE: Final = 16
"""A checkpoint is worth writing if it has at most this many entries and sessions per new message."""

CHECKPOINT_AT: Final = 4_096
"""A checkpoint is worth writing after this many messages: a fifth of a second of reading."""


class Index:
    """Keys in code point order, and their values, up to a sequence of the log."""

    def __init__(self, reader: Reader, subjects: Subjects, checkpoints: Checkpoints) -> None:
        self._reader = reader
        self._checkpoints = checkpoints
        self._subjects = subjects
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._entries: dict[str, bytes] = {}
        self._versions: dict[str, int] = {}
        self._sequence = 0
        """The sequence up to which the log is folded."""
        self._kept: int | None = None
        """The sequence of the checkpoint; None if none has been read yet."""

    def scan(self, start: str, end: str, limit: int | None) -> list[tuple[str, bytes]]:
        """Return the current entries with ``start <= key < end``."""
        with self._lock:
            self._begin()
            self._fold(self._reader.messages(self._sequence))
            self._keep()
            keys = self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]
            return [(key, self._entries[key]) for key in keys[:limit]]

    def stored(self, messages: Sequence[Message], first: int) -> None:
        """Fold messages that this process has stored, unless other messages come before them."""
        with self._lock:
            if self._sequence == first - 1:
                self._fold(
                    message._replace(sequence=sequence)
                    for sequence, message in enumerate(messages, first)
                )
                self._keep()

    def _begin(self) -> None:
        """Begin with the last checkpoint rather than with the first record."""
        if self._kept is not None:
            return
        found = self._checkpoints.index()
        self._kept = 0
        if found is not None and found.sequence > self._sequence:
            self._kept = self._sequence = found.sequence
            self._entries, self._versions = found.entries, found.versions
            self._keys = sorted(found.entries)

    def keep(self) -> None:
        """Write a checkpoint as this process ends, unless it is long and little of it is new."""
        with self._lock:
            size = len(self._entries) + len(self._versions)
            if 0 < size <= SIZE_PER_MESSAGE * (self._sequence - (self._kept or 0)):
                self._write()

    def _keep(self) -> None:
        if self._kept is not None and self._sequence - self._kept >= CHECKPOINT_AT:
            self._write()

    def _write(self) -> None:
        self._kept = self._sequence
        kept = Checkpoint(self._sequence, self._entries, self._versions)
        self._checkpoints.keep_index(kept)

    def _fold(self, messages: Iterable[Message]) -> None:
        for message in messages:
            session = self._subjects.session_of(message.subject)
            if session is None:
                entries = message.payload
            else:
                record, _, entries = decode(message, session)
                self._versions[session] = record.version
            self._put(decode_entries(entries, message.sequence))
            self._sequence = message.sequence

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
