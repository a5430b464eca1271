"""The hash chain of a stream (A1).

    hash(v) = SHA-256( hash(v-1) ‖ SHA-256(data) ‖ SHA-256(metadata)
                       ‖ version ‖ time ‖ schema ‖ event id ‖ stream ‖ LF ‖ type )

with version and time as 8 and schema as 4 bytes, big-endian, the event id as 16 bytes, and 32 zero
bytes before the first record. Stream and type are UTF-8; neither can hold a line feed, so the
encoding is unambiguous. Data and metadata enter as digests, so that a record whose payload was
blanked still verifies against the digest that is kept of it. The position is left out: the same
session has the same hashes in every store.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Final

from eventlog.identifiers import EventId
from eventlog.records import START, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EMPTY_METADATA",
    "GENESIS",
    "PageHasher",
    "chain_hash",
    "chained_record",
    "hash_over_digests",
]

GENESIS: Final = bytes(32)
EMPTY_METADATA: Final = b"{}"

_EMPTY_METADATA_DIGEST: Final = sha256(EMPTY_METADATA).digest()
_header = Struct(">QQI").pack
_links = Struct(">32s32s32sQQI16s").pack
_ID_BYTES: Final = 16

_KNOWN_DIGESTS: Final = 1_024
"""Digests of metadata that a hasher keeps: those of a batch differ in one small number."""


def chain_hash(
    previous: bytes,
    stream: str,
    version: int,
    event_id: bytes,
    type: str,
    schema: int,
    time: int,
    data: bytes,
    metadata: bytes,
) -> bytes:
    """Return the 32 bytes that chain a record to its predecessor's ``previous`` hash."""
    return sha256(
        previous
        + sha256(data).digest()
        + (_EMPTY_METADATA_DIGEST if metadata == EMPTY_METADATA else sha256(metadata).digest())
        + _header(version, time, schema)
        + event_id
        + f"{stream}\n{type}".encode()
    ).digest()


def hash_over_digests(previous: bytes, record: Record, data: bytes, metadata: bytes) -> bytes:
    """Return the hash of a record of whose data and metadata only the SHA-256 is left."""
    return sha256(
        previous
        + data
        + metadata
        + _header(record.version, record.time, record.schema)
        + record.event_id
        + f"{record.stream}\n{record.type}".encode()
    ).digest()


class PageHasher:
    """Computes `chain_hash` for the records of one stream, a page of them at a time.

    No function in Python is called per record: SHA-256 itself is most of what that takes.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._name_of = _Names(stream).__getitem__
        self._digest_of = _Digests({EMPTY_METADATA: _EMPTY_METADATA_DIGEST}).__getitem__

    def hashes(self, previous: bytes, page: Sequence[Record]) -> list[bytes]:
        """Return the hash that each record has if it follows the one before it in the page, and the
        first one follows ``previous``; the page is not empty.

        Each follows the hash that is stored for the one before it, so of a hash that is not as long
        as one the next hash means nothing. Raises `ValueError` and `struct.error` for a record of
        another stream, or with values that no hash can be computed of.
        """
        streams, versions, _, ids, types, schemas, times, data, metadata, hashes = zip(
            *page, strict=True
        )
        if streams.count(self._stream) != len(page) or set(map(len, ids)) != {_ID_BYTES}:
            raise ValueError("a record of another stream, or an event id of another length")
        links = map(
            _links,
            (previous, *hashes[:-1]),
            [sha256(each).digest() for each in data],
            map(self._digest_of, metadata),
            versions,
            times,
            schemas,
            ids,
        )
        names = map(self._name_of, types)
        return [sha256(link + name).digest() for link, name in zip(links, names, strict=True)]


class _Names(dict[str, bytes]):
    """What a record's hash says of its stream and type, by type."""

    def __init__(self, stream: str) -> None:
        super().__init__()
        self._stream = stream

    def __missing__(self, type: str) -> bytes:
        name = self[type] = f"{self._stream}\n{type}".encode()
        return name


class _Digests(dict[bytes, bytes]):
    """The SHA-256 of metadata; some short ones are kept."""

    def __missing__(self, metadata: bytes) -> bytes:
        digest = sha256(metadata).digest()
        if len(self) < _KNOWN_DIGESTS and len(metadata) < len(digest):
            self[metadata] = digest
        return digest


def chained_record(
    previous: bytes,
    stream: str,
    version: int,
    event_id: EventId,
    type: str,
    schema: int,
    time: int,
    data: bytes,
    metadata: bytes,
) -> Record:
    """Build the record that follows the one with the hash ``previous``."""
    hash_ = chain_hash(previous, stream, version, event_id, type, schema, time, data, metadata)
    fields = (stream, version, START, event_id, type, schema, time, data, metadata, hash_)
    # Half the time of the record's own constructor, which is written in Python.
    return tuple.__new__(Record, fields)  # pyright: ignore[reportUnknownMemberType]
