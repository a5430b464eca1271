"""Map operating-system errors about a session's folder to ours, for attaching and adopting."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from eventlog.argument_checks import checked_path
from eventlog.descriptors import REFUSED
from eventlog.errors import CorruptFolder, FolderUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["absolute_path", "folder_errors", "reason_of"]

_REMEDY: Final = "look at what that is, then remove it or put a regular file there"
_ADVICE: Final = {
    errno.EMFILE: "close some files, or raise `ulimit -n`",
    errno.ENFILE: "close other programs, for all of the system's files are open",
    errno.EROFS: "mount the file system for writing, or take another folder",
    errno.ENOSPC: "free some room",
    errno.EDQUOT: "free some room",
}
"""What to do about troubles that are not the folder's own."""

_TOO_LARGE: Final = "look at what that is, or set a higher limit"


def absolute_path(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a folder; raise `InvalidArgument` if the text cannot be a path."""
    return os.path.abspath(checked_path("the folder", path))


def reason_of(error: OSError) -> str:
    """Return the text of an error: which file, and what is wrong with it."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


@contextmanager
def folder_errors(path: str, remedy: str | None = None) -> Generator[None]:
    """Raise our errors in place of the operating system's.

    `CorruptFolder` for an entry that is no regular file or folder, or is too large;
    `FolderUnavailable`, with the ``remedy`` if one is given, for everything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in REFUSED:
            mend = _TOO_LARGE if error.errno == errno.EFBIG else _REMEDY
            raise CorruptFolder(f"folder {path}: {reason_of(error)}; {mend}") from error
        advice = _ADVICE.get(error.errno or 0)
        if advice is not None:
            remedy = f"nothing is lost: {advice}, then try again"
        raise FolderUnavailable(path, reason_of(error), *([remedy] if remedy else [])) from error
