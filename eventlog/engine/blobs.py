"""Storing large values in the blob area of the log's store, and reading them back (L11).

A value is stored before the event that names it. A crash between the two leaves a value that no
event names: it takes space but does no harm, and the repeated command finds and names it. So a
value that an event names is always there, unless the storage was damaged.
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

    Idempotent. If the stored value is damaged, it is replaced. Raises `StoreUnavailable`, and the
    store's error if it cannot take the value, for instance because of its size.
    """
    digest = digest_of(data)
    key = value_key(session, digest)
    known = store.get_blob(key)
    if known is not None and known.data == data:
        return digest
    with suppress(VersionConflict):  # Another was faster, with the same.
        store.put_blob(key, data, 0 if known is None else known.revision)
    return digest


def has_value(store: Store, session: str, digest: str) -> bool:
    """Return whether a value with this digest is stored, damaged or not."""
    return store.get_blob(value_key(session, digest)) is not None


def get_value(store: Store, session: str, digest: str) -> bytes:
    """Return a value; raise `CorruptLog` if it is missing or its bytes have another digest."""
    blob = store.get_blob(value_key(session, digest))
    return checked_value(session, digest, None if blob is None else blob.data)
