"""SQLite's errors, mapped to ours in one place; the cause is kept."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventlog.errors import CorruptLog, EventLogError, StoreUnavailable, UnsupportedStore
from eventlog.sqlite_driver import sqlite3

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["mapped", "mapped_errors"]


def mapped(error: sqlite3.Error, path: str) -> EventLogError:
    """Return the error to raise for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    match primary:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(
                f"{path} is locked by another process that is writing or keeps a transaction open; "
                "nothing was stored, try again"
            )
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(
                f"no space is left to write {path}; nothing was stored, free some space and try "
                "again"
            )
        case sqlite3.SQLITE_NOTADB:
            return UnsupportedStore(f"{path} is not a SQLite database; choose another file")
        case sqlite3.SQLITE_CORRUPT:
            return CorruptLog(
                f"{path} is damaged ({error}); keep a copy, then restore it from a backup"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return _refused(path, "cannot be written; check its owner and mode")
        case sqlite3.SQLITE_CANTOPEN:
            if os.path.isdir(path):
                return UnsupportedStore(f"{path} is a folder; name a file, which may be new")
            return _not_opened(path)
        case sqlite3.SQLITE_IOERR if _is_full(path):
            return StoreUnavailable(
                f"{path}: {error}, and no space is left; free some and try again"
            )
        case _:
            return StoreUnavailable(f"{path}: {error}")


def _not_opened(path: str) -> StoreUnavailable:
    reason = _why_none_opens()
    if reason is not None:
        return StoreUnavailable(
            f"{path} cannot be opened ({reason}): too many files are open; close some, or raise "
            "`ulimit -n`"
        )
    return _refused(path, "cannot be opened; check that its folder exists")


def _refused(path: str, otherwise: str) -> StoreUnavailable:
    """Return the error for a file that was refused, with its own text unless all files are."""
    if _is_read_only(path):
        otherwise = "is on a read-only file system; copy the log, or mount it for writing"
    return StoreUnavailable(f"{path} {otherwise}")


def _is_read_only(path: str) -> bool:
    """Return whether the file system of a file, or of its folder, is read-only."""
    for place in (path, os.path.dirname(path) or "."):
        try:
            return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
        except (OSError, AttributeError):
            continue
    return False


def _is_full(path: str) -> bool:
    """Return whether the file system of a file has no room left for whoever is not root."""
    try:
        return os.statvfs(os.path.dirname(path) or ".").f_bavail == 0
    except (OSError, AttributeError):
        return False


def _why_none_opens() -> str | None:
    """Return the system's error if no descriptor is left; SQLite does not pass it on."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.strerror if error.errno in (errno.EMFILE, errno.ENFILE) else None
    return None


@contextmanager
def mapped_errors(path: str) -> Generator[None, None, None]:
    """Raise our errors in place of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        raise mapped(error, path) from error
