"""The limits beyond which a folder is refused."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FolderLimits"]


class FolderLimits(NamedTuple):
    """The limits of a session folder, beyond which `Log.adopt` raises `CorruptFolder`.

    The defaults are far more than a session has. Reading takes memory for the files, and several
    times as much for their messages.
    """

    file_bytes: int = 256 << 20
    """Of one file."""
    folder_bytes: int = 1 << 30
    """Bytes of all files together."""
    entries: int = 100_000
    """Number of files and folders."""
