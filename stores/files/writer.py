"""The one writer of a files log: takes the lock, repairs what a crash has left, appends and syncs.

What it does after a failed write or sync follows from how little the operating system promises. A
failed write may have left a part: it is cut off, and nothing was stored. A failed sync leaves pages
that are marked clean and may not be on the disk, so repeating the sync proves nothing. The outcome is
unknown; before anything else, the bytes are read back, written again in place, and synced.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from eventlog.errors import Indeterminate, StoreUnavailable
from eventlog.filesystem import replace_file
from eventlog.stores.files.errors import mapped
from eventlog.stores.files.frames import HEADER_BYTES
from eventlog.stores.files.segments import End
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    import threading

    from eventlog.filesystem import File, FileLock, FileTree
    from eventlog.stores.files.checksum import Checksum
    from eventlog.stores.files.index import Index
    from eventlog.stores.files.recovery import Batch
    from eventlog.stores.files.segments import Segments

__all__ = ["Writer"]


class Writer:
    """The end of the log, open to append to; exists while the process holds the lock."""

    def __init__(
        self,
        files: FileTree,
        folder: str,
        segments: Segments,
        index: Index,
        lock: FileLock,
        guard: threading.RLock,
        *,
        segment_bytes: int,
        syncs: bool,
    ) -> None:
        self._files = files
        self._folder = folder
        self._segments = segments
        self._index = index
        self._lock = lock
        self._guard = guard
        self._segment_bytes = segment_bytes
        self._syncs = syncs
        self._file: File | None = None
        self._sure = False
        """Whether `make_sure` has completed since this process became the writer."""

    def make_sure(self, *, alone: bool) -> None:
        """Prepare the log for the next batch: everything is known, and nothing is torn.

        ``alone`` if nobody else can have written since the last time.
        """
        index = self._index
        if alone and self._sure and index.unproven is None:
            return
        self._sure = False
        with self._guard:
            index.catch_up()
        if index.named != index.end.segment:
            # The process that created the segment may have been killed before it synced the name.
            self._files.sync_folder(self._segments.folder)
            index.named = index.end.segment
        self._cut_torn()
        if index.unproven is not None:
            self._write_again(index.unproven)
            index.unproven = None
        index.in_doubt = False
        self._sure = True

    def _cut_torn(self) -> None:
        """Copy a torn tail to quarantine, and cut it off."""
        end, torn = self._index.end, self._index.torn
        if not torn:
            return
        segment = self._segments.get(end.segment)
        kept = os.path.join("quarantine", f"{end.segment:010d}-{end.offset}.torn")
        replace_file(self._files, kept, segment.view.read_at(end.offset, torn))
        self._files.sync_folder(os.path.dirname(kept))
        self._open().truncate(end.offset)
        self._open().sync()
        self._index.torn = 0
        log_fact(
            logging.WARNING,
            "torn_tail_cut",
            segment=segment.path,
            offset=end.offset,
            size=torn,
            kept=self._files.shown(kept),
        )

    def _write_again(self, unproven: End) -> None:
        """Rewrite and sync the bytes that may not be on the disk."""
        end = self._index.end
        for number in range(unproven.segment, end.segment + 1):
            segment = self._segments.get(number)
            start = unproven.offset if number == unproven.segment else HEADER_BYTES
            stop = end.offset if number == end.segment else segment.view.size()
            if start < stop:
                file = self._files.open(self._segments.name(number))
                try:
                    file.overwrite(start, segment.view.read_at(start, stop - start))
                    file.sync()
                finally:
                    file.close()

    def begin(self, size: int) -> tuple[End, Checksum, int]:
        """Return the place for a batch of about this size, with the checksum and its salt."""
        end = self._index.end
        if end.offset > HEADER_BYTES and end.offset + size > self._segment_bytes:
            log_id = self._segments.get(end.segment).header.log_id
            end = self._segments.create(end.segment + 1, log_id, end.position, end.batch)
            with self._guard:
                self._index.end = end
                self._index.named = end.segment
            self.close_file()
        segment = self._segments.get(end.segment)
        return end, segment.checksum, segment.header.salt

    def store(self, data: bytes, batch: Batch, end: End) -> None:
        """Write a batch at the end, sync it and add it to the index; the log then ends at ``end``.

        Raises `StoreUnavailable` if nothing was stored, `Indeterminate` if that is unknown. If any
        other exception ends this half-way, the outcome is unknown too, and is found out later.
        """
        begun = self._index.end
        try:
            self._write(data, begun)
            with self._guard:
                self._index.take_in(batch, end)
                self._index.durable = end
        except StoreUnavailable:
            raise
        except BaseException:
            self._index.unproven = begun
            self._index.in_doubt = True
            self.close_file()
            raise

    def _write(self, data: bytes, begun: End) -> None:
        try:
            file = self._open()
        except OSError as error:  # Nothing was written.
            raise mapped(error, self._folder) from error
        try:
            file.append(data)
        except OSError as error:
            self._take_back(begun, error)
            raise mapped(error, self._folder) from error
        if self._syncs:
            try:
                file.sync()
            except OSError as error:
                raise Indeterminate(f"{self._folder}: the sync failed ({error})") from error

    def _take_back(self, begun: End, error: OSError) -> None:
        """Cut off the rest of a failed write."""
        try:
            self._open().truncate(begun.offset)
        except OSError:
            raise Indeterminate(f"{self._folder}: the write failed ({error})") from error

    def _open(self) -> File:
        if self._file is None:
            self._file = self._files.open(self._segments.name(self._index.end.segment))
        return self._file

    def close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def close(self) -> None:
        """Release the lock."""
        self.close_file()
        self._lock.release()
