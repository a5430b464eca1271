"""Files of checksummed pages, which hold the index of a files log.

A page is 4,096 bytes: content and its CRC-32, started from the page's number. So a part of a large
file can be trusted without reading the rest, and a page in the wrong place is not accepted.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventlog.filesystem import FileView

__all__ = ["CacheDamaged", "PagedFile", "in_pages"]

PAGE: Final = 4_096
CONTENT: Final = PAGE - 4
CACHED_PAGES: Final = 512
"""Pages of a file that are kept in memory: 2 MiB."""

_u32 = Struct(">I")


class CacheDamaged(Exception):
    """A file derived from the log is damaged: build it again."""


def in_pages(data: bytes) -> bytes:
    """Return data as pages; the last one is padded with zeros."""
    pages: list[bytes] = []
    for number, start in enumerate(range(0, len(data), CONTENT)):
        content = data[start : start + CONTENT].ljust(CONTENT, b"\0")
        pages += (content, _u32.pack(zlib.crc32(content, number)))
    return b"".join(pages)


class PagedFile:
    """The content of a file of pages, checked as it is read."""

    def __init__(self, view: FileView, path: str) -> None:
        self.path = path
        self._view = view
        self._pages: dict[int, bytes] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of content from an offset on; raise `CacheDamaged`."""
        if not size:
            return b""
        first, last = offset // CONTENT, (offset + size - 1) // CONTENT
        start = offset - first * CONTENT
        if first == last:
            return self._page(first)[start : start + size]
        return b"".join(self._many(first, last))[start : start + size]

    def _page(self, number: int) -> bytes:
        found = self._pages.get(number)
        if found is None:
            found = self._checked(number, self._view.read_at(number * PAGE, PAGE))
            if len(self._pages) >= CACHED_PAGES:
                self._pages.clear()
            self._pages[number] = found
        return found

    def _many(self, first: int, last: int) -> list[bytes]:
        data = self._view.read_at(first * PAGE, (last - first + 1) * PAGE)
        return [
            self._checked(first + place, data[place * PAGE : (place + 1) * PAGE])
            for place in range(last - first + 1)
        ]

    def _checked(self, number: int, page: bytes) -> bytes:
        content = page[:CONTENT]
        if len(page) < PAGE or page[CONTENT:] != _u32.pack(zlib.crc32(content, number)):
            raise CacheDamaged(f"{self.path}: page {number} is not what was written")
        return content

    def close(self) -> None:
        """Release the file."""
        self._view.close()
