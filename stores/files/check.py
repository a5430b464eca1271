"""Check a files log byte by byte: every frame, every blob, and the index against both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.errors import CorruptLog
from eventlog.store import Finding
from eventlog.stores.files.frames import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.filesystem import FileTree
    from eventlog.stores.files.blobs import BlobFiles
    from eventlog.stores.files.frames import Frame
    from eventlog.stores.files.index import Index
    from eventlog.stores.files.segments import Segment, Segments

__all__ = ["findings", "torn_tails"]

EVERYTHING = 1 << 62


def findings(index: Index, segments: Segments, blobs: BlobFiles) -> list[Finding]:
    """Return what is wrong with a log; raises `CacheDamaged`."""
    found = _Reading(index, segments)
    result = list(found.run())
    if not result:
        result += found.compared_with_index()
    return result + list(_damaged_blobs(blobs))


class _Reading:
    """One reading of all frames."""

    def __init__(self, index: Index, segments: Segments) -> None:
        self._index = index
        self._segments = segments
        self._versions: dict[str, int] = {}
        self._entries: dict[str, bytes] = {}
        self._position = self._batch = 1
        self._lost = False
        """Whether there was damage, after which versions may be missing."""

    def run(self) -> Iterator[Finding]:
        for number in range(1, self._index.end.segment + 1):
            segment = self._segments.get(number)
            last = number == self._index.end.segment
            yield from self._segment(segment, self._index.end.offset if last else -1)

    def _segment(self, segment: Segment, stop: int) -> Iterator[Finding]:
        end = segment.view.size() if stop < 0 else stop
        offset = HEADER_BYTES
        while offset < end:
            try:
                for at, frame, body in segment.frames(offset, end):
                    offset = at + frame.size
                    yield from self._frame(segment, at, frame, body)
            except CorruptLog as error:
                yield Finding(error.stream, error.version, "damaged", str(error))
                following = segment.next_whole(offset + 1, 0)
                if following is None or following >= end:
                    return
                offset = following
                self._position = self._batch = (
                    0  # It is unknown with which number the versions continue.
                )
                self._lost = True

    def _frame(self, segment: Segment, at: int, frame: Frame, body: bytes) -> Iterator[Finding]:
        expected = (self._batch, self._position)
        if 0 not in expected and (frame.batch, frame.position) != expected:
            detail = f"{segment.path}, offset {at}: a frame is missing before this one"
            yield Finding(None, None, "missing", detail)
        self._batch = frame.batch + frame.commit
        self._position = frame.position + frame.records
        records, entries = segment.decoded(at, frame, body)
        for record in records:
            known = self._versions.get(record.stream, 0)
            if record.version <= known or (record.version > known + 1 and not self._lost):
                detail = f"version {record.version} follows version {known}"
                yield Finding(record.stream, record.version, "order", detail)
            self._versions[record.stream] = record.version
        for key, value in entries:
            self._entries.pop(key, None)
            if value is not None:
                self._entries[key] = value

    def compared_with_index(self) -> Iterator[Finding]:
        """Yield where index and frames differ."""
        index = self._index
        for stream, version in self._versions.items():
            if index.head(stream).version != version or not self._are_found(stream, version):
                detail = f"the index is wrong about session {stream!r}"
                yield Finding(stream, version, "index", detail)
        if dict(index.entries("", "\U0010ffff", EVERYTHING)) != self._entries:
            yield Finding(None, None, "index", "the index entries are not those that were stored")

    def _are_found(self, stream: str, version: int) -> bool:
        places = self._index.places(stream, 0, version)
        if len(places) != version:
            return False
        newest = self._segments.at(places[-1]).records[-1]
        found = self._index.stored(stream, [newest.event_id])
        return found == {newest.event_id: version} == {newest.event_id: newest.version}


def _damaged_blobs(blobs: BlobFiles) -> Iterator[Finding]:
    for path in blobs.paths():
        key = blobs.key_at(path)
        try:
            if key is None:
                yield Finding(None, None, "blob", f"{blobs.shown(path)} is not a blob")
            else:
                blobs.get(key)
        except CorruptLog as error:
            yield Finding(None, None, "blob", f"{key!r}: {error}")


def torn_tails(index: Index, files: FileTree, folder: str) -> str:
    """Return a text about a torn tail at the end of the log, and about those put aside before.

    It is not a finding: a torn tail was never stored, and another process may be writing it.
    """
    try:
        count = len(files.names(folder))
    except FileNotFoundError:
        count = 0
    aside = f"{count} put aside in {files.shown(folder)}" if count else "none"
    if not index.torn:
        return aside
    return f"{index.torn} bytes, which the next write puts aside; {aside} so far"
