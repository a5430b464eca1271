"""Large values of a session: how they are named, and checked when they are read (L11).

A value is the blob ``value/{session}/{digest}``: its bytes as they are, and their SHA-256 in
hexadecimal digits. So the same content is stored once per session, and two sessions never share it:
a session's values can be removed with it.
"""

from __future__ import annotations

from hashlib import sha256

from eventlog.errors import CorruptLog
from eventlog.identifiers import key_part

__all__ = ["checked_value", "digest_of", "value_key"]


def digest_of(data: bytes) -> str:
    """Return the name of a value: its SHA-256 in 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def value_key(session_id: str, digest: str) -> str:
    """Return the key of a session's value in the blob area."""
    return f"value/{key_part(session_id)}/{digest}"


def checked_value(session_id: str, digest: str, data: bytes | None) -> bytes:
    """Return the bytes of a value; raise `CorruptLog` if it is missing or damaged."""
    if data is not None and digest_of(data) == digest:
        return data
    problem = "is missing" if data is None else "is damaged: its SHA-256 differs"
    raise CorruptLog(
        f"session {session_id!r}: the value {digest} {problem}; restore it from a backup of the "
        "store, or pass its content to the session once more, which stores it again"
    )
