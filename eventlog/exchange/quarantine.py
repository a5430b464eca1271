"""Keep what was left out of an import in a file beside its source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(target, flags, 0o600)
    except FileExistsError:
        if target.is_file() and not target.is_symlink() and target.read_bytes() == content:
            return target
        raise
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return target
