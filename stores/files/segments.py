"""The segments of a files log: created, read frame by frame, and appended to at the end.

Segments are ``segments/0000000001.log``, ``…2.log`` and so on without a gap. A new one is created
under another name, synced, renamed and its folder synced before anything is stored in it. So if
segment n + 1 exists, segment n is complete.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import CorruptLog, UnsupportedStore
from eventlog.filesystem import replace_file
from eventlog.stores.files.checksum import checksum_named, preferred_checksum
from eventlog.stores.files.damage import record_hit
from eventlog.stores.files.frames import (
    FORMAT,
    FRAME_BYTES,
    FRAME_MAGIC,
    HEADER_BYTES,
    Body,
    Frame,
    SegmentHeader,
    decode_body,
    encode_header,
    is_whole,
    read_frame_header,
    read_header,
)
from eventlog.stores.files.index_run import SEGMENT_SHIFT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.filesystem import FileTree, FileView

__all__ = ["End", "Segment", "Segments", "place_of"]

CHUNK: Final = 1 << 18
"""Bytes read at once when frames are read in order."""

FIRST_READ: Final = 4_096
"""Bytes read at once when a single frame is looked up: most frames are shorter."""

_OFFSET: Final = (1 << SEGMENT_SHIFT) - 1


class End(NamedTuple):
    """The place, position and batch of the next frame."""

    segment: int
    offset: int
    position: int
    batch: int

    @property
    def place(self) -> int:
        return place_of(self.segment, self.offset)


def place_of(segment: int, offset: int) -> int:
    """Return the place of a frame as one number."""
    return segment << SEGMENT_SHIFT | offset


class Segment:
    """One segment, for reading."""

    def __init__(self, view: FileView, path: str, header: SegmentHeader) -> None:
        self.view = view
        self.path = path
        self.header = header
        self.checksum = checksum_named(header.checksum, path)
        self._ahead = (0, b"")

    def frame_at(self, offset: int, stream: str | None, version: int | None) -> tuple[Frame, bytes]:
        """Return the frame at an offset with its body; raise `CorruptLog` if it is damaged."""
        found = self._frame_in(self._read(offset), offset)
        if found is None:
            # The bytes read ahead may be older than the frame.
            self._ahead = (0, b"")
            found = self._frame_in(self._read(offset), offset)
        if found is None:
            raise self.damage(offset, "the checksum does not fit", stream, version)
        return found

    def _frame_in(self, data: bytes, offset: int) -> tuple[Frame, bytes] | None:
        frame = read_frame_header(data)
        if frame is None:
            return None
        if frame.size > len(data):
            data = self.view.read_at(offset, frame.size)
        return (frame, data[FRAME_BYTES : frame.size]) if self.is_whole(frame, data, 0) else None

    def _read(self, offset: int) -> bytes:
        """Read enough for most frames, and more when frames are read in order."""
        begin, data = self._ahead
        inside = offset - begin
        if not 0 <= inside <= len(data) - FIRST_READ:
            follows = 0 <= inside <= len(data) + FIRST_READ
            data = self.view.read_at(offset, CHUNK if follows else FIRST_READ)
            self._ahead = (offset, data)
            inside = 0
        return data[inside : inside + FIRST_READ]

    def is_whole(self, frame: Frame, data: bytes, at: int) -> bool:
        return is_whole(frame, data, at, self.checksum, self.header.salt)

    def frames(self, offset: int, end: int) -> Iterator[tuple[int, Frame, bytes]]:
        """Yield the frames between two offsets, with their places and bodies."""
        data, begin = b"", offset
        while offset < end:
            at = offset - begin
            frame = read_frame_header(data, at)
            if frame is None or at + frame.size > len(data):
                size = max(CHUNK, FRAME_BYTES if frame is None else frame.size)
                data, begin, at = self.view.read_at(offset, min(size, end - offset)), offset, 0
                frame = read_frame_header(data)
                if frame is not None and frame.size > len(data):
                    data = self.view.read_at(offset, min(frame.size, end - offset))
            if frame is None or not self.is_whole(frame, data, at):
                raise self.damage(offset, "the checksum does not fit")
            yield offset, frame, data[at + FRAME_BYTES : at + frame.size]
            offset += frame.size

    def next_whole(self, offset: int, batch: int) -> int | None:
        """Return the place of the next whole frame of that batch or a later one, or None."""
        data = self.view.read_at(offset, max(0, self.view.size() - offset))
        at = data.find(FRAME_MAGIC)
        while at >= 0:
            frame = read_frame_header(data, at)
            if frame is not None and frame.batch >= batch and self.is_whole(frame, data, at):
                return offset + at
            at = data.find(FRAME_MAGIC, at + 1)
        return None

    def decoded(self, offset: int, frame: Frame, body: bytes) -> Body:
        """Decode a frame; raise `CorruptLog` if its checksum fits but its content is invalid."""
        try:
            return decode_body(frame, body)
        except ValueError as error:
            raise self.damage(offset, str(error)) from error

    def damage(
        self, offset: int, what: str, stream: str | None = None, version: int | None = None
    ) -> CorruptLog:
        """Return the error for damage at an offset.

        It names the damaged record, from what can be read there, or from ``stream`` and ``version``
        if the index knows which frame this is.
        """
        data = self.view.read_at(offset, FIRST_READ)
        frame = read_frame_header(data)
        if frame is not None and frame.size > len(data):
            data = self.view.read_at(offset, frame.size)
        found, exact = record_hit(frame, data[FRAME_BYTES:])
        if stream is None:
            stream, version = found, exact
        elif frame and version and exact and abs(exact - version) < frame.records:
            version = (
                exact  # One of several records in the frame; what is legible agrees with the index.
            )
        whose = "" if stream is None else f", session {stream!r}, version {version}"
        return CorruptLog(
            f"{self.path} is damaged at offset {offset}{whose}: {what}; keep a copy of the folder, "
            "then restore it from a backup",
            stream=stream,
            version=version,
        )

    def close(self) -> None:
        self.view.close()


class Segments:
    """All segments of a log, each opened when it is first read."""

    def __init__(self, files: FileTree, folder: str) -> None:
        self._files = files
        self.folder = folder
        self._open: dict[int, Segment] = {}

    def name(self, number: int) -> str:
        """Return the path of a segment in the file tree."""
        return os.path.join(self.folder, f"{number:010d}.log")

    def path(self, number: int) -> str:
        """Return the path of a segment as it is shown to people."""
        return self._files.shown(self.name(number))

    def numbers(self) -> list[int]:
        """Return the numbers of the segments; raise `CorruptLog` if one is missing between others."""
        try:
            names = self._files.names(self.folder)
        except FileNotFoundError:
            return []
        numbers = [int(name[:-4]) for name in names if name.endswith(".log")]
        missing = sorted(set(range(1, len(numbers) + 1)) - set(numbers))
        if missing:
            raise CorruptLog(
                f"{self.path(missing[0])} is missing, but later segments exist; restore it "
                "from a backup"
            )
        return numbers

    def get(self, number: int) -> Segment:
        """Return a segment; raises `FileNotFoundError`, `CorruptLog`, `UnsupportedStore`."""
        found = self._open.get(number)
        if found is None:
            found = self._open[number] = self._opened(number)
        return found

    def find(self, number: int) -> Segment | None:
        """Return a segment, or None if it does not exist."""
        try:
            return self.get(number)
        except FileNotFoundError:
            return None

    def _opened(self, number: int) -> Segment:
        path = self.path(number)
        view = self._files.view(self.name(number))
        found = read_header(view.read_at(0, HEADER_BYTES))
        if found is None or (found[0] == FORMAT and found[1].number != number):
            view.close()
            raise CorruptLog(
                f"{path} does not begin as segment {number} of a log; restore it from a backup"
            )
        format_, header = found
        if format_ != FORMAT:
            view.close()
            raise UnsupportedStore(
                f"{path} has format {format_}, and this version of eventlog reads format {FORMAT}; "
                "upgrade it"
            )
        return Segment(view, path, header)

    def create(self, number: int, log_id: bytes, position: int, batch: int) -> End:
        """Make an empty segment durable, and return where its first frame goes."""
        header = SegmentHeader(
            checksum=preferred_checksum().number,
            # Different for each segment, and the same if this one is created again.
            salt=int.from_bytes(log_id[:4]) ^ (number * 0x9E3779B1 & 0xFFFFFFFF),
            log_id=log_id,
            number=number,
            position=position,
            batch=batch,
        )
        replace_file(self._files, self.name(number), encode_header(header))
        self._files.sync_folder(self.folder)
        return End(number, HEADER_BYTES, position, batch)

    def at(self, place: int, stream: str | None = None, version: int | None = None) -> Body:
        """Return the content of the frame at a place; raise `CorruptLog`.

        ``stream`` and ``version`` are those that the index gives for it.
        """
        segment = self.get(place >> SEGMENT_SHIFT)
        offset = place & _OFFSET
        frame, body = segment.frame_at(offset, stream, version)
        return segment.decoded(offset, frame, body)

    def frames(self, place: int, end: End) -> Iterator[tuple[int, Frame, bytes]]:
        """Yield frames from a place up to the end of the log, with their places."""
        number, offset = place >> SEGMENT_SHIFT, place & _OFFSET
        while number <= end.segment:
            segment = self.get(number)
            stop = end.offset if number == end.segment else segment.view.size()
            for at, frame, body in segment.frames(offset, stop):
                yield place_of(number, at), frame, body
            number, offset = number + 1, HEADER_BYTES

    def body(self, place: int, frame: Frame, body: bytes) -> Body:
        """Decode a frame that `frames` has yielded."""
        return self.get(place >> SEGMENT_SHIFT).decoded(place & _OFFSET, frame, body)

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
