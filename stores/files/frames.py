"""The bytes of a segment: its header, and frames of one append each.

All numbers are big-endian. A segment begins with 64 bytes:

    "evlogseg" ‖ format u16 ‖ checksum u8 ‖ 0 u8 ‖ salt u32 ‖ log id 16 ‖ segment u64
    ‖ position u64 ‖ batch u64 ‖ 4 × 0 ‖ CRC-32 (zlib) of all before it u32

with the position of its first record and the number of its first batch. Then frames follow:

    FF "EVF" ‖ checksum u32 ‖ body length u32 ‖ flags and record count u32 ‖ batch u64 ‖ position u64
    body

A frame is one append: it is whole or it does not count. The frames of one batch carry its number,
and the last of them has the flag `COMMIT`; without that one none of them is stored (`recovery` has
the argument). The checksum covers everything after it up to the end of the body, and starts from the
segment's salt, so that neither a frame of another segment nor bytes in a payload pass for a frame.

    body    = stream ‖ first version u64 ‖ record … ‖ entry count u32 ‖ entry …
    record  = event id 16 ‖ hash 32 ‖ time u64 ‖ schema u32 ‖ length of metadata u32, of data u32
              ‖ type ‖ metadata ‖ data
    entry   = key ‖ value length u32, or FFFFFFFF to remove the key ‖ value
    stream, type = length u16 ‖ UTF-8;  key = length u32 ‖ UTF-8

Position and versions count up by one from the first record's. A frame without records has index
entries alone, and an empty stream.
"""

from __future__ import annotations

import zlib
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.store import EventId, Position, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.store import Append, IndexEntry
    from eventlog.stores.files.checksum import Checksum

__all__ = [
    "COMMIT",
    "FORMAT",
    "FRAME_BYTES",
    "FRAME_LIMIT",
    "FRAME_MAGIC",
    "HEADER_BYTES",
    "Body",
    "Frame",
    "SegmentHeader",
    "decode_body",
    "encode_append",
    "encode_entries",
    "encode_header",
    "read_frame_header",
    "read_header",
]

FORMAT: Final = 1
FRAME_MAGIC: Final = b"\xffEVF"
"""No UTF-8 text contains the first byte, so JSON payloads never look like a frame."""

FRAME_LIMIT: Final = 1 << 30
"""Maximum bytes of a frame's body, and so of an append; a larger length is damage."""

COMMIT: Final = 1 << 31
_COUNT: Final = (1 << 24) - 1
REMOVED: Final = 0xFFFFFFFF
_VERSIONS: Final = 1 << 63
"""Beyond all versions and times that other stores can copy."""

_SEGMENT_MAGIC: Final = b"evlogseg"
_segment = Struct(">8sHBxI16sQQQ4x")
_frame = Struct(">4sIIIQQ")
_rest_of_frame = Struct(">IIQQ")
_record = Struct(">16s32sQIII")
_u16 = Struct(">H")
_u32 = Struct(">I")
_u64 = Struct(">Q")

HEADER_BYTES: Final = _segment.size + 4
FRAME_BYTES: Final = _frame.size


class SegmentHeader(NamedTuple):
    """The header of a segment."""

    checksum: int
    salt: int
    log_id: bytes
    number: int
    position: int
    """The position of its first record."""
    batch: int
    """The number of its first batch."""


class Frame(NamedTuple):
    """A frame's header; ``checksum`` is not verified yet."""

    checksum: int
    length: int
    commit: bool
    records: int
    batch: int
    position: int

    @property
    def size(self) -> int:
        """Bytes of header and body."""
        return FRAME_BYTES + self.length


class Body(NamedTuple):
    """The content of a frame."""

    records: list[Record]
    entries: list[IndexEntry]


def encode_header(header: SegmentHeader) -> bytes:
    """Encode the header of a segment."""
    number, salt, log_id, segment, position, batch = header
    data = _segment.pack(_SEGMENT_MAGIC, FORMAT, number, salt, log_id, segment, position, batch)
    return data + _u32.pack(zlib.crc32(data))


def read_header(data: bytes) -> tuple[int, SegmentHeader] | None:
    """Return the format and the header, or None if the bytes are not a header."""
    if len(data) < HEADER_BYTES or not data.startswith(_SEGMENT_MAGIC):
        return None
    (found,) = _u32.unpack_from(data, _segment.size)
    if found != zlib.crc32(data[: _segment.size]):
        return None
    _, format_, *fields = _segment.unpack_from(data)
    return format_, SegmentHeader(*fields)


def encode_append(
    append: Append, checksum: Checksum, salt: int, batch: int, position: int, *, commit: bool
) -> bytes:
    """Encode an append as a frame, its records from ``position`` on."""
    name = append.stream.encode()
    parts = [_u16.pack(len(name)), name, _u64.pack(append.expected + 1)]
    for record in append.records:
        _, _, _, event_id, type_, schema, time, data, metadata, hash_ = record
        kind = type_.encode()
        parts += (
            _record.pack(event_id, hash_, time, schema, len(metadata), len(data)),
            _u16.pack(len(kind)),
            kind,
            metadata,
            data,
        )
    _encode_entries(parts, append.entries)
    return _sealed(parts, checksum, salt, len(append.records), batch, position, commit=commit)


def encode_entries(
    entries: Sequence[IndexEntry], checksum: Checksum, salt: int, batch: int, position: int
) -> bytes:
    """Encode index entries without records as a separate batch."""
    parts = [_u16.pack(0), _u64.pack(0)]
    _encode_entries(parts, entries)
    return _sealed(parts, checksum, salt, 0, batch, position, commit=True)


def _encode_entries(parts: list[bytes], entries: Sequence[IndexEntry]) -> None:
    parts.append(_u32.pack(len(entries)))
    for key, value in entries:
        encoded = key.encode()
        size = REMOVED if value is None else len(value)
        parts += (_u32.pack(len(encoded)), encoded, _u32.pack(size), value or b"")


def _sealed(
    parts: list[bytes],
    checksum: Checksum,
    salt: int,
    count: int,
    batch: int,
    position: int,
    *,
    commit: bool,
) -> bytes:
    body = b"".join(parts)
    flags = COMMIT | count if commit else count
    rest = _rest_of_frame.pack(len(body), flags, batch, position) + body
    return FRAME_MAGIC + _u32.pack(checksum.over(rest, salt)) + rest


def read_frame_header(data: bytes, offset: int = 0) -> Frame | None:
    """Return the header of the frame at an offset, or None if there is no frame."""
    if len(data) - offset < FRAME_BYTES:
        return None
    magic, checksum, length, flags, batch, position = _frame.unpack_from(data, offset)
    if magic != FRAME_MAGIC or length > FRAME_LIMIT:
        return None
    return Frame(checksum, length, bool(flags & COMMIT), flags & _COUNT, batch, position)


def is_whole(frame: Frame, data: bytes, offset: int, checksum: Checksum, salt: int) -> bool:
    """Return whether the frame at an offset is complete and unchanged."""
    end = offset + frame.size
    return end <= len(data) and checksum.over(data[offset + 8 : end], salt) == frame.checksum


def decode_body(frame: Frame, body: bytes) -> Body:
    """Decode a frame's body; raise `ValueError` if it is invalid."""
    try:
        return _decode_body(frame, body)
    except (StructError, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be decoded: {error}") from error


def _decode_body(frame: Frame, body: bytes) -> Body:
    stream, place = _decode_stream(body)
    (version,) = _u64.unpack_from(body, place)
    place += 8
    records: list[Record] = []
    for number in range(frame.records):
        event_id, hash_, time, schema, meta_size, data_size = _record.unpack_from(body, place)
        place += _record.size
        (size,) = _u16.unpack_from(body, place)
        kind_end = place + 2 + size
        meta_end = kind_end + meta_size
        end = meta_end + data_size
        if end > len(body):
            raise ValueError(f"record {number} extends beyond the end of its frame")
        if not 0 < version + number < _VERSIONS or time >= _VERSIONS:
            raise ValueError(f"record {number} has the version {version + number}, time {time}")
        records.append(
            Record(
                stream,
                version + number,
                Position(frame.position + number),
                EventId(event_id),
                body[place + 2 : kind_end].decode(),
                schema,
                time,
                body[meta_end:end],
                body[kind_end:meta_end],
                hash_,
            )
        )
        place = end
    return Body(records, _decode_entries(body, place))


def _decode_stream(body: bytes) -> tuple[str, int]:
    (size,) = _u16.unpack_from(body)
    return body[2 : 2 + size].decode(), 2 + size


def _decode_entries(body: bytes, place: int) -> list[IndexEntry]:
    (count,) = _u32.unpack_from(body, place)
    place += 4
    entries: list[IndexEntry] = []
    for _ in range(count):
        (size,) = _u32.unpack_from(body, place)
        key = body[place + 4 : place + 4 + size].decode()
        place += 4 + size
        (size,) = _u32.unpack_from(body, place)
        place += 4
        if size != REMOVED and place + size > len(body):
            raise ValueError("an index entry extends beyond the end of its frame")
        if size == REMOVED:
            entries.append((key, None))
        else:
            entries.append((key, body[place : place + size]))
            place += size
    return entries
