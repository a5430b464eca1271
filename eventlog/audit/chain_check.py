"""Check the hash chain of a stream, and explain the first place where it is broken.

If a record's hash does not fit, the records around it explain why: each explanation below is a
hypothesis that their hashes confirm or rule out. Records that were cut off at the end leave no
trace in the chain.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Final

from eventlog.chain import GENESIS, PageHasher, chain_hash, hash_over_digests
from eventlog.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventlog.records import Record

__all__ = ["LOOKAHEAD", "PAGE", "ChainCheck", "verify_chain"]

LOOKAHEAD: Final = 64
"""How many records after a bad one are searched for an explanation. If more were removed or inserted
at once, the record is reported as changed."""

PAGE: Final = 256
"""Records that are checked together."""

_ODD: Final = (struct.error, ValueError)
"""What a number raises that no header has room for, and a text with half a character."""


def verify_chain(records: Iterator[Record]) -> Finding | None:
    """Return the first place where the chain is broken, or None."""
    check: ChainCheck | None = None
    while page := list(islice(records, PAGE)):
        check = check or ChainCheck(page[0].stream)
        check.take(page)
        if check.is_explicable:
            break
    return None if check is None else check.finding()


class ChainCheck:
    """Checks a chain page by page, so that one reading can serve several checks."""

    def __init__(
        self, stream: str, digests: Mapping[int, tuple[bytes, bytes]] | None = None
    ) -> None:
        self._hasher = PageHasher(stream)
        self._digests = digests or {}
        """Of redacted records, by version: the digests of the data and metadata that were there."""
        self.redacted = 0
        """How many records were checked by such digests."""
        self._previous = GENESIS
        self._expected = 1
        self._rest: list[Record] = []
        """The record that does not fit, and the ones after it that may explain it."""

    @property
    def is_explicable(self) -> bool:
        """Return whether the chain is broken, and no further record can help to explain it."""
        return len(self._rest) > LOOKAHEAD

    def take(self, page: Sequence[Record]) -> None:
        """Check the next records, which are at least one."""
        if not self._rest:
            fitting = len(page) if self._fits_whole(page) else self._count_fitting(page)
            self._expected += fitting
            if fitting:
                self._previous = page[fitting - 1].hash
            page = page[fitting:]
        self._rest += page[: LOOKAHEAD + 1 - len(self._rest)]

    def _fits_whole(self, page: Sequence[Record]) -> bool:
        """Return whether all records fit; never if one was redacted, or has odd values."""
        expected = self._expected
        versions = range(expected, expected + len(page))
        if self._digests or [record.version for record in page] != list(versions):
            return False
        try:
            hashes = self._hasher.hashes(self._previous, page)
        except _ODD:
            return False
        return hashes == [record.hash for record in page]

    def _count_fitting(self, page: Sequence[Record]) -> int:
        """Return how many of the first records fit."""
        previous = self._previous
        for place, record in enumerate(page):
            version = self._expected + place
            if record.version != version or record.hash != self._hash_of(previous, record):
                return place
            previous = record.hash
        return len(page)

    def _hash_of(self, previous: bytes, record: Record) -> bytes | None:
        gone = self._digests.get(record.version)
        if gone is None:
            return _hash_at(previous, record, record.version)
        self.redacted += 1
        return hash_over_digests(previous, record, *gone)

    def finding(self) -> Finding | None:
        """Return the first place where the chain is broken, or None; call it after the last record."""
        if not self._rest:
            return None
        return explain_break(self._previous, self._expected, self._rest)


def explain_break(previous: bytes, version: int, rest: Sequence[Record]) -> Finding:
    """Return why ``rest[0]`` does not follow version ``version - 1``.

    ``previous`` is the hash of that version; ``rest`` holds up to `LOOKAHEAD` further records.
    """
    bad = rest[0]
    stream = bad.stream
    if bad.version != version:
        return _explain_number(version, rest)
    if _is_reordered(previous, version, rest):
        detail = f"this record was moved; version {version} is further on"
        return Finding(stream, version, "reordered", detail)
    if _is_inserted(previous, version, rest):
        detail = "this record was inserted; the original one follows it"
        return Finding(stream, version, "inserted", detail)
    if len(rest) > 1 and _fits(rest[1], bad.hash, version + 1):
        return Finding(stream, version, "changed", "this record is not what was written")
    shift = _removed_before(version, rest)
    if shift:
        detail = f"{shift} record(s) before this one were removed, and the rest renumbered"
        return Finding(stream, version, "removed", detail)
    return Finding(stream, version, "changed", "this record, or its hash, is not what was written")


def _explain_number(version: int, rest: Sequence[Record]) -> Finding:
    """Explain a record whose own version is not the expected one."""
    bad = rest[0]
    if bad.version < version:
        detail = f"a second record says version {bad.version}"
        return Finding(bad.stream, version, "inserted", detail)
    if any(record.version == version for record in rest):
        detail = f"version {bad.version} comes before version {version}"
        return Finding(bad.stream, version, "reordered", detail)
    detail = f"version {version} is missing; the next record says {bad.version}"
    return Finding(bad.stream, version, "removed", detail)


def _hash_at(previous: bytes, record: Record, version: int) -> bytes | None:
    """Return the hash of a record at ``version`` after ``previous``; None if it can have none."""
    stream, _, _, event_id, type_, schema, time, data, metadata, _ = record
    try:
        return chain_hash(previous, stream, version, event_id, type_, schema, time, data, metadata)
    except _ODD:
        return None


def _fits(record: Record, previous: bytes, version: int) -> bool:
    """Return whether a record's hash fits at ``version`` after ``previous``."""
    return record.hash == _hash_at(previous, record, version)


def _original_at(previous: bytes, version: int, rest: Sequence[Record]) -> Record | None:
    """Return the record further on that is the one written at ``version``."""
    return next((record for record in rest[1:] if _fits(record, previous, version)), None)


def _is_reordered(previous: bytes, version: int, rest: Sequence[Record]) -> bool:
    """The original is further on, and the record found here fits somewhere after it."""
    original = _original_at(previous, version, rest)
    if original is None:
        return False
    return any(
        _fits(rest[0], record.hash, version + distance)
        for distance, record in enumerate([original, *rest[1:]], 1)
    )


def _is_inserted(previous: bytes, version: int, rest: Sequence[Record]) -> bool:
    """The original is further on, and the record found here fits nowhere."""
    return _original_at(previous, version, rest) is not None


def _removed_before(version: int, rest: Sequence[Record]) -> int:
    """Return by how much the records from here on were renumbered downwards; 0 if they weren't."""
    if len(rest) < 2:
        return 0
    first, second = rest[0], rest[1]
    return next(
        (
            shift
            for shift in range(1, LOOKAHEAD + 1)
            if _fits(second, first.hash, version + 1 + shift)
        ),
        0,
    )
