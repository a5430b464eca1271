"""Runs: the index of one stretch of a files log, in a file that never changes.

For the records in its stretch, a run holds: the streams, with the newest record and the place of
each record; the event ids; the index entries as they are at the end of the stretch; and the places
of some positions at regular distances. Neighbouring runs are merged into one, as sorted files are,
so that a look-up searches few. All of it follows from the log: a damaged or missing run is built
again.

The place of a frame is one number: its segment's number, shifted by `SEGMENT_SHIFT`, plus its offset.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from itertools import groupby
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.store import Head, Position
from eventlog.stores.files.index_pages import CacheDamaged, PagedFile, in_pages
from eventlog.stores.files.index_table import Extent, Item, Table, encode_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventlog.stores.files.index_tail import Tail

__all__ = ["SEGMENT_SHIFT", "Run", "RunContent", "id_key", "merged", "written"]

SEGMENT_SHIFT: Final = 40

_MAGIC: Final = b"evlogrun"
_FORMAT: Final = 1
_header = Struct(">8sHxx16sQ14Q")
_stream = Struct(">QQQQQ32s")
_id = Struct(">8sQ")
_pair = Struct(">QQ")


class StreamPart(NamedTuple):
    """A stream's records in a stretch of the log: consecutive versions from ``first`` on."""

    first: int
    head: Head
    places: bytes
    """The place of each version's frame, 8 bytes each."""


class RunContent(NamedTuple):
    """A run in memory, all parts of it sorted by their keys."""

    records: int
    streams: Iterable[tuple[bytes, StreamPart]]
    ids: Iterable[bytes]
    entries: Iterable[Item]
    marks: Sequence[tuple[int, int]]
    """Positions, and the frames that begin with them."""


def id_key(event_id: bytes) -> bytes:
    """Return the sort key of an id: its last 8 bytes in reverse, since those differ most."""
    return event_id[:7:-1]


def written(content: RunContent, log_id: bytes) -> bytes:
    """Encode a run as a file."""
    places: list[bytes] = []
    streams, streams_index = encode_table(_with_places(content.streams, places))
    entries, entries_index = encode_table(content.entries)
    parts = [
        b"".join(places),
        streams,
        streams_index,
        entries,
        entries_index,
        b"".join(content.ids),
        b"".join(_pair.pack(*mark) for mark in content.marks),
    ]
    table: list[int] = []
    offset = _header.size
    for part in parts:
        table += (offset, len(part))
        offset += len(part)
    header = _header.pack(_MAGIC, _FORMAT, log_id, content.records, *table)
    return in_pages(b"".join((header, *parts)))


def _with_places(
    streams: Iterable[tuple[bytes, StreamPart]], places: list[bytes]
) -> Iterator[Item]:
    offset = 0
    for name, part in streams:
        version, hash_, position, time = part.head
        yield name, _stream.pack(offset, part.first, version, position, time, hash_)
        places.append(part.places)
        offset += len(part.places)


class Run:
    """A run as it is read."""

    def __init__(self, file: PagedFile, log_id: bytes, name: str) -> None:
        self.name = name
        self._file = file
        magic, format_, found, self.records, *table = _header.unpack(file.read(0, _header.size))
        if (magic, format_, found) != (_MAGIC, _FORMAT, log_id):
            raise CacheDamaged(f"{file.path} is not a run of this log")
        parts = [Extent(*table[number : number + 2]) for number in range(0, len(table), 2)]
        self._places, *tables, self._ids, self._marks = parts
        self._streams = Table(file, *tables[:2])
        self._entries = Table(file, *tables[2:])
        self._fingerprints: array[int] | None = None
        self._mark_positions: list[int] = []
        self._mark_places: list[int] | None = None

    # ---- looking up ---------------------------------------------------------------------------

    def head(self, stream: str) -> tuple[int, Head] | None:
        """Return the first version of a stream in the run, and its head."""
        found = self._stream(stream)
        return None if found is None else (found[1], found[2])

    def places(self, stream: str, after: int, until: int) -> Sequence[int]:
        """Return where the frames of the versions ``after < version <= until`` are."""
        found = self._stream(stream)
        if found is None:
            return ()
        offset, first, head = found
        low, high = max(after + 1, first), min(until, head.version)
        if high < low:
            return ()
        start = self._places.offset + offset + 8 * (low - first)
        data = self._file.read(start, 8 * (high - low + 1))
        return [int.from_bytes(data[at : at + 8]) for at in range(0, len(data), 8)]

    def _stream(self, stream: str) -> tuple[int, int, Head] | None:
        item = self._streams.get(stream.encode())
        if item is None:
            return None
        offset, first, version, position, time, hash_ = _stream.unpack(item[1] or b"")
        return offset, first, Head(version, hash_, Position(position), time)

    def frames_with(self, event_id: bytes) -> list[int]:
        """Return the places of frames that may have a record with this id; usually none."""
        fingerprints = self._fingerprints
        if fingerprints is None:
            fingerprints = self._fingerprints = self._read_fingerprints()
        key = id_key(event_id)
        low = int.from_bytes(key[:4])
        at = bisect_left(fingerprints, low)
        found: list[int] = []
        while at < len(fingerprints) and fingerprints[at] == low:
            row = self._file.read(self._ids.offset + at * _id.size, _id.size)
            if row[:8] == key:
                found.append(int.from_bytes(row[8:]))
            at += 1
        return found

    def _read_fingerprints(self) -> array[int]:
        """Four bytes of each id, in memory, so that looking up an absent id reads nothing."""
        data = self._file.read(*self._ids)
        return array("I", [int.from_bytes(data[at : at + 4]) for at in range(0, len(data), 16)])

    def mark_before(self, position: int) -> int | None:
        """Return a frame shortly before a position, or None if the run begins after it."""
        if self._mark_places is None:
            pairs = list(_pair.iter_unpack(self._file.read(*self._marks)))
            self._mark_positions = [found for found, _ in pairs]
            self._mark_places = [place for _, place in pairs]
        number = bisect_right(self._mark_positions, position)
        return self._mark_places[number - 1] if number else None

    def entries(self, start: bytes = b"", end: bytes | None = None) -> Iterator[Item]:
        """Yield the index entries at the end of the stretch, removed ones included."""
        return self._entries.items(start, end)

    # ---- reading whole ------------------------------------------------------------------------

    def content(self) -> RunContent:
        """Read all of it; raises `CacheDamaged`."""
        ids = self._file.read(*self._ids)
        return RunContent(
            records=self.records,
            streams=self._all_streams(),
            ids=[ids[at : at + _id.size] for at in range(0, len(ids), _id.size)],
            entries=self._entries.items(),
            marks=list(_pair.iter_unpack(self._file.read(*self._marks))),
        )

    def _all_streams(self) -> Iterator[tuple[bytes, StreamPart]]:
        places = self._file.read(*self._places)
        for name, value in self._streams.items():
            offset, first, version, position, time, hash_ = _stream.unpack(value or b"")
            head = Head(version, hash_, Position(position), time)
            yield (
                name,
                StreamPart(first, head, places[offset : offset + 8 * (version - first + 1)]),
            )

    def close(self) -> None:
        self._file.close()


def from_tail(tail: Tail) -> RunContent:
    """Return the tail as a run."""
    ids = [
        id_key(event_id) + stream.places[version - stream.first].to_bytes(8)
        for stream in tail.streams.values()
        for event_id, version in stream.ids.items()
        # A damaged log may have gaps in its versions.
        if 0 <= version - stream.first < len(stream.places)
    ]
    streams = [
        (
            name.encode(),
            StreamPart(
                stream.first,
                tail.heads[name],
                b"".join([place.to_bytes(8) for place in stream.places]),
            ),
        )
        for name, stream in tail.streams.items()
    ]
    return RunContent(
        records=tail.records,
        streams=sorted(streams, key=itemgetter(0)),
        ids=sorted(ids),
        entries=[(key.encode(), tail.entries[key]) for key in sorted(tail.entries)],
        marks=tail.marks,
    )


def merged(older: RunContent, newer: RunContent, *, oldest: bool) -> RunContent:
    """Merge two neighbours; ``oldest`` if no run comes before them, so removals can be dropped."""
    return RunContent(
        records=older.records + newer.records,
        streams=_merged_streams(older.streams, newer.streams),
        ids=sorted([*older.ids, *newer.ids]),
        entries=_merged_entries(older.entries, newer.entries, oldest=oldest),
        marks=[*older.marks, *newer.marks],
    )


def _merged_streams(
    older: Iterable[tuple[bytes, StreamPart]], newer: Iterable[tuple[bytes, StreamPart]]
) -> Iterator[tuple[bytes, StreamPart]]:
    for name, found in groupby(heapq.merge(older, newer, key=itemgetter(0)), key=itemgetter(0)):
        parts = [part for _, part in found]
        places = b"".join(part.places for part in parts)
        yield name, StreamPart(parts[0].first, parts[-1].head, places)


def _merged_entries(
    older: Iterable[Item], newer: Iterable[Item], *, oldest: bool
) -> Iterator[Item]:
    for _, found in groupby(heapq.merge(older, newer, key=itemgetter(0)), key=itemgetter(0)):
        *_, newest = found
        if newest[1] is not None or not oldest:
            yield newest
