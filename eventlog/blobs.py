"""Large values beside the log: content-addressed, per session, written before the event (L11)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from eventlog.errors import CorruptLog, VersionConflict
from eventlog.tasks.events import BlobReference

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["get", "put"]


def put(store: Store, session: str, data: bytes) -> BlobReference:
    """Store a value durably, once, however often it is put; return what an event names it by."""
    reference = BlobReference(sha256=sha256(data).hexdigest(), size=len(data))
    try:
        store.put_blob(_key(session, reference), data, 0)
    except VersionConflict:
        get(store, session, reference)  # The same content; unless it was damaged since.
    return reference


def get(store: Store, session: str, reference: BlobReference) -> bytes:
    """Read a value back; raise `CorruptLog` if it is not there, or not what was put."""
    blob = store.get_blob(_key(session, reference))
    if blob is None or sha256(blob.data).hexdigest() != reference["sha256"]:
        raise CorruptLog(
            f"session {session!r}: the large value {reference['sha256']} is "
            f"{'missing' if blob is None else 'damaged'}; restore it from a backup"
        )
    return blob.data


def _key(session: str, reference: BlobReference) -> str:
    return f"value/{session}/{reference['sha256']}"
