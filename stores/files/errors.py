"""Map operating-system errors to ours, in one place; the cause is kept."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventlog.errors import CorruptLog, StoreUnavailable
from eventlog.filesystem import REFUSED

if TYPE_CHECKING:
    from collections.abc import Generator

    from eventlog.errors import EventLogError

__all__ = ["mapped", "mapped_errors"]


def mapped(error: OSError, folder: str) -> EventLogError:
    """Return the error to raise for one of the system's."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StoreUnavailable(
                f"no space is left to write in {folder}; nothing was stored, free some space and "
                "try again"
            )
        case errno.EROFS:
            return StoreUnavailable(
                f"{error.filename or folder} is on a read-only file system; open it with ?mode=ro to "
                "read, or mount it for writing"
            )
        case errno.EMFILE | errno.ENFILE:
            return StoreUnavailable(
                f"{error.filename or folder} cannot be opened ({error.strerror}): too many files are "
                "open; close some, or raise `ulimit -n`"
            )
        case errno.EACCES | errno.EPERM:
            return StoreUnavailable(
                f"{error.filename or folder} cannot be accessed ({error.strerror}); check its owner "
                "and mode"
            )
        case errno.ENOENT | errno.ENOTDIR:
            return StoreUnavailable(
                f"{error.filename or folder} cannot be opened ({error.strerror}); check the path"
            )
        case number if number in REFUSED:
            return CorruptLog(
                f"{error.filename or folder}: {error.strerror}; a log has only regular files: look "
                "at what that is, then restore the log from a backup"
            )
        case _:
            return StoreUnavailable(f"{folder}: {error}")


@contextmanager
def mapped_errors(folder: str) -> Generator[None, None, None]:
    """Raise our errors in place of the operating system's."""
    try:
        yield
    except OSError as error:
        raise mapped(error, folder) from error
