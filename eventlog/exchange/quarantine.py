"""Keep what was left out of an import in a file beside its source."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from eventlog.descriptors import REFUSED, create_file, open_regular, read_whole
from eventlog.projections.folder_layout import quarantine_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eventlog.exchange.notes import Dropped

__all__ = ["keep_beside"]


def keep_beside(path: Path, dropped: Sequence[Dropped]) -> Path | None:
    """Write what was dropped, one line each, and return the new file; None if nothing was dropped.

    The file's name is derived from its content, so importing a file twice keeps one copy. Raises
    `OSError` if the folder cannot be written; then nothing should be imported.
    """
    if not dropped:
        return None
    content = b"".join(entry.raw.rstrip(b"\n") + b"\n" for entry in dropped)
    target = path.with_name(quarantine_name(path.name, content))
    try:
        descriptor = create_file(str(target), os.O_WRONLY, str(target))
    except FileExistsError:
        if _has(target, content):
            return target
        raise
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return target


def _has(path: Path, content: bytes) -> bool:
    """Return whether a file has exactly this content; of a larger one no more is read."""
    try:
        descriptor = open_regular(str(path), os.O_RDONLY, str(path))
        try:
            return read_whole(descriptor, len(content), str(path)) == content
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in REFUSED | {errno.EISDIR}:
            return False
        raise
