"""Ids: UUIDv7 where the library draws them, UUIDv8 where a key decides them.

An id is 16 bytes inside the library and canonical UUID text where people see it. Formats are those
of RFC 9562: version 7 is 48 bits of Unix milliseconds, 12 bits of counter and 62 random bits;
version 8 is the SHA-256 of (session, key, number), cut to 122 bits. A key that is itself a UUID of
version 7 is used as it is.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import NewType, TypeAlias

from eventlog.errors import InvalidArgument

__all__ = [
    "EventId",
    "IdSource",
    "check_session_id",
    "derived_id",
    "draw_id",
    "format_id",
    "from_key_part",
    "key_part",
    "new_id",
    "parse_id",
]

EventId = NewType("EventId", bytes)
"""16 bytes of a UUID."""

IdSource: TypeAlias = Callable[[], EventId]
"""A callable that returns a fresh id each time."""

SESSION_ID_BYTES = 255
"""The longest session id in UTF-8."""

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_ENTROPY = (1 << 62) - 1
_VERSION_8 = (0x8 << 76) | (0b10 << 62)
_UUID_LENGTH = 36
_is_uuid7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
).fullmatch
_NEEDS_ESCAPE = re.compile(r"[/\\\x00-\x1f\x7f]")
_needs_escape = _NEEDS_ESCAPE.search
_ESCAPES = {"/": "\\s", "\\": "\\b"}
_ESCAPE = re.compile(r"\\(s|b|x[0-9a-f]{2})")
_MEANINGS = {"s": "/", "b": "\\"}
_FREE_BITS = ~((0xF << 76) | (0b11 << 62))


def _uuid7_source(milliseconds: Callable[[], int], random: Callable[[], bytes]) -> IdSource:
    last = counter = 0

    def draw() -> EventId:
        nonlocal last, counter
        now = milliseconds()
        if now > last:
            last, counter = now, 0
        else:
            counter += 1
            if counter > 0xFFF:
                last, counter = last + 1, 0
        entropy = int.from_bytes(random(), "big") & _ENTROPY
        value = (last << 80) | _VERSION_7 | (counter << 64) | _VARIANT | entropy
        return EventId(value.to_bytes(16, "big"))

    return draw


class _Randomness:
    """The system's randomness, 8 bytes at a time.

    Every call to the system lets other threads run first, which in a busy process takes far longer
    than the call itself; so bytes for many ids are fetched at once. A forked child fetches its own.
    """

    def __init__(self) -> None:
        self._pool: deque[bytes] = deque()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._pool.clear)

    def __call__(self) -> bytes:
        try:
            return self._pool.popleft()
        except IndexError:
            fetched = os.urandom(4096)
            self._pool.extend(fetched[start : start + 8] for start in range(8, 4096, 8))
            return fetched[:8]


draw_id = _uuid7_source(lambda: time.time_ns() // 1_000_000, _Randomness())
"""Draw a UUIDv7 from the system's clock and randomness; ids of one process ascend."""


def new_id() -> str:
    """Draw a fresh UUIDv7 as text, for session and message ids."""
    return format_id(draw_id())


def derived_id(session: str, key: str, number: int = 0) -> EventId:
    """Derive the id of the ``number``-th event that a command with ``key`` records in ``session``.

    The same three values give the same id for ever (L3): that is what makes a repeated command
    find its first outcome. A key that is a UUIDv7, as the library draws them for messages, is
    itself the id of the first event: such ids ascend with time, so indexing them costs a fraction.
    """
    if not number and len(key) == _UUID_LENGTH and _is_uuid7(key):
        return EventId(bytes.fromhex(key.replace("-", "")))
    try:
        text = f"{session}\0{key}\0{number}".encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"the key {key!r} has a lone surrogate; correct it") from None
    value = int.from_bytes(sha256(text).digest()[:16], "big") & _FREE_BITS | _VERSION_8
    return EventId(value.to_bytes(16, "big"))


def format_id(event_id: bytes) -> str:
    """Write 16 bytes as canonical UUID text."""
    digits = event_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_id(text: str) -> EventId:
    """Read canonical UUID text; raise `InvalidArgument` for anything else."""
    try:
        value = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        value = b""
    if len(value) != 16 or format_id(value) != text.lower():
        raise InvalidArgument(f"{text!r} is not the text of a UUID")
    return EventId(value)


def key_part(text: str) -> str:
    r"""Write any text as one part of a key or URI whose parts are joined by slashes.

    Different texts have different parts, and no part has a slash, so keys under ``a/`` never meet
    those of ``a/b``. A backslash escapes: ``\s`` is a slash, ``\b`` a backslash, ``\x0a`` a control
    character, and ``\e`` alone the empty text. All other text is its own part; ids could once have
    neither slash nor backslash, and those of that time keep the keys that are stored. So percent
    signs escape nothing here: ``a%2Fb`` was an id then, and differs from ``a/b``.
    """
    if _needs_escape(text) is None:
        return text or "\\e"
    return _NEEDS_ESCAPE.sub(
        lambda found: _ESCAPES.get(found[0]) or f"\\x{ord(found[0]):02x}", text
    )


def from_key_part(part: str) -> str:
    """Return the text that `key_part` wrote; what it would not have written is read as it is."""
    if "\\" not in part:
        return part
    return "" if part == "\\e" else _ESCAPE.sub(_unescaped, part)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return _MEANINGS.get(code) or chr(int(code[1:], 16))


def check_session_id(session: str) -> str:
    """Return ``session`` if it is a valid session id, else raise `InvalidArgument` (M1).

    Any text of 1 to 255 UTF-8 bytes is valid if it has no control character. What looks like a path
    is valid, too: an id becomes part of a key or URI through `key_part`, and never a path.
    """
    if not isinstance(session, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"a session id must be text, not {type(session).__name__}")
    problem = _session_id_problem(session)
    if problem:
        raise InvalidArgument(f"{session!r} cannot be a session id: {problem}")
    return session


def _session_id_problem(session: str) -> str | None:
    try:
        size = len(session.encode())
    except UnicodeEncodeError:
        return "it has a lone surrogate, which no UTF-8 text can hold"
    if not 1 <= size <= SESSION_ID_BYTES:
        return f"it takes {size} bytes of UTF-8; 1 to {SESSION_ID_BYTES} are allowed"
    if any(unicodedata.category(character) == "Cc" for character in session):
        return "it has a control character; leave it out"
    return None
