"""The checksums of a files log: CRC-32C by a wheel where there is one, else zlib's CRC-32.

CRC-32C in pure Python costs some 50 µs per record, more than everything else together, and
`zlib.crc32` is another polynomial. So each segment says in its header which of the two guards its
frames: new ones take CRC-32C if the extra ``files`` is installed. Both find every error burst of up
to 32 bits; who wrote what is for the hash chain to prove.
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
    """A checksum of 32 bits, with the number that stands for it in a segment's header."""

    number: int
    name: str
    over: Callable[[bytes, int], int]
    """Computes it over bytes, going on from a start value."""


ZLIB: Final = Checksum(2, "CRC-32", zlib.crc32)


@cache
def _crc32c() -> Checksum | None:
    try:
        import google_crc32c
    except ImportError:
        return None
    if google_crc32c.implementation != "c":
        return None  # Its fallback in Python is the slow one that this module is there to avoid.

    extend: Callable[[int, bytes], int] = cast("Any", google_crc32c).extend

    def over(data: bytes, start: int) -> int:
        return extend(start, data)

    return Checksum(1, "CRC-32C", over)


def preferred_checksum() -> Checksum:
    """Return the checksum for a new segment."""
    return _crc32c() or ZLIB


def checksum_named(number: int, path: str) -> Checksum:
    """Return the checksum that a segment's header names; raise `UnsupportedStore` if it is out of
    reach here."""
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
