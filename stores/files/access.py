"""Access to the files of a log: any number of readers, and one writer.

Reading takes no lock and changes nothing; each call first reads what other processes have written.
The first process that writes becomes the writer: it takes the lock, repairs what a crash has left,
and keeps the lock until it closes, or, if processes take turns, for one batch at a time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from eventlog.errors import CorruptLog, StoreUnavailable, UnsupportedStore
from eventlog.stores.files.errors import mapped_errors
from eventlog.stores.files.index import BEGINNING, Index
from eventlog.stores.files.index_pages import CacheDamaged
from eventlog.stores.files.segments import Segments
from eventlog.stores.files.writer import Writer
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from eventlog.filesystem import FileSystem, FileTree

__all__ = ["Access", "Settings"]

Answer = TypeVar("Answer")

LOCK_POLL_SECONDS: Final = 0.002
"""How often a process that waits for the lock tries to take it."""

PARTS: Final = ("blobs", "index", "lock", "quarantine", "segments")
"""The names in a log's folder."""


class Settings(NamedTuple):
    """The options with which a process opened a log."""

    reads_only: bool
    takes_turns: bool
    syncs: bool
    busy_timeout: float
    """Seconds that a write waits for another process's lock."""
    segment_bytes: int
    """The size at which the next segment begins."""
    permissions: int | None = None
    """The mode of new files; None for what the folder allows."""


class Access:
    """One process's access to the files of a log."""

    def __init__(self, files: FileSystem, folder: str, settings: Settings) -> None:
        self._machine = files
        self.files: FileTree = files.under(folder, settings.permissions)
        self.folder = folder
        self.segments = Segments(self.files, "segments")
        self._settings = settings
        self._closed = False
        self._named = False
        self._writer: Writer | None = None
        self._index: Index | None = None
        self._begin_unlocked()
        with mapped_errors(folder):
            self._refuse_foreign()
            self.find()
        _all.add(self)

    def _begin_unlocked(self) -> None:
        self._write_lock = threading.RLock()
        self.guard = threading.RLock()
        """Held while the index is used or changed; never during a write or a sync."""

    def _refuse_foreign(self) -> None:
        """Raise `UnsupportedStore` for a folder that is not a log's."""
        try:
            names = self.files.names("")
        except FileNotFoundError:
            if self._settings.reads_only:
                raise
            return
        except NotADirectoryError:
            raise UnsupportedStore(
                f"{self.folder} is a file; a files log is a folder, choose another path"
            ) from None
        foreign = [name for name in names if name not in PARTS]
        if foreign:
            raise UnsupportedStore(
                f"{self.folder} is not a log of eventlog: it has {foreign[0]!r} in it; choose an "
                "empty folder"
            )

    def find(self) -> Index | None:
        """Return the index, once there is a log to have one."""
        if self._index is None and self._is_begun():
            self._index = Index(
                self.files,
                "index",
                self.segments,
                self.segments.get(1).header.log_id,
                syncs=self._settings.syncs,
            )
        return self._index

    def _is_begun(self) -> bool:
        if self.segments.numbers():
            return True
        try:
            runs = self.files.names("index")
        except FileNotFoundError:
            return False
        if runs:
            raise CorruptLog(
                f"{self.folder} was a log: it has an index and no segment; restore the segments from "
                "a backup"
            )
        return False

    @contextmanager
    def writing(self) -> Generator[tuple[Writer, Index], None, None]:
        """Make this process the writer, until it closes or for one batch."""
        with self._write_lock:
            self.refuse_if_closed()
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
                    if self._settings.takes_turns:
                        self._end_turn(writer)

    def _flush(self, index: Index) -> None:
        """Store the index, which is a cache: if that fails the next opening reads more of the log."""
        try:
            with self.guard:
                self.checked_query(index.flush)
        except (OSError, CorruptLog) as error:
            log_fact(
                logging.WARNING, "files_index_not_stored", folder=self.folder, error=str(error)
            )

    def _end_turn(self, writer: Writer) -> None:
        """Release the lock, so that another process may write; this one reads the end again later."""
        self._writer = None
        writer.close()

    def _become_writer(self) -> Writer:
        if self._settings.reads_only:
            raise StoreUnavailable(
                f"{self.folder} was opened with mode=ro; open it without that to write"
            )
        self._make_folders()
        lock = self.files.lock("lock")
        deadline = time.monotonic() + self._settings.busy_timeout
        while lock is None:
            if time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"{self.folder} is being written by another process, which holds its lock; "
                    "nothing was stored, write through that process or end it"
                )
            time.sleep(LOCK_POLL_SECONDS)
            lock = self.files.lock("lock")
        try:
            index = self._made()
            self._sync_names()
            self._writer = Writer(
                self.files,
                self.folder,
                self.segments,
                index,
                lock,
                self.guard,
                segment_bytes=self._settings.segment_bytes,
                syncs=self._settings.syncs,
            )
        except BaseException:
            lock.release()
            raise
        return self._writer

    def _make_folders(self) -> None:
        """Create missing folders, each durable before anything is put into it."""
        if self._index is not None:
            return
        parent = os.path.dirname(os.path.abspath(self.folder))
        for path in ("", *(name for name in PARTS if name != "lock")):
            if not self.files.is_folder(path):
                with suppress(FileExistsError):  # Another process has created it.
                    self.files.make_folder(path)
            if path:
                self.files.sync_folder("")
            else:
                self._machine.sync_folder(parent)

    def _sync_names(self) -> None:
        """Sync the names of blobs, once: their last writer may have been killed between a rename and
        its sync. Files that were cut off before their rename are removed."""
        if not self._named:
            folders = [os.path.join("blobs", name) for name in self.files.names("blobs")]
            for folder in [*folders, "segments", "quarantine"]:
                for name in self.files.names(folder):
                    if name.endswith(".new"):
                        self.files.remove(os.path.join(folder, name))
                if folder in folders:
                    self.files.sync_folder(folder)
            self._named = True

    def _made(self) -> Index:
        """Return the index of the log, creating the log if there is none; under the lock."""
        with self.guard:
            index = self.find()
            if index is None:
                self.segments.create(1, os.urandom(16), BEGINNING.position, BEGINNING.batch)
                index = self.find()
                assert index is not None
            return index

    def query(self, question: Callable[[Index], Answer], default: Answer) -> Answer:
        """Query the index after bringing it up to date; return ``default`` if there is no log yet."""
        self.refuse_if_closed()
        with mapped_errors(self.folder):
            self._settle()
            with self.guard:
                index = self.find()
                if index is None:
                    return default
                return self.checked_query(lambda: self._up_to_date(index, question))

    def _settle(self) -> None:
        """After a write or sync that failed, find out what is stored before anything is read."""
        if self._index is not None and self._index.in_doubt:
            with self.writing():
                pass

    def _up_to_date(self, index: Index, question: Callable[[Index], Answer]) -> Answer:
        if self._writer is None:
            index.catch_up()
        return question(index)

    def checked_query(self, question: Callable[[], Answer]) -> Answer:
        """Answer from the index; if it is damaged, build a new one and answer from that."""
        try:
            return question()
        except CacheDamaged as error:
            assert self._index is not None
            self._index.start_over(error)
            return question()

    def refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self.folder} is closed; open the log again")

    # ---- forking and closing ------------------------------------------------------------------

    def pause_for_fork(self) -> None:
        """Wait for running calls, so that the child gets a consistent state."""
        self._write_lock.acquire()
        self.guard.acquire()

    def resume_after_fork(self) -> None:
        """Let the parent continue; if it was the writer, it still is."""
        self.guard.release()
        self._write_lock.release()

    def begin_after_fork(self) -> None:
        """Let the child continue as a reader, with new locks.

        Closing the child's copy of the locked file leaves the lock with the parent.
        """
        self._begin_unlocked()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Release the lock and the files; idempotent."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            _all.discard(self)
            writer, self._writer = self._writer, None
            try:
                if writer is not None and self._index is not None and not self._index.unproven:
                    self._flush(self._index)
            finally:
                if writer is not None:
                    writer.close()
                if self._index is not None:
                    self._index.close()
                self.segments.close()


_all: weakref.WeakSet[Access] = weakref.WeakSet()
_paused: list[Access] = []


def _before_fork() -> None:
    for access in list(_all):
        access.pause_for_fork()
        _paused.append(access)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume_after_fork()


def _after_fork_in_child() -> None:
    while _paused:
        _paused.pop().begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
