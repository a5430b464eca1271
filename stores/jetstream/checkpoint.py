"""Notes about a log, kept beside it, that reveal a server that lost the end of the log.

A single server with a damaged file starts with the records before the damage, reports that it is
healthy, and assigns the later sequences again. The remaining records have no gap, so they do not show
the loss. Two blobs do:

- ``jetstream/end``: the last record that some process stored, noted when it ends, and now and then.
- ``jetstream/index``: the index entries up to a sequence, and the version of each session there. It
  also spares a process that opens a long log from folding all of it. If it is missing or damaged, it
  is built again from the log.
"""

from __future__ import annotations

import json
import logging
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import EventLogError, VersionConflict
from eventlog.store import Blob
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Checkpoint", "Checkpoints", "End"]

END_KEY: Final = "jetstream/end"
INDEX_KEY: Final = "jetstream/index"


class End(NamedTuple):
    """A stored record: the last one when this was noted."""

    sequence: int
    stream: str
    version: int
    hash: str
    """In hexadecimal digits."""


class Checkpoint(NamedTuple):
    """The index up to a sequence, and the versions of the sessions at it."""

    sequence: int
    entries: dict[str, bytes]
    versions: dict[str, int]


class Checkpoints:
    """Reads and writes both in the blob area of the log."""

    def __init__(
        self, get: Callable[[str], Blob | None], put: Callable[[str, bytes, int], int]
    ) -> None:
        self._get = get
        self._put = put

    def end(self) -> End | None:
        """Return the noted end, or None."""
        blob = self._get(END_KEY)
        return None if blob is None else _read_end(blob.data)

    def note_end(self, end: End) -> None:
        """Note an end, unless a later one is noted already; a failure is logged, never raised."""
        self._note(END_KEY, json.dumps(end).encode(), end.sequence, _read_end)

    def index(self) -> Checkpoint | None:
        """Return the stored index, or None if there is none or it is damaged."""
        blob = self._get(INDEX_KEY)
        return None if blob is None else _read_index(blob.data)

    def keep_index(self, checkpoint: Checkpoint) -> None:
        """Store an index, unless a later one is stored; a failure is logged, never raised."""
        sequence, entries, versions = checkpoint
        texts = {key: value.decode() for key, value in entries.items()}
        data = zlib.compress(json.dumps([sequence, texts, versions]).encode(), 1)
        self._note(INDEX_KEY, data, sequence, _read_index)

    def _note(
        self,
        key: str,
        data: bytes,
        sequence: int,
        read: Callable[[bytes], End | Checkpoint | None],
    ) -> None:
        try:
            known = self._get(key)
            later = None if known is None else read(known.data)
            if later is None or later.sequence < sequence:
                self._put(key, data, 0 if known is None else known.revision)
        except VersionConflict:
            pass  # Another process noted one at the same moment, which is as good.
        except EventLogError as error:
            log_fact(logging.WARNING, "checkpoint_failed", key=key, error=str(error))


def _read_end(data: bytes) -> End | None:
    try:
        return End(*json.loads(data))
    except (TypeError, ValueError) as error:
        log_fact(logging.WARNING, "end_ignored", reason=str(error))
        return None


def _read_index(data: bytes) -> Checkpoint | None:
    try:
        sequence, entries, versions = json.loads(zlib.decompress(data))
    except (TypeError, ValueError, zlib.error) as error:
        log_fact(logging.WARNING, "index_checkpoint_ignored", reason=str(error))
        return None
    return Checkpoint(sequence, {key: value.encode() for key, value in entries.items()}, versions)
