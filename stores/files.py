"""The files store: one log in plain files, durable against power loss, written by one process.

Appending is one write and one sync for each batch, at the end of the last segment. Reading takes no
lock and changes nothing: any number of processes read while one writes. Whoever writes first becomes
the writer: it takes the lock, cuts a torn tail off, and keeps the lock until it closes; with
``?writers=many`` it keeps it for one batch at a time, so that processes can take turns.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from eventlog.errors import (
    CorruptLog,
    EventLogError,
    InvalidArgument,
    StoreUnavailable,
    UnsupportedStore,
    VersionConflict,
)
from eventlog.filesystem import LocalFiles
from eventlog.records import (
    ANY,
    EMPTY_HEAD,
    START,
    Append,
    Appended,
    Durability,
    Expected,
    Head,
    Position,
    Record,
)
from eventlog.stores.files_batch import Checks, estimated_size, frames_of
from eventlog.stores.files_blobs import BlobFiles
from eventlog.stores.files_check import findings, torn_tails
from eventlog.stores.files_errors import mapped_errors
from eventlog.stores.files_frames import FORMAT, encode_entries
from eventlog.stores.files_index import BEGINNING, Index
from eventlog.stores.files_pages import CacheDamaged
from eventlog.stores.files_recovery import Stored
from eventlog.stores.files_segments import End, Segments, place_of
from eventlog.stores.files_frames import Body
from eventlog.stores.files_writer import Writer
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from eventlog.filesystem import FileSystem
    from eventlog.identifiers import EventId
    from eventlog.store import Blob, Finding

__all__ = ["FilesStore", "open_store"]

Answer = TypeVar("Answer")

PAGE: Final = 512
"""Records per page of a read."""

POLL_SECONDS: Final = 0.05
"""How often a waiting reader looks for records of another process."""

LOCK_POLL_SECONDS: Final = 0.002
"""How often a process that waits for the lock tries to take it."""

SEGMENT_BYTES: Final = 128 << 20
"""Size at which the next segment begins."""

_PARTS: Final = ("blobs", "index", "lock", "quarantine", "segments")
_SYNCHRONOUS: Final[dict[str, Durability]] = {"off": "process", "full": "power"}


def open_store(url: str, location: str, options: dict[str, str]) -> FilesStore:
    """Open ``files:///folder``; the options are those of `FilesStore`."""
    allowed = {"mode", "writers", "synchronous", "busy_timeout", "segment_bytes"}
    if options.keys() - allowed or not location:
        raise InvalidArgument(
            f"{url}: write files:///folder, with ?mode=ro, ?writers=many, ?synchronous=off, "
            "?busy_timeout=SECONDS or ?segment_bytes=NUMBER if need be"
        )
    try:
        busy_timeout = float(options.get("busy_timeout", "5"))
        segment_bytes = int(options.get("segment_bytes", SEGMENT_BYTES))
    except ValueError:
        raise InvalidArgument(f"{url}: busy_timeout and segment_bytes take numbers") from None
    return FilesStore(
        location,
        mode=options.get("mode", "rw"),
        writers=options.get("writers", "one"),
        synchronous=options.get("synchronous", "full"),
        busy_timeout=busy_timeout,
        segment_bytes=segment_bytes,
    )


class FilesStore:
    """A log in one folder; see `eventlog.store.Store` for the contract.

    ``mode`` is ``rw`` or ``ro``, which never writes; ``writers`` is ``one``, which keeps the lock,
    or ``many``, which takes turns; ``synchronous`` is ``full``, or ``off`` to trade power safety for
    speed; ``busy_timeout`` is how many seconds a write waits for another process's.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        mode: str = "rw",
        writers: str = "one",
        synchronous: str = "full",
        busy_timeout: float = 5.0,
        segment_bytes: int = SEGMENT_BYTES,
        files: FileSystem | None = None,
    ) -> None:
        _check_option("mode", mode, ("rw", "ro"))
        _check_option("writers", writers, ("one", "many"))
        _check_option("synchronous", synchronous, tuple(_SYNCHRONOUS))
        self.folder = os.fspath(folder)
        self.durability: Durability = _SYNCHRONOUS[synchronous]
        self._reads_only = mode == "ro"
        self._takes_turns = writers == "many"
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._segment_bytes = segment_bytes
        self._files = LocalFiles() if files is None else files
        self._closed = False
        self._writer: Writer | None = None
        self._index: Index | None = None
        self._begin_unlocked()
        self._blobs = BlobFiles(self._files, self._path("blobs"))
        self._segments = Segments(self._files, self._path("segments"))
        with mapped_errors(self.folder):
            self._refuse_foreign()
            self._find()
        _open_stores.add(self)

    def _begin_unlocked(self) -> None:
        self._write_lock = threading.RLock()
        self._guard = threading.RLock()
        self._news = threading.Condition()

    def _path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def _refuse_foreign(self) -> None:
        """Raise `UnsupportedStore` for a folder that is not a log's."""
        try:
            names = self._files.names(self.folder)
        except FileNotFoundError:
            if self._reads_only:
                raise
            return
        except NotADirectoryError:
            raise UnsupportedStore(
                f"{self.folder} is a file; a files log is a folder, choose another path"
            ) from None
        foreign = [name for name in names if name not in _PARTS]
        if foreign:
            raise UnsupportedStore(
                f"{self.folder} is not a log of eventlog: it has {foreign[0]!r} in it; choose an "
                "empty folder"
            )

    def _find(self) -> Index | None:
        """Return the index, once there is a log to have one."""
        if self._index is None and self._is_begun():
            self._index = Index(
                self._files,
                self._path("index"),
                self._segments,
                self._segments.get(1).header.log_id,
                syncs=self._synchronous != "off",
            )
        return self._index

    def _is_begun(self) -> bool:
        if self._segments.numbers():
            return True
        try:
            runs = self._files.names(self._path("index"))
        except FileNotFoundError:
            return False
        if runs:
            raise CorruptLog(
                f"{self.folder} was a log: it has an index and no segment; restore the segments from "
                "a backup"
            )
        return False

    # ---- writing ------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Generator[tuple[Writer, Index], None, None]:
        """Make this process the writer, for good or for one turn."""
        with self._write_lock:
            self._refuse_if_closed()
            with mapped_errors(self.folder):
                alone = self._writer is not None
                writer = self._writer or self._become_writer()
                index = self._index
                assert index is not None
                try:
                    writer.make_sure(alone=alone)
                    yield writer, index
                    if index.is_full:
                        self._flush(index)
                finally:
                    if self._takes_turns:
                        self._end_turn(writer)

    def _flush(self, index: Index) -> None:
        """Store the index, which is a cache: if that fails the next opening reads more of the log."""
        try:
            with self._guard:
                index.flush()
        except OSError as error:
            log_fact(logging.WARNING, "files_index_not_stored", folder=self.folder, error=str(error))

    def _end_turn(self, writer: Writer) -> None:
        """Let the next process write; what this one was unsure of, it has to look at again."""
        self._writer = None
        writer.close()

    def _become_writer(self) -> Writer:
        if self._reads_only:
            raise StoreUnavailable(
                f"{self.folder} was opened with mode=ro; open it without to write to it"
            )
        self._make_folders()
        lock = self._files.lock(self._path("lock"))
        deadline = time.monotonic() + self._busy_timeout
        while lock is None:
            if time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"{self.folder} is being written by another process, which keeps its lock; "
                    "nothing was stored, write through that process or end it"
                )
            time.sleep(LOCK_POLL_SECONDS)
            lock = self._files.lock(self._path("lock"))
        try:
            index = self._made()
            self._writer = Writer(
                self._files,
                self.folder,
                self._segments,
                index,
                lock,
                self._guard,
                segment_bytes=self._segment_bytes,
                syncs=self._synchronous != "off",
            )
        except BaseException:
            lock.release()
            raise
        return self._writer

    def _make_folders(self) -> None:
        """Make the folders that are missing, each durable before anything is put into it."""
        if self._index is not None:
            return
        parent = os.path.dirname(os.path.abspath(self.folder))
        wanted = [self.folder, *(self._path(name) for name in _PARTS if name != "lock")]
        for path in wanted:
            if not self._files.is_folder(path):
                try:
                    self._files.make_folder(path)
                except FileExistsError:
                    pass
            self._files.sync_folder(parent if path == self.folder else self.folder)

    def _made(self) -> Index:
        """Return the index of the log, which is begun if there is none; under the lock."""
        with self._guard:
            index = self._find()
            if index is None:
                self._segments.create(1, os.urandom(16), BEGINNING.position, BEGINNING.batch)
                index = self._find()
                assert index is not None
            return index

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        if not batch:
            return []
        with self._writing() as (writer, index):

            def check() -> tuple[Checks, list[Appended | EventLogError]]:
                checks = Checks(index)
                return checks, checks.run(batch)

            with self._guard:
                checks, answers = self._trusted(check)
            if checks.accepted:
                size = sum(map(estimated_size, checks.accepted))
                data, stored, end = frames_of(checks.accepted, *writer.begin(size))
                writer.store(data, stored, end)
        self._tell()
        return answers

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        with self._writing() as (writer, _):
            begin, checksum, salt = writer.begin(0)
            data = encode_entries(entries, checksum, salt, begin.batch, begin.position)
            end = End(begin.segment, begin.offset + len(data), begin.position, begin.batch + 1)
            body = Body([], list(entries))
            writer.store(data, [Stored(place_of(begin.segment, begin.offset), body)], end)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        with self._writing():
            revision = self._blobs.revision(key)
            if expected not in (ANY, revision):
                raise VersionConflict(key, int(expected), revision)
            self._blobs.put(key, data, revision + 1)
            return revision + 1

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    # ---- reading ------------------------------------------------------------------------------

    def _asked(self, question: Callable[[Index], Answer], default: Answer) -> Answer:
        """Ask the index, which is up to date then; ``default`` while there is no log."""
        self._refuse_if_closed()
        with mapped_errors(self.folder):
            self._settle()
            with self._guard:
                index = self._find()
                if index is None:
                    return default
                return self._trusted(lambda: self._up_to_date(index, question))

    def _settle(self) -> None:
        """Before anything is read after a sync that failed: find out what is stored."""
        if self._writer is not None and self._index is not None and self._index.unproven:
            with self._write_lock:
                if self._writer is not None:
                    self._writer.make_sure(alone=False)

    def _up_to_date(self, index: Index, question: Callable[[Index], Answer]) -> Answer:
        if self._writer is None:
            index.catch_up()
        return question(index)

    def _trusted(self, question: Callable[[], Answer]) -> Answer:
        """Answer from the index; once more where it turns out to be damaged, from a new one."""
        try:
            return question()
        except CacheDamaged as error:
            assert self._index is not None
            self._index.start_over(error)
            return question()

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Record]:
        low, high, left = after, until, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self._page(stream, low, high, size, reverse=reverse)
            yield from page
            if len(page) < size:
                return
            if left is not None:
                left -= len(page)
            if reverse:
                high = page[-1].version - 1
            else:
                low = page[-1].version

    def _page(
        self, stream: str, after: int, until: int | None, size: int, *, reverse: bool
    ) -> list[Record]:
        def places(index: Index) -> tuple[int, list[int]]:
            last = index.head(stream).version
            high = last if until is None else min(until, last)
            low = after
            if reverse:
                low = max(low, high - size)
            else:
                high = min(high, low + size)
            return low, index.places(stream, low, high) if high > low else []

        low, found = self._asked(places, (after, []))
        with mapped_errors(self.folder):
            records = self._records(stream, low + 1, found)
        return records[::-1] if reverse else records

    def _records(self, stream: str, version: int, places: Sequence[int]) -> list[Record]:
        """Read records of consecutive versions, several of which may be in one frame."""
        records: list[Record] = []
        at, frame = -1, Body([], [])
        for number, place in enumerate(places, version):
            if place != at:
                at, frame = place, self._segments.at(place, stream, number)
            records.append(frame.records[number - frame.records[0].version])
        return records

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        begun = self._asked(lambda index: (index.place_before(after + 1), index.end), None)
        left = -1 if limit is None else limit
        if begun is None or left == 0:
            return
        place, end = begun
        wanted = frozenset(types)
        with mapped_errors(self.folder):
            for at, frame, body in self._segments.frames(place, end):
                if frame.position + frame.count <= after + 1:
                    continue
                for record in self._segments.body(at, frame, body).records:
                    if record.position > after and (not wanted or record.type in wanted):
                        yield record
                        left -= 1
                        if left == 0:
                            return

    def head(self, stream: str) -> Head:
        return self._asked(lambda index: index.head(stream), EMPTY_HEAD)

    def tip(self) -> Position:
        return self._asked(lambda index: Position(index.records), START)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        found = self._asked(lambda index: index.stored(stream, ids), {})
        return {event_id: found[event_id] for event_id in ids if event_id in found}

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        low, left = start, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self._scan_page(low, end, size)
            yield from page
            if len(page) < size:
                return
            if left is not None:
                left -= len(page)
            low = page[-1][0] + "\0"

    def _scan_page(self, start: str, end: str, size: int) -> list[tuple[str, bytes]]:
        return self._asked(lambda index: index.entries(start, end, size), [])

    def wait(self, after: Position, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            with self._news:
                if self.tip() > after:
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._news.wait(min(left, POLL_SECONDS))

    def get_blob(self, key: str) -> Blob | None:
        self._refuse_if_closed()
        with mapped_errors(self.folder):
            return self._blobs.get(key)

    # ---- the whole ----------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        self._refuse_if_closed()
        with mapped_errors(self.folder), self._guard:
            index = self._find()
            if index is None:
                return []
            return self._trusted(lambda: findings(index, self._segments, self._blobs))

    def settings(self) -> dict[str, str]:
        self._refuse_if_closed()
        with mapped_errors(self.folder), self._guard:
            index = self._find()
            settings = {
                "folder": os.path.abspath(self.folder),
                "format": str(FORMAT),
                "synchronous": self._synchronous,
                "writers": "none: opened to read" if self._reads_only else self._writers(),
            }
            if index is not None:
                last = self._segments.get(index.end.segment)
                settings |= {
                    "checksum": last.checksum.name,
                    "records": f"{index.records:,}",
                    "segments": f"{index.end.segment:,} of up to {self._segment_bytes:,} bytes",
                    "index": f"{len(index.runs)} runs, {index.tail.records:,} records behind them",
                    "torn tails": torn_tails(index, self._files, self._path("quarantine")),
                }
            return settings

    def _writers(self) -> str:
        return "many, one at a time" if self._takes_turns else "one"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self.folder} is closed; open the log again")

    def reopen_after_fork(self) -> None:
        """Nothing is left to do: what is said at `pause_for_fork` was done."""

    def pause_for_fork(self) -> None:
        """Wait for what is under way, so that the child gets a state that is whole."""
        self._write_lock.acquire()
        self._guard.acquire()

    def resume_after_fork(self) -> None:
        """Let the parent go on: it is the writer still, if it was."""
        self._guard.release()
        self._write_lock.release()

    def begin_after_fork(self) -> None:
        """Let the child go on as a reader, with locks of its own.

        The file lock belongs to parent and child together until one of them lets go of its copy,
        and so it stays the parent's alone.
        """
        self._begin_unlocked()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def close(self) -> None:
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            _open_stores.discard(self)
            writer, self._writer = self._writer, None
            try:
                if writer is not None and self._index is not None and not self._index.unproven:
                    self._flush(self._index)
            finally:
                self._release(writer)

    def _release(self, writer: Writer | None) -> None:
        if writer is not None:
            writer.close()
        if self._index is not None:
            self._index.close()
        self._segments.close()

    def __repr__(self) -> str:
        return f"<FilesStore in {self.folder}>"


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidArgument(f"{name}={value!r}: choose one of {', '.join(allowed)}")


_open_stores: weakref.WeakSet[FilesStore] = weakref.WeakSet()
_paused_stores: list[FilesStore] = []


def _before_fork() -> None:
    for store in list(_open_stores):
        store.pause_for_fork()
        _paused_stores.append(store)


def _after_fork_in_parent() -> None:
    while _paused_stores:
        _paused_stores.pop().resume_after_fork()


def _after_fork_in_child() -> None:
    while _paused_stores:
        _paused_stores.pop().begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
