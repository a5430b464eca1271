"""The appends of one batch of a files log: checks, frames and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.errors import DuplicateEvent, TooLarge, VersionConflict
from eventlog.store import Appended, Position, repeated
from eventlog.stores.files.frames import FRAME_LIMIT, Body, encode_append
from eventlog.stores.files.recovery import Stored
from eventlog.stores.files.segments import End, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.errors import EventLogError
    from eventlog.store import Append
    from eventlog.stores.files.checksum import Checksum
    from eventlog.stores.files.index import Index

__all__ = ["Checks", "estimated_size", "frames_of"]


class Checks:
    """The appends of one batch: each sees the earlier ones and gets its own answer."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._ends: dict[str, tuple[int, bytes]] = {}
        self._staged: dict[str, dict[bytes, int]] = {}
        self._position = index.end.position
        self.accepted: list[Append] = []

    def run(self, appends: Sequence[Append]) -> list[Appended | EventLogError]:
        return [self._answer(append) for append in appends]

    def _answer(self, append: Append) -> Appended | EventLogError:
        ids = [record.event_id for record in append.records]
        stored: dict[bytes, int] = {}
        if self._index.head(append.stream).version:
            stored = self._index.stored(append.stream, ids)
        staged = self._staged.get(append.stream)
        if stored or (staged is not None and not staged.keys().isdisjoint(ids)):
            versions = [stored.get(id_) or (staged or {}).get(id_) for id_ in ids]
            if any(versions):
                return repeated(append, versions)
        if len(ids) > 1 and len(set(ids)) < len(ids):
            return DuplicateEvent(append.stream, "one batch has an event id twice")
        return self._add(append)

    def _add(self, append: Append) -> Appended | EventLogError:
        stream, expected, records, _, previous = append
        end = self._ends.get(stream)
        if end is None:
            end = self._index.head(stream)[:2]
        actual, last = end
        if actual != expected or (previous is not None and previous != last):
            return VersionConflict(stream, expected, actual)
        size = estimated_size(append)
        if size > FRAME_LIMIT:
            return TooLarge(stream, "the size of one append in bytes", size, FRAME_LIMIT)
        count = len(records)
        versions = tuple(range(expected + 1, expected + count + 1))
        positions = tuple(Position(self._position + number) for number in range(count))
        staged = self._staged.setdefault(stream, {})
        for record, version in zip(records, versions, strict=True):
            staged[record.event_id] = version
        self._position += count
        self._ends[stream] = (expected + count, records[-1].hash)
        self.accepted.append(append)
        return Appended(versions, positions)


def estimated_size(append: Append) -> int:
    """Return an upper bound, close to the size in bytes, for the frame of an append."""
    size = 128 + 4 * len(append.stream)
    for record in append.records:
        size += len(record.data) + len(record.metadata) + 4 * len(record.type) + 96
    for key, value in append.entries:
        size += 4 * len(key) + len(value or b"") + 8
    return size


def frames_of(
    appends: Sequence[Append], begin: End, checksum: Checksum, salt: int
) -> tuple[bytes, list[Stored], End]:
    """Encode a batch: its bytes, the places of its frames, and the end of the log after it."""
    parts: list[bytes] = []
    stored: list[Stored] = []
    segment, offset, position, batch = begin
    for append in appends:
        frame = encode_append(append, checksum, salt, batch, position, commit=append is appends[-1])
        records = [
            record._replace(position=Position(position + number))
            for number, record in enumerate(append.records)
        ]
        stored.append(Stored(place_of(segment, offset), Body(records, list(append.entries))))
        parts.append(frame)
        position += len(records)
        offset += len(frame)
    return b"".join(parts), stored, End(segment, offset, position, batch + 1)
