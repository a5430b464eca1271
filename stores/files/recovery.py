"""What stands in a files log behind a place that is known: whole batches, then perhaps a torn one.

A batch is one write of several frames and one sync, and the next begins only when that sync has
succeeded. So at any moment at most the last batch is not durable, and whatever a loss of power makes
of it (nothing, a part, pages in any order, zeros), it is stored if all its frames up to the one with
`COMMIT` are whole, and not at all otherwise: an append, which is one frame, is never there in part,
nor is one without those it was decided on.

Where a batch is not whole, that leaves two explanations. If a whole frame of a *later* batch follows,
or another segment, or if the place is known to have been durable, the batch was acknowledged once:
it is damage, `CorruptLog`, and nothing is cut. Otherwise it is a torn tail, of which nobody was told
that it is stored: the writer cuts it off, readers pass over it.
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
    """A frame that is stored, and where."""

    place: int
    body: Body


Batch = list[Stored]


class Scan:
    """One reading of what is new behind an end.

    ``end`` moves on as batches are yielded; ``torn`` is the number of bytes behind the last of them
    that are no whole batch. What is yielded is synced first: its writer may not have come to that,
    and nothing that was seen may be lost and its place taken by something else.
    """

    def __init__(self, segments: Segments, end: End, durable: End, *, syncs: bool) -> None:
        self.end = end
        self.torn = 0
        self._syncs = syncs
        self._segments = segments
        self._durable = durable
        self._bad = self._misread = -1

    def batches(self) -> Iterator[Batch]:
        """Yield the batches that are stored behind the end; raise `CorruptLog`."""
        while True:
            # Asked for before the segment is read: once there is a next one, this one is complete.
            following = self._segments.find(self.end.segment + 1)
            segment = self._segments.find(self.end.segment)
            if segment is None:
                raise CorruptLog(
                    f"{self._segments.path(self.end.segment)} is missing, but the log went on in "
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
        """Return the whole frame that goes on from what was read; None if there is none."""
        frame = read_frame_header(data, at)
        if frame is None or not segment.is_whole(frame, data, at):
            return None
        position = self.end.position + sum(len(stored.body.records) for stored in batch)
        return frame if (frame.batch, frame.position) == (self.end.batch, position) else None

    def _is_misread(self, segment: Segment, *, sealed: bool) -> bool:
        """Tell whether what was read as torn has to be read again; raise if it is damage."""
        later = segment.next_whole(self._bad, self.end.batch + 1)
        if later is None and not sealed:
            return False
        if self._misread == self._bad:
            raise segment.damage(self._bad, "no whole frame is here, but later ones follow")
        # Another process may have written between the two readings: then the next one is right.
        self._misread = self._bad
        return True

    def _refuse_if_behind(self, segment: Segment) -> None:
        if self.end[:2] < self._durable[:2]:
            raise segment.damage(self._bad, "what is here was stored safely once")

    def _enter(self, following: Segment) -> None:
        header = following.header
        if (header.position, header.batch) != (self.end.position, self.end.batch):
            raise CorruptLog(
                f"{following.path} begins with batch {header.batch}, but the segment before it ends "
                f"before batch {self.end.batch}; restore both from a backup"
            )
        self.end = End(header.number, HEADER_BYTES, header.position, header.batch)
