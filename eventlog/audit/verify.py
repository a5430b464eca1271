"""Verify a stream (A1): its hash chain, and that its machines have every step it took.

A record whose hash does not fit is explained by what the records around it say: each explanation
below is a hypothesis that their hashes either confirm or rule out. What was cut off at the end
leaves no trace in the stream itself; only a seal kept elsewhere shows that.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from eventlog.chain import GENESIS, chain_hash
from eventlog.errors import CorruptError, CorruptLog
from eventlog.session.projection import SessionFold
from eventlog.store import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["verify_chain", "verify_stream"]

LOOKAHEAD: Final = 64
"""Records after a bad one that may explain it: more than that many removed or inserted at once are
reported as changed."""


def verify_stream(store: Store, stream: str) -> list[Finding]:
    """Return what is wrong with a stream: the first break of its chain, then illegal steps (P7).

    Where the store itself finds a record damaged, that is all that can be said.
    """
    findings: list[Finding] = []
    try:
        broken = verify_chain(store.read(stream))
    except CorruptLog as error:
        return [Finding(error.stream or stream, error.version, "damaged", str(error))]
    if broken is not None:
        findings.append(broken)
    return findings + _machine_findings(store, stream)


def verify_chain(records: Iterator[Record]) -> Finding | None:
    """Return the first place where the chain does not hold; None if it holds."""
    previous = GENESIS
    for version, record in enumerate(records, 1):
        stream, found, _, event_id, type_, schema, time, data, metadata, hash_ = record
        if found != version or hash_ != chain_hash(
            previous, stream, version, event_id, type_, schema, time, data, metadata
        ):
            return _explain(previous, version, [record, *islice(records, LOOKAHEAD)])
        previous = hash_
    return None


def _machine_findings(store: Store, stream: str) -> list[Finding]:
    projection = SessionFold(stream)
    state = projection.initial()
    try:
        state = projection.fold(state, store.read(stream))
    except (CorruptError, KeyError, ValueError) as error:
        detail = f"the record cannot be folded: {error}"
        return [Finding(stream, state.version + 1, "undecodable", detail)]
    return [Finding(stream, version, "illegal", detail) for version, detail in state.findings]


def _explain(previous: bytes, version: int, rest: Sequence[Record]) -> Finding:
    bad = rest[0]
    stream = bad.stream
    if bad.version != version:
        return _explain_number(version, rest)
    if _is_reordered(previous, version, rest):
        detail = f"this record stood at another place; version {version} is further on"
        return Finding(stream, version, "reordered", detail)
    if _is_inserted(previous, version, rest):
        detail = "this record was put in; the original one follows it"
        return Finding(stream, version, "inserted", detail)
    if len(rest) > 1 and _fits(rest[1], bad.hash, version + 1):
        return Finding(stream, version, "changed", "this record is not what was written")
    shift = _removed_before(version, rest)
    if shift:
        detail = f"{shift} record(s) were taken out before this one and the rest renumbered"
        return Finding(stream, version, "removed", detail)
    return Finding(stream, version, "changed", "this record, or its hash, is not what was written")


def _explain_number(version: int, rest: Sequence[Record]) -> Finding:
    """Explain a record that says itself that it belongs elsewhere."""
    bad = rest[0]
    if bad.version < version:
        detail = f"a second record says version {bad.version}"
        return Finding(bad.stream, version, "inserted", detail)
    if any(record.version == version for record in rest):
        detail = f"version {bad.version} stands before version {version}"
        return Finding(bad.stream, version, "reordered", detail)
    detail = f"version {version} is missing; the next record says {bad.version}"
    return Finding(bad.stream, version, "removed", detail)


def _fits(record: Record, previous: bytes, version: int) -> bool:
    """Tell whether a record's hash is the one it had at ``version`` behind ``previous``."""
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
    """The original is further on, and the record found here fits somewhere behind it."""
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
