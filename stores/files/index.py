"""One process's index of a files log: runs for the older part, the tail for the newest.

Opening reads the checkpoint, which names the runs and how far they reach, and then the log after
that. Checkpoint and runs are caches: if they are missing or damaged, the log is read from its
beginning. Only the writer stores them; other processes keep the runs that they make in memory.
"""

from __future__ import annotations

import heapq
import json
import logging
import os
import zlib
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.filesystem import replace_file
from eventlog.store import EMPTY_HEAD, Head
from eventlog.stores.files.frames import HEADER_BYTES
from eventlog.stores.files.index_pages import CacheDamaged, PagedFile
from eventlog.stores.files.index_run import Run, RunContent, from_tail, merged, written
from eventlog.stores.files.index_tail import FLUSH_AT, Tail
from eventlog.stores.files.recovery import Scan
from eventlog.stores.files.segments import End
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.filesystem import FileTree
    from eventlog.stores.files.recovery import Batch
    from eventlog.stores.files.segments import Segments

__all__ = ["Index"]

MERGE_LIMIT: Final = 1 << 20
"""Records in the largest run: a larger one would take seconds to write. A log has one more run for
every multiple of this, and each look-up of an id searches all of them, a microsecond each."""

HEADS_LIMIT: Final = 65_536
"""The heads of this many streams are kept in memory; others are looked up again."""

CHECKPOINT: Final = "checkpoint"
BEGINNING: Final = End(1, HEADER_BYTES, 1, 1)


class Checkpoint(NamedTuple):
    """The index at the time of writing; valid for this log only."""

    covered: End
    """Where the runs end; up to there the log was synced."""
    runs: tuple[str, ...] = ()


class MemoryView:
    """A file that exists only in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def size(self) -> int:
        return len(self._data)

    def sync(self) -> None:
        """There is nothing to sync."""

    def close(self) -> None:
        """There is nothing to release."""


class Index:
    """The places of all records, ids and entries; every method runs under the store's lock."""

    def __init__(
        self,
        files: FileTree,
        folder: str,
        segments: Segments,
        log_id: bytes,
        *,
        syncs: bool,
    ) -> None:
        self._files = files
        self._folder = folder
        self._segments = segments
        self._log_id = log_id
        self._syncs = syncs
        self._heads: dict[str, Head] = {}
        self.runs: list[Run] = []
        self.torn = 0
        """Bytes after the end that are not a whole batch."""
        self.durable = BEGINNING
        """The place up to which the log is known to be synced: nothing before it can be torn."""
        self._begin(self._load())
        self.unproven: End | None = self.durable
        """The place from which bytes may be in memory only, because a sync failed."""
        self.in_doubt = False
        """Whether the outcome of this process's last batch is unknown."""
        self.named = 0
        """The newest segment whose name is known to be durable."""
        self.catch_up()
        if self.end == self.unproven:
            self.unproven = None

    def _begin(self, checkpoint: Checkpoint) -> None:
        for run in self.runs:
            run.close()
        self._checkpoint = checkpoint
        self._heads.clear()
        self.tail = Tail()
        self.end = checkpoint.covered
        self.durable = max(self.durable, checkpoint.covered)
        try:
            self.runs = [self._run(name) for name in checkpoint.runs]
        except (FileNotFoundError, CacheDamaged) as error:
            self.start_over(error)

    def start_over(self, error: Exception) -> None:
        """Drop the runs, which are damaged, and read the log from its beginning."""
        log_fact(logging.WARNING, "files_index_rebuilt", folder=self._folder, reason=str(error))
        self._begin(Checkpoint(BEGINNING))
        self.catch_up()

    # ---- following the log --------------------------------------------------------------------

    def catch_up(self) -> None:
        """Add what was stored since; raise `CorruptLog`."""
        scan = Scan(self._segments, self.end, self.durable, syncs=self._syncs)
        for batch in scan.batches():
            self.take_in(batch, scan.end)
            if self.is_full:
                self._keep_in_memory()
        self.end = self.durable = scan.end
        self.torn = scan.torn

    def take_in(self, batch: Batch, end: End) -> None:
        """Add a stored batch."""
        for place, (records, entries) in batch:
            self.tail.add(place, records, entries)
        self.end = end

    # ---- looking up ---------------------------------------------------------------------------

    def head(self, stream: str) -> Head:
        found = self.tail.heads.get(stream) or self._heads.get(stream)
        if found is None:
            found = self._head_in_runs(stream)
            if len(self._heads) >= HEADS_LIMIT:
                self._heads.clear()
            self._heads[stream] = found
        return found

    def _head_in_runs(self, stream: str) -> Head:
        for run in reversed(self.runs):
            found = run.head(stream)
            if found is not None:
                return found[1]
        return EMPTY_HEAD

    def stored(self, stream: str, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return the versions of those ids that the stream has; usually few."""
        found: dict[bytes, int] = {}
        tail = self.tail.streams.get(stream)
        if tail is not None and not tail.ids.keys().isdisjoint(ids):
            found = {event_id: tail.ids[event_id] for event_id in ids if event_id in tail.ids}
        for run in self.runs:
            for event_id in ids:
                for place in run.frames_with(event_id):
                    for record in self._segments.at(place, stream).records:
                        if record.event_id == event_id and record.stream == stream:
                            found[event_id] = record.version
        return found

    def places(self, stream: str, after: int, until: int) -> list[int]:
        """Return where the frames of the versions ``after < version <= until`` are."""
        places: list[int] = []
        for run in self.runs:
            places += run.places(stream, after, until)
        return places + self.tail.places(stream, after, until)

    def place_before(self, position: int) -> int:
        """Return a frame shortly before a position, from which to read on."""
        found = self.tail.mark_before(position)
        for run in reversed(self.runs):
            if found is not None:
                return found
            found = run.mark_before(position)
        return BEGINNING.place if found is None else found

    def entries(self, start: str, end: str, limit: int) -> list[tuple[str, bytes]]:
        """Return the first index entries with ``start <= key < end``."""
        low, high = start.encode(), end.encode()
        parts = [self.tail.changed(start, end)]
        parts += [run.entries(low, high) for run in reversed(self.runs)]
        # Of equal keys, the one from the first part comes first: that part is the newest.
        everything = heapq.merge(*parts, key=itemgetter(0))
        newest = (next(found) for _, found in groupby(everything, key=itemgetter(0)))
        there = ((key.decode(), value) for key, value in newest if value is not None)
        return list(islice(there, limit))

    @property
    def records(self) -> int:
        return self.end.position - 1

    @property
    def is_full(self) -> bool:
        """Whether the tail should become a run."""
        return self.tail.size >= FLUSH_AT

    # ---- keeping it ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Store the index, as the writer, so that the next opening need not read the log again.

        Another process may have stored its index meanwhile and removed runs that are known here;
        then begin with that one.
        """
        stored = self._load()
        if stored.covered.batch > self._checkpoint.covered.batch:
            self._begin(stored)
            self.catch_up()
        if self.end != self._checkpoint.covered:
            self._flush()

    def _flush(self) -> None:
        """Write tail and neighbouring smaller runs as one run, and a checkpoint that names it."""
        runs = list(self.runs)  # The index stays unchanged until the new run is stored.
        content = from_tail(self.tail)
        while runs and self._pays(runs[-1], content):
            older = runs.pop()
            content = merged(older.content(), content, oldest=not runs)
        name = f"{self.end.batch:020d}.run"
        self._write(name, written(content, self._log_id))
        runs.append(self._run(name))
        names = tuple(run.name for run in runs)
        self._store(Checkpoint(self.end, names))
        self._heads.update(self.tail.heads)
        self.runs, self.tail = runs, Tail()
        for unused in set(self._files.names(self._folder)) - {CHECKPOINT, *names}:
            self._files.remove(self._path(unused))

    @staticmethod
    def _pays(run: Run, content: RunContent) -> bool:
        """Return whether to merge a run: if it is in memory only, or no larger than the new one, so
        that a record is rewritten only as often as the log doubles."""
        together = run.records + content.records
        return run.name == "" or (run.records <= content.records and together <= MERGE_LIMIT)

    def _keep_in_memory(self) -> None:
        """Turn the tail into a run in memory: only the writer writes files."""
        runs = list(self.runs)
        content = from_tail(self.tail)
        while runs and runs[-1].name == "" and runs[-1].records <= content.records:
            older = runs.pop()
            content = merged(older.content(), content, oldest=not runs)
        view = MemoryView(written(content, self._log_id))
        runs.append(Run(PagedFile(view, "in memory"), self._log_id, ""))
        self._heads.update(self.tail.heads)
        self.runs, self.tail = runs, Tail()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _run(self, name: str) -> Run:
        path = self._path(name)
        return Run(PagedFile(self._files.view(path), self._files.shown(path)), self._log_id, name)

    def _write(self, name: str, data: bytes) -> None:
        replace_file(self._files, self._path(name), data)
        self._files.sync_folder(self._folder)

    def _store(self, checkpoint: Checkpoint) -> None:
        fields: dict[str, Any] = {
            "log": self._log_id.hex(),
            "covered": checkpoint.covered,
            "runs": checkpoint.runs,
        }
        text = json.dumps(fields).encode()
        self._write(CHECKPOINT, b"%08x\n%s\n" % (zlib.crc32(text), text))
        self._checkpoint = checkpoint

    def _load(self) -> Checkpoint:
        """Read the checkpoint; return an empty one if there is none or it is damaged."""
        try:
            data = self._files.read(self._path(CHECKPOINT))
            checksum, text, _ = data.split(b"\n")
            if int(checksum, 16) != zlib.crc32(text):
                raise ValueError("its checksum does not fit")
            fields = json.loads(text)
            if fields["log"] != self._log_id.hex():
                raise ValueError("it is of another log")
            return Checkpoint(End(*fields["covered"]), tuple(fields["runs"]))
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            path = self._files.shown(self._path(CHECKPOINT))
            log_fact(logging.WARNING, "files_checkpoint_ignored", path=path, reason=str(error))
        return Checkpoint(BEGINNING)

    def close(self) -> None:
        for run in self.runs:
            run.close()
