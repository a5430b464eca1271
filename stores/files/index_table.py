"""A sorted table in a file of pages: keys and values, looked up and scanned without reading it all.

The items are stored in blocks, followed by an index of each block's first key, which stays in memory
once it has been read.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.stores.files.index_pages import PagedFile

__all__ = ["Extent", "Item", "Table", "encode_table"]

BLOCK: Final = 8_192
"""Size of a block in bytes: a look-up reads through half of one."""

_ABSENT: Final = 0xFFFFFFFF

Item = tuple[bytes, bytes | None]
"""A key and its value; None means that the key was removed, although older tables may have it."""

_item = Struct(">II")
_entry = Struct(">IQ")


class Extent(NamedTuple):
    """The place of a part of a file."""

    offset: int
    size: int


def encode_table(items: Iterable[Item]) -> tuple[bytes, bytes]:
    """Encode items sorted by key: the blocks, and the index of their first keys."""
    parts: list[bytes] = []
    index: list[bytes] = []
    size, block_end = 0, 0
    for key, value in items:
        if size >= block_end:
            index += (_entry.pack(len(key), size), key)
            block_end = size + BLOCK
        parts += (_item.pack(len(key), _ABSENT if value is None else len(value)), key, value or b"")
        size += _item.size + len(key) + len(value or b"")
    return b"".join(parts), b"".join(index)


class Table:
    """One sorted table in a file."""

    def __init__(self, file: PagedFile, blocks: Extent, index: Extent) -> None:
        self._file = file
        self._blocks = blocks
        self._index = index
        self._keys: list[bytes] | None = None
        self._offsets: list[int] = []

    def get(self, key: bytes) -> Item | None:
        """Return the item with a key."""
        for found in self.items(key):
            return found if found[0] == key else None
        return None

    def items(self, start: bytes = b"", end: bytes | None = None) -> Iterator[Item]:
        """Yield the items with ``start <= key < end``, by key."""
        keys = self._loaded()
        block = max(0, bisect_right(keys, start) - 1)
        for number in range(block, len(keys)):
            if end is not None and keys[number] >= end:
                return
            for item in self._block(number):
                if end is not None and item[0] >= end:
                    return
                if item[0] >= start:
                    yield item

    def _block(self, number: int) -> Iterator[Item]:
        start, end = self._offsets[number], self._offsets[number + 1]
        data = self._file.read(self._blocks.offset + start, end - start)
        place = 0
        while place < len(data):
            key_size, size = _item.unpack_from(data, place)
            value_start = place + _item.size + key_size
            key = data[place + _item.size : value_start]
            if size == _ABSENT:
                yield key, None
                place = value_start
            else:
                place = value_start + size
                yield key, data[value_start:place]

    def _loaded(self) -> list[bytes]:
        if self._keys is None:
            data = self._file.read(*self._index)
            keys: list[bytes] = []
            offsets: list[int] = []
            place = 0
            while place < len(data):
                size, offset = _entry.unpack_from(data, place)
                place += _entry.size + size
                keys.append(data[place - size : place])
                offsets.append(offset)
            self._offsets = [*offsets, self._blocks.size]
            self._keys = keys
        return self._keys
