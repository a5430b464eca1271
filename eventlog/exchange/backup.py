"""Back a log up into one local file, which is a SQLite log of its own.

A log in SQLite is copied page by page, in one read transaction. Every other log is copied record by
record up to its present end, with its large values, and each record is checked against its hash on the
way. Both are prefixes of the log's order, whatever is written meanwhile. The backup gets a new log id,
so that checkpoints of followers of the original are refused by what is restored from it.

The file gets its name once it is complete and synced. Before that it is called ``NAME.RANDOM.new``.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote

from eventlog.argument_checks import checked_path
from eventlog.engine.checkpoints import ID_KEY
from eventlog.engine.door import Door
from eventlog.engine.listings import Selection, session_ids
from eventlog.engine.opening import open_store
from eventlog.errors import (
    FolderUnavailable,
    Indeterminate,
    InvalidArgument,
    LogClosed,
    StoreUnavailable,
)
from eventlog.exchange.copying import copy_log
from eventlog.filesystem import LocalFiles
from eventlog.records import START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from eventlog.records import Position, Record
    from eventlog.store import Store

__all__ = ["Backup", "BackupReport"]

Advance: TypeAlias = Callable[[int, int], object]
"""Called with what is done and what there is in all: pages of a SQLite log; else records, and 0, since
nobody has counted them."""

_BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""What SQLite may have beside a file."""

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
"""The errors of a file system without hard links."""


class BackupReport(NamedTuple):
    """What a backup has."""

    path: str
    log_id: str
    """The id of the log in the file, which no other log has."""
    sessions: int
    records: int
    bytes: int


class Backup:
    """One backup; `run` makes it, and `give_up` ends it from another thread."""

    def __init__(
        self, door: Door, path: str | PathLike[str], advance: Advance = lambda done, total: None
    ) -> None:
        self._door = door
        self._text = checked_path("the backup", path)
        self._folder, self._name = os.path.split(os.path.abspath(self._text))  # noqa: PTH100 - a link stays one
        self._advance = advance
        self._given_up = Event()

    def give_up(self) -> None:
        """Let `run` raise `CancelledError` soon, and leave nothing behind."""
        self._given_up.set()

    def run(self) -> BackupReport:
        """Make the backup; see `eventlog.log.Log.backup`."""
        self._refuse_what_is_there()
        try:
            return self._written()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FolderUnavailable(
                self._folder, f"{self._name}: {reason}", "name another file"
            ) from error

    def _refuse_what_is_there(self) -> None:
        if LocalFiles().kind(f"{self._folder}/{self._name}") is not None:
            raise InvalidArgument(f"{self._text} is there already; name another file")

    def _written(self) -> BackupReport:
        files = LocalFiles().under(self._folder)
        drawn = f"{self._name}.{secrets.token_hex(8)}.new"
        files.create(drawn).close()
        temporary = f"{self._folder}/{drawn}"
        try:
            self._make_as_private(temporary)
            self._fill(temporary)
            report = self._finish(temporary)
            self._publish(temporary)
        finally:
            for suffix in _BESIDE:
                with suppress(FileNotFoundError):
                    Path(temporary + suffix).unlink()
        files.sync_folder("")
        return report

    def _make_as_private(self, temporary: str) -> None:
        """Let nobody read the backup who may not read the log, if that is in local files."""
        store = self._door.inner
        place = getattr(store, "path", None) or getattr(store, "folder", None)
        with suppress(OSError, TypeError, ValueError):
            allowed = Path(place or "").stat().st_mode & 0o666
            Path(temporary).chmod(Path(temporary).stat().st_mode & allowed | 0o600)

    def _fill(self, temporary: str) -> None:
        pages = cast(
            "Callable[[str, Advance], None] | None", getattr(self._door.inner, "backup", None)
        )
        if pages is not None:
            self._door.call(pages, temporary, self._advanced)
            return
        with closing(_opened(temporary, "?synchronous=off")) as target:
            source = _UpTo(self._door, self._door.tip())
            try:
                copy_log(
                    cast("Store", source), target, advance=lambda done, at: self._advanced(done, 0)
                )
            except Indeterminate as error:  # Whatever became of it is thrown away.
                raise StoreUnavailable(
                    f"{self._text} could not be written; free some space, and back up again"
                ) from error

    def _advanced(self, done: int, total: int) -> None:
        if self._given_up.is_set():
            raise CancelledError
        if self._door.is_shut:
            raise LogClosed
        self._advance(done, total)

    def _finish(self, temporary: str) -> BackupReport:
        """Give the copy an id, and sync it; what it has is counted in the copy itself."""
        log_id = secrets.token_hex(16)
        with closing(_opened(temporary)) as copy:
            copy.put_blob(ID_KEY, log_id.encode())
            records = int(copy.tip())
            sessions = sum(1 for _ in session_ids(Door(copy), Selection()))
        with Path(temporary).open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        return BackupReport(self._text, log_id, sessions, records, size)

    def _publish(self, temporary: str) -> None:
        """Give the file its name, unless another file has it by now."""
        path = Path(self._folder, self._name)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise InvalidArgument(f"{self._text} is there already; name another file") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._refuse_what_is_there()
            Path(temporary).rename(path)


def _opened(path: str, options: str = "") -> Store:
    return open_store(f"sqlite:///{quote(path)}{options}")


class _UpTo:
    """A log as it was when its end was looked at: later records are not in it."""

    def __init__(self, door: Door, end: Position) -> None:
        self._door = door
        self._end = end

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        records = self._door.read_all(after=after, types=types, limit=limit)
        return takewhile(lambda record: record.position <= self._end, records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)
