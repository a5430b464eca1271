"""The checksums of a files log: CRC-32C if its wheel is installed, else zlib's CRC-32.

CRC-32C in pure Python costs some 50 µs per record, more than everything else together, and
`zlib.crc32` uses another polynomial. So the header of each segment names the one that its frames
use; new segments use CRC-32C if the extra ``files`` is installed. Both find every error burst of up
to 32 bits. That nobody changed a record is proved by the hash chain, not by the checksum.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.errors import UnsupportedStore

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Checksum", "checksum_named", "preferred_checksum"]


class Checksum(NamedTuple):
    """A 32-bit checksum, with its number in a segment's header."""

    number: int
    name: str
    over: Callable[[bytes, int], int]
    """Computes the checksum of bytes, continuing from a start value."""


ZLIB: Final = Checksum(2, "CRC-32", zlib.crc32)


@cache
def _crc32c() -> Checksum | None:
    try:
        import google_crc32c
    except ImportError:
        return None
    if google_crc32c.implementation != "c":
        return None  # Its fallback in pure Python is the slow one.

    extend: Callable[[int, bytes], int] = cast("Any", google_crc32c).extend

    def over(data: bytes, start: int) -> int:
        return extend(start, data)

    return Checksum(1, "CRC-32C", over)


def preferred_checksum() -> Checksum:
    """Return the checksum for a new segment."""
    return _crc32c() or ZLIB


def checksum_named(number: int, path: str) -> Checksum:
    """Return the checksum that a segment's header names; raise `UnsupportedStore` if it is not
    available."""
    if number == ZLIB.number:
        return ZLIB
    found = _crc32c()
    if number == 1 and found is not None:
        return found
    if number == 1:
        raise UnsupportedStore(
            f"{path} is checked with CRC-32C; install it: pip install 'eventlog-sessions[files]'"
        )
    raise UnsupportedStore(
        f"{path} is checked with checksum {number}, which this version of eventlog does not know; "
        "upgrade it"
    )
