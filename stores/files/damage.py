"""Which record was hit where a frame is damaged: read as far as legible, and held against its hashes.

A store need not know of hashes to keep them. This one asks them only here, where the checksum has
told already that something is wrong, and people need to know what.
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
    """Return the stream and the version of the record that does not fit, as far as can be told."""
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
