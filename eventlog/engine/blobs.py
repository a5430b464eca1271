"""Large values of a session, named by their content, in the blob area of the same store (L11).

A value is the blob ``value/{session}/{digest}``: the bytes as they are, and their SHA-256 in
hexadecimal digits. So the same content is stored once per session, and never shared between two: a
session's values can go with it.

A value is stored before the event that names it. A crash between the two leaves a value that
nothing names: it takes room and does no harm, and the repeated command finds and names it. What an
event names is therefore there, unless the storage was damaged.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from eventlog.errors import CorruptLog, VersionConflict

if TYPE_CHECKING:
    from eventlog.store import Blob, Store

__all__ = ["digest_of", "get_value", "has_value", "put_value"]


def digest_of(data: bytes) -> str:
    """Return the name of a value: its SHA-256 in 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def put_value(store: Store, session: str, data: bytes) -> str:
    """Store a value durably, unless the session has it already, and return its digest.

    Idempotent. A stored value that was damaged is replaced by the right one. Raises
    `StoreUnavailable`, and what else the store has against the value, such as its size.
    """
    digest = digest_of(data)
    key = _key(session, digest)
    known = store.get_blob(key)
    if known is not None and known.data == data:
        return digest
    try:
        store.put_blob(key, data, 0 if known is None else known.revision)
    except VersionConflict:
        pass  # Another was faster; it could only have stored the same.
    return digest


class Blobs(Protocol):
    """As much of a store as reading values takes."""

    def get_blob(self, key: str) -> Blob | None: ...


def has_value(store: Blobs, session: str, digest: str) -> bool:
    """Tell whether a value of this name is stored, sound or not."""
    return store.get_blob(_key(session, digest)) is not None


def get_value(store: Blobs, session: str, digest: str) -> bytes:
    """Return a value whose bytes have this digest; raise `CorruptLog` for one that has not."""
    blob = store.get_blob(_key(session, digest))
    if blob is not None and digest_of(blob.data) == digest:
        return blob.data
    problem = "is missing" if blob is None else "is damaged: its SHA-256 is another"
    raise CorruptLog(
        f"session {session!r}: the value {digest} {problem}; restore it from a backup of the store, "
        "or give its content to the session again, which stores it anew"
    )


def _key(session: str, digest: str) -> str:
    return f"value/{session}/{digest}"
