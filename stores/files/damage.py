"""Find which record of a damaged frame was hit: read what is legible, and compare the hashes.

A store does not need to compute hashes to keep them. This one does so only here, after the checksum
has shown damage, so that the error can name the record.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from eventlog.store import chain_hash
from eventlog.stores.files.frames import decode_body

if TYPE_CHECKING:
    from eventlog.store import Record
    from eventlog.stores.files.frames import Frame

__all__ = ["record_hit"]


def record_hit(frame: Frame | None, body: bytes) -> tuple[str | None, int | None]:
    """Return stream and version of the damaged record, as far as they can be read."""
    if frame is None or not frame.records:
        return None, None
    try:
        records, _ = decode_body(frame, body)
    except ValueError:
        return None, None
    first = records[0]
    misfit = next(
        (after for before, after in pairwise(records) if not _follows(before, after)), first
    )
    return first.stream, misfit.version


def _follows(before: Record, record: Record) -> bool:
    stream, version, _, event_id, type_, schema, time, data, metadata, hash_ = record
    return hash_ == chain_hash(
        before.hash, stream, version, event_id, type_, schema, time, data, metadata
    )
