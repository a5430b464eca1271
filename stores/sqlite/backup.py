"""Copy a SQLite log as it is at one moment, page by page, while others write to it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from eventlog.sqlite_driver import sqlite3

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["copy_pages"]

PAGES: Final = 1_024
"""Pages (of 4 KiB) between two calls of ``advance``, where a copy can be given up."""


def copy_pages(
    source: sqlite3.Connection, path: str, advance: Callable[[int, int], object]
) -> None:
    """Write the database as it is now into an empty file; not durable before the caller syncs it.

    All of it is read in one transaction, so writers that go on meanwhile change nothing of the copy;
    without that transaction SQLite would begin again after each of their commits. The WAL grows
    until the copy is done. ``advance`` is called with the pages that are done and those there are in
    all; what it raises ends the copy.
    """
    source.execute("BEGIN").fetchall()
    try:
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            for setting in ("synchronous", "journal_mode"):  # What fails is thrown away.
                target.execute(f"PRAGMA {setting} = OFF").fetchall()
            source.backup(
                target,
                pages=PAGES,
                progress=lambda status, left, pages: advance(pages - left, pages),
            )
    finally:
        source.execute("ROLLBACK").fetchall()
