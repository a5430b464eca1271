"""Opening a foreign file: a regular one, whose values are bounded before they are in memory.

The path was named by whoever imports, so links in it are followed. What it leads to is not trusted: a
FIFO would block, a device may never end, and a sparse file has a terabyte of zeros on one line.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Final

from eventlog.descriptors import REFUSED, open_regular
from eventlog.errors import InvalidArgument, InvalidMessage

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LARGEST_VALUE", "MOST_BYTES", "BoundedFile", "open_file"]

LARGEST_VALUE: Final = 256 << 20
"""Bytes of one JSON value, a line or a whole file, that are read unless another limit is set."""

MOST_BYTES: Final = 1 << 30
"""Bytes of all files of a folder that are read unless another limit is set."""

_CHUNK: Final = 1 << 20


class BoundedFile(io.BufferedReader):
    """A file of which no line, and no rest, larger than a limit is read into memory.

    More raises `InvalidMessage`, when as many bytes as the limit allows were read.
    """

    def __init__(self, raw: io.FileIO, largest: int) -> None:
        super().__init__(raw)
        self._largest = largest
        self._line = 0

    def __next__(self) -> bytes:
        line = self.readline(self._largest + 1)
        if not line:
            raise StopIteration
        self._line += 1
        self._refuse_beyond(len(line))
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a number of bytes, or the rest."""
        if size is not None and size >= 0:
            return super().read(size)
        parts: list[bytes] = []
        total = 0
        while part := super().read(_CHUNK):
            parts.append(part)
            total += len(part)
            self._refuse_beyond(total)
        return b"".join(parts)

    def _refuse_beyond(self, size: int) -> None:
        if size > self._largest:
            raise InvalidMessage(
                f"one value has more than {self._largest:,} bytes, which is the limit; is it the right "
                "file? If so, raise the limit (--max-bytes)",
                line=self._line or None,
            )


def open_file(path: Path, largest: int = LARGEST_VALUE) -> BoundedFile:
    """Open a file to read it.

    Raises `FileNotFoundError` where nothing is, and `InvalidArgument` for what is no regular file.
    """
    try:
        descriptor = open_regular(os.path.realpath(path), os.O_RDONLY, str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: there is no such file; name a file or a session folder"
        ) from error
    except OSError as error:
        if error.errno not in REFUSED | {errno.EISDIR}:
            raise
        raise InvalidArgument(
            f"{error.strerror}; name a file, or '-' and send what a program writes to stdin"
        ) from error
    return BoundedFile(io.FileIO(descriptor), largest)
