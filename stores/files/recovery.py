"""Read a files log after a known place: whole batches, then perhaps a torn one.

A batch is one write of several frames and one sync, and the next batch begins only after that sync
has succeeded. So at any moment at most the last batch is not durable. Whatever a loss of power leaves
of it (nothing, a part, pages in any order, zeros), it counts as stored if all its frames up to the
one with `COMMIT` are whole, and not at all otherwise. So an append, which is one frame, is never
stored in part, nor without the appends that it was decided on.

A batch that is not whole has two possible causes. If a whole frame of a *later* batch follows, or
another segment, or if the place is known to have been durable, the batch was once acknowledged: this
is damage, `CorruptLog`, and nothing is cut. Otherwise it is a torn tail, whose append was never
acknowledged: the writer cuts it off, and readers skip it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.errors import CorruptLog
from eventlog.stores.files.frames import FRAME_BYTES, HEADER_BYTES, Body, Frame, read_frame_header
from eventlog.stores.files.segments import End, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.stores.files.segments import Segment, Segments

__all__ = ["Batch", "Scan", "Stored"]


class Stored(NamedTuple):
    """A stored frame and its place."""

    place: int
    body: Body


Batch = list[Stored]


class Scan:
    """Reads what is new after a known end of the log.

    ``end`` moves on as batches are yielded; ``torn`` is the number of bytes after the last of them
    that are not a whole batch. Batches are synced before they are yielded: their writer may have been
    killed before its sync, and a record that was seen must not be lost and replaced by another.
    """

    def __init__(self, segments: Segments, end: End, durable: End, *, syncs: bool) -> None:
        self.end = end
        self.torn = 0
        self._syncs = syncs
        self._segments = segments
        self._durable = durable
        self._bad = self._misread = -1

    def batches(self) -> Iterator[Batch]:
        """Yield the batches that are stored after the end; raise `CorruptLog`."""
        while True:
            # Checked before the segment is read: if there is a next one, this one is complete.
            following = self._segments.find(self.end.segment + 1)
            segment = self._segments.find(self.end.segment)
            if segment is None:
                raise CorruptLog(
                    f"{self._segments.path(self.end.segment)} is missing, but the log continued in "
                    "it before; restore it from a backup"
                )
            yield from self._batches_in(segment)
            left = segment.view.size() - self.end.offset
            if left and self._is_misread(segment, sealed=following is not None):
                continue
            if following is None:
                self.torn = left
                self._refuse_if_behind(segment)
                return
            self._enter(following)

    def _batches_in(self, segment: Segment) -> Iterator[Batch]:
        start, size = self.end.offset, segment.view.size()
        if size < start:
            raise CorruptLog(
                f"{segment.path} has {size} bytes, but {start} were seen in it before: it was "
                "replaced or cut; close the log and look"
            )
        data = segment.view.read_at(start, size - start)
        synced = not self._syncs
        batch: Batch = []
        at = 0
        while (frame := self._frame(segment, data, at, batch)) is not None:
            body = data[at + FRAME_BYTES : at + frame.size]
            place = place_of(segment.header.number, start + at)
            batch.append(Stored(place, segment.decoded(start + at, frame, body)))
            at += frame.size
            if frame.commit:
                if not synced:
                    segment.view.sync()
                    synced = True
                position = frame.position + frame.records
                self.end = End(segment.header.number, start + at, position, frame.batch + 1)
                yield batch
                batch = []
        self._bad = start + at

    def _frame(self, segment: Segment, data: bytes, at: int, batch: Batch) -> Frame | None:
        """Return the whole frame that continues what was read, or None."""
        frame = read_frame_header(data, at)
        if frame is None or not segment.is_whole(frame, data, at):
            return None
        position = self.end.position + sum(len(stored.body.records) for stored in batch)
        return frame if (frame.batch, frame.position) == (self.end.batch, position) else None

    def _is_misread(self, segment: Segment, *, sealed: bool) -> bool:
        """Return whether a batch that seemed torn must be read again; raise if it is damage."""
        later = segment.next_whole(self._bad, self.end.batch + 1)
        if later is None and not sealed:
            return False
        if self._misread == self._bad:
            raise segment.damage(self._bad, "there is no whole frame here, but later ones follow")
        # Another process may have written between the two reads: then the next read is right.
        self._misread = self._bad
        return True

    def _refuse_if_behind(self, segment: Segment) -> None:
        if self.end[:2] < self._durable[:2]:
            raise segment.damage(self._bad, "these bytes were once stored durably")

    def _enter(self, following: Segment) -> None:
        header = following.header
        if (header.position, header.batch) != (self.end.position, self.end.batch):
            raise CorruptLog(
                f"{following.path} begins with batch {header.batch}, but the segment before it ends "
                f"before batch {self.end.batch}; restore both from a backup"
            )
        self.end = End(header.number, HEADER_BYTES, header.position, header.batch)
