"""Storing large values in the blob area of the log's store, and reading them back (L11).

A value is stored before the event that names it. A crash between the two leaves a value that
nothing names: it takes room and does no harm, and the repeated command finds and names it. What an
event names is therefore there, unless the storage was damaged.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from eventlog.errors import VersionConflict
from eventlog.session.values import checked_value, digest_of, value_key

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["get_value", "has_value", "put_value"]


def put_value(store: Store, session: str, data: bytes) -> str:
    """Store a value durably, unless the session has it already, and return its digest.

    Idempotent. A stored value that was damaged is replaced by the right one. Raises
    `StoreUnavailable`, and what else the store has against the value, such as its size.
    """
    digest = digest_of(data)
    key = value_key(session, digest)
    known = store.get_blob(key)
    if known is not None and known.data == data:
        return digest
    with suppress(VersionConflict):  # Another was faster; it could only have stored the same.
        store.put_blob(key, data, 0 if known is None else known.revision)
    return digest


def has_value(store: Store, session: str, digest: str) -> bool:
    """Return whether a value of this name is stored, sound or not."""
    return store.get_blob(value_key(session, digest)) is not None


def get_value(store: Store, session: str, digest: str) -> bytes:
    """Return a value whose bytes have this digest; raise `CorruptLog` for one that has not."""
    blob = store.get_blob(value_key(session, digest))
    return checked_value(session, digest, None if blob is None else blob.data)
