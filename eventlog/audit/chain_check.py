"""Check the hash chain of a stream, and explain the first place where it is broken.

If a record's hash does not fit, the records around it explain why: each explanation below is a
hypothesis that their hashes confirm or rule out. Records that were cut off at the end leave no
trace in the chain.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from eventlog.chain import GENESIS, chain_hash, hash_over_digests, record_hasher
from eventlog.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventlog.records import Record

__all__ = ["LOOKAHEAD", "ChainCheck", "verify_chain"]

LOOKAHEAD: Final = 64
"""How many records after a bad one are searched for an explanation. If more were removed or inserted
at once, the record is reported as changed."""


def verify_chain(records: Iterator[Record]) -> Finding | None:
    """Return the first place where the chain is broken, or None."""
    first = next(records, None)
    if first is None:
        return None
    previous, record_hash = GENESIS, record_hasher(first.stream)
    for expected, record in enumerate(chain((first,), records), 1):
        if record.version != expected or record.hash != record_hash(previous, record):
            return explain_break(previous, expected, [record, *islice(records, LOOKAHEAD)])
        previous = record.hash
    return None


class ChainCheck:
    """Checks a chain record by record, so that one reading can serve several checks."""

    def __init__(
        self, stream: str, digests: Mapping[int, tuple[bytes, bytes]] | None = None
    ) -> None:
        self._record_hash = record_hasher(stream)
        self._hash_of = self._hash_over_digests if digests else self._record_hash
        self._digests = digests or {}
        """Of redacted records, by version: the digests of the data and metadata that were there."""
        self.redacted = 0
        """How many records were checked by such digests."""
        self._previous = GENESIS
        self._expected = 1
        self._rest: list[Record] = []
        """The record that does not fit, and the ones after it that may explain it."""

    def take(self, record: Record) -> None:
        """Check the next record."""
        if not self._rest:
            hash_ = record.hash
            expected = self._expected
            if record.version == expected and hash_ == self._hash_of(self._previous, record):
                self._previous = hash_
                self._expected = expected + 1
                return
        if len(self._rest) <= LOOKAHEAD:
            self._rest.append(record)

    def _hash_over_digests(self, previous: bytes, record: Record) -> bytes:
        gone = self._digests.get(record.version)
        if gone is None:
            return self._record_hash(previous, record)
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


def _fits(record: Record, previous: bytes, version: int) -> bool:
    """Return whether a record's hash fits at ``version`` after ``previous``."""
    return record.hash == chain_hash(
        previous,
        record.stream,
        version,
        record.event_id,
        record.type,
        record.schema,
        record.time,
        record.data,
        record.metadata,
    )


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
