"""How much of a folder is read before it is refused."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FolderLimits"]


class FolderLimits(NamedTuple):
    """How much of a session folder `Log.adopt` reads before it refuses it with `CorruptFolder`.

    The defaults are far more than a session has. Memory is taken for what has been read, and several
    times that for its messages.
    """

    file_bytes: int = 256 << 20
    """Of one file."""
    folder_bytes: int = 1 << 30
    """Of all files together."""
    entries: int = 100_000
    """Files and folders."""
