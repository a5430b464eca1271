"""SQLite files of other programs, opened so that nothing in them or beside them changes.

A file is trusted with nothing: its schema runs no function and no trigger, only tables are read (no
view, no virtual table), values have a limit, and SQLite may do nothing but select. A file with a
journal or a write-ahead log beside it is read in a copy, since opening it in place would write both;
one without is opened as it is, and must not change meanwhile.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from eventlog.descriptors import open_regular
from eventlog.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Database", "open_database"]

VALUE_BYTES: Final = 256 * 1024 * 1024
"""The largest value that is read: a conversation's checkpoint is one value."""

COPY_BYTES: Final = 4 * 1024 * 1024 * 1024
"""The largest file that is copied, because a journal is beside it."""

TABLES: Final = 10_000
"""Tables up to which a file is looked over."""

_JOURNALS: Final = ("-wal", "-journal")

_ALLOWED: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})


class Database(NamedTuple):
    """An open file: its plain tables by name, each with its columns."""

    connection: sqlite3.Connection
    tables: dict[str, tuple[str, ...]]

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query; raises `InvalidMessage` where the file is damaged."""
        try:
            yield from self.connection.execute(query, values)
        except (sqlite3.Error, OverflowError, MemoryError) as error:
            raise InvalidMessage(f"the SQLite file cannot be read: {error}") from error


@contextmanager
def open_database(path: Path) -> Generator[Database]:
    """Open a SQLite file to read from it.

    Raises `InvalidMessage` for one that is damaged, encrypted, or was written to meanwhile.
    """
    place = Path(os.path.realpath(path))
    before = _state(place)
    with _undisturbed(place) as copy:
        try:
            connection = sqlite3.connect(_uri(copy, is_copy=copy != place), uri=True)
        except sqlite3.Error as error:
            raise InvalidMessage(f"the SQLite file cannot be opened: {error}") from error
        connection.text_factory = _text
        with closing(connection):
            yield Database(connection, _tables(connection))
    if _state(place) != before:
        raise InvalidMessage(
            "the SQLite file was written to while it was read; stop the program that uses it, "
            "or import a copy that sqlite3's .backup has made"
        )


def _state(path: Path) -> list[tuple[int, int] | None]:
    """Return what tells whether a file, or a journal beside it, was written to."""
    found: list[tuple[int, int] | None] = []
    for name in ("", *_JOURNALS):
        try:
            status = Path(f"{path}{name}").stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_size, status.st_mtime_ns))
    return found


def _text(raw: bytes) -> str:
    """Return a value of text; what is no UTF-8 in it is found out where it is read."""
    return raw.decode(errors="surrogateescape")


def _uri(path: Path, *, is_copy: bool) -> str:
    return f"file:{quote(str(path))}?mode={'rw' if is_copy else 'ro&immutable=1'}"


@contextmanager
def _undisturbed(path: Path) -> Generator[Path]:
    """Yield the file itself, or a copy of it and its journals where it has some."""
    journals = [name for name in _JOURNALS if _size(Path(f"{path}{name}"))]
    if not journals:
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy.db")
        for name in ("", *journals):
            _copy(Path(f"{path}{name}"), Path(f"{copy}{name}"))
        yield copy


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy(source: Path, target: Path) -> None:
    descriptor = open_regular(str(source), os.O_RDONLY, str(source))
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        if os.fstat(file.fileno()).st_size > COPY_BYTES:
            raise InvalidMessage(
                f"{source.name} has more than {COPY_BYTES:,} bytes, and a journal is beside it; close "
                "the program that uses it, or run `pragma wal_checkpoint(truncate)` on it, then import"
            )
        shutil.copyfileobj(file, copy, 1 << 20)


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """Return the tables that are plain ones; from then on the connection may only select."""
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA query_only = ON")
        named = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 LIMIT ?",
            (TABLES,),
        ).fetchall()
        tables = {
            str(name): tuple(
                str(column) for (column,) in connection.execute(_COLUMNS, (name,)).fetchall()
            )
            for (name,) in named
        }
    except sqlite3.Error as error:
        raise InvalidMessage(f"the SQLite file cannot be read: {error}") from error
    connection.set_authorizer(_only_selects)
    return tables


_COLUMNS: Final = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0"
"""Without the columns that are computed: those run what the schema says."""


def _only_selects(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
