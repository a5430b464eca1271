"""The files store: one log in plain files, durable against power loss, written by one process.

Appending a batch is one write and one sync, at the end of the last segment. Reading takes no lock and
changes nothing: any number of processes read while one writes. The first process that writes becomes
the writer: it takes the lock, cuts off a torn tail, and keeps the lock until it closes. With
``?writers=many`` it takes the lock for one batch at a time, so that processes can take turns.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from eventlog.errors import (
    CorruptLog,
    EventLogError,
    InvalidArgument,
    VersionConflict,
)
from eventlog.filesystem import LocalFiles, permissions_named
from eventlog.presence import Presence
from eventlog.store import (
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
    Wakeups,
    paged,
)
from eventlog.store_url import public_url
from eventlog.stores.files.access import Access, Settings
from eventlog.stores.files.batch import Checks, estimated_size, frames_of
from eventlog.stores.files.blobs import BlobFiles
from eventlog.stores.files.check import findings, torn_tails
from eventlog.stores.files.errors import mapped_errors
from eventlog.stores.files.frames import FORMAT, Body, encode_entries
from eventlog.stores.files.index import Index
from eventlog.stores.files.recovery import Stored
from eventlog.stores.files.segments import End, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.filesystem import FileSystem
    from eventlog.store import Blob, EventId, Finding

__all__ = ["FilesStore", "open_store"]

Bounds = tuple[int, int | None]
"""The versions to read, ``after < version <= until``; None means up to the last."""

POLL_SECONDS: Final = 0.05
"""How often a waiting reader checks for records of another process."""

SEGMENT_BYTES: Final = 128 << 20
"""Size at which the next segment begins."""

_SYNCHRONOUS: Final[dict[str, Durability]] = {"off": "process", "full": "power"}


def open_store(url: str, location: str, options: dict[str, str]) -> FilesStore:
    """Open ``files:///folder``; the options are those of `FilesStore`."""
    allowed = {"mode", "writers", "synchronous", "busy_timeout", "segment_bytes", "permissions"}
    if options.keys() - allowed or not location:
        raise InvalidArgument(
            f"{public_url(url)}: write files:///folder, with ?mode=ro, ?writers=many, "
            "?synchronous=off, ?busy_timeout=SECONDS, ?segment_bytes=NUMBER or "
            "?permissions=0660 if need be"
        )
    try:
        busy_timeout = float(options.get("busy_timeout", "5"))
        segment_bytes = int(options.get("segment_bytes", SEGMENT_BYTES))
    except ValueError:
        raise InvalidArgument(
            f"{public_url(url)}: busy_timeout and segment_bytes take numbers"
        ) from None
    return FilesStore(
        location,
        mode=options.get("mode", "rw"),
        writers=options.get("writers", "one"),
        synchronous=options.get("synchronous", "full"),
        busy_timeout=busy_timeout,
        segment_bytes=segment_bytes,
        permissions=permissions_named(options.get("permissions"), url),
    )


class FilesStore:
    """A log in one folder; see `eventlog.store.Store` for the contract.

    ``mode`` is ``rw``, or ``ro``, which never writes. ``writers`` is ``one``, which keeps the lock, or
    ``many``, which takes turns. ``synchronous`` is ``full``, or ``off``, which trades power safety for
    speed. ``busy_timeout`` is how many seconds a write waits for another process. ``permissions`` is
    the mode of new files, such as ``0o660``; by default they are their owner's alone, but in a folder
    that existed before they take the folder's read and write bits for group and others.
    """

    reads_types = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        mode: str = "rw",
        writers: str = "one",
        synchronous: str = "full",
        busy_timeout: float = 5.0,
        segment_bytes: int = SEGMENT_BYTES,
        permissions: int | None = None,
        files: FileSystem | None = None,
    ) -> None:
        _check_option("mode", mode, ("rw", "ro"))
        _check_option("writers", writers, ("one", "many"))
        _check_option("synchronous", synchronous, tuple(_SYNCHRONOUS))
        self.folder = os.fspath(folder)
        self.durability: Durability = _SYNCHRONOUS[synchronous]
        self._mode, self._writers, self._synchronous = mode, writers, synchronous
        self.appends_briefly = writers == "one"
        self._wakeups = Wakeups(POLL_SECONDS)
        settings = Settings(
            reads_only=mode == "ro",
            takes_turns=writers == "many",
            syncs=synchronous != "off",
            busy_timeout=busy_timeout,
            segment_bytes=segment_bytes,
            permissions=permissions,
        )
        self._presence = Presence(self.folder) if files is None else None
        files = LocalFiles() if files is None else files
        self._access = access = Access(files, self.folder, settings)
        self._segments = access.segments
        self._blobs = BlobFiles(access.files, "blobs")

    # ---- writing ------------------------------------------------------------------------------

    @property
    def reads_only(self) -> bool:
        """Whether the store was opened to read."""
        return self._mode == "ro"

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        if not batch:
            return []
        with self._access.writing() as (writer, index):

            def check() -> tuple[Checks, list[Appended | EventLogError]]:
                checks = Checks(index)
                return checks, checks.run(batch)

            with self._access.guard:
                checks, answers = self._access.checked_query(check)
            if checks.accepted:
                size = sum(map(estimated_size, checks.accepted))
                data, stored, end = frames_of(checks.accepted, *writer.begin(size))
                writer.store(data, stored, end)
        self._wakeups.notify()
        return answers

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        with self._access.writing() as (writer, _):
            begin, checksum, salt = writer.begin(0)
            data = encode_entries(entries, checksum, salt, begin.batch, begin.position)
            end = End(begin.segment, begin.offset + len(data), begin.position, begin.batch + 1)
            body = Body([], list(entries))
            writer.store(data, [Stored(place_of(begin.segment, begin.offset), body)], end)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        with self._access.writing():
            revision = self._blobs.revision(key)
            if expected not in (ANY, revision):
                raise VersionConflict(key, int(expected), revision)
            self._blobs.put(key, data, revision + 1)
            return revision + 1

    # ---- reading ------------------------------------------------------------------------------

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        types: Sequence[str] = (),
    ) -> Iterator[Record]:
        def read_page(bounds: Bounds, size: int) -> tuple[list[Record], Bounds | None]:
            low, high = bounds
            page = self._page(stream, low, high, size, reverse=reverse)
            if len(page) < size:
                return page, None
            last = page[-1].version
            return page, (low, last - 1) if reverse else (last, high)

        if not types:
            return paged(read_page, (after, until), limit)
        every = paged(read_page, (after, until))
        return islice((record for record in every if record.type in types), limit)

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

        nothing: tuple[int, list[int]] = (after, [])
        low, found = self._access.query(places, nothing)
        with mapped_errors(self.folder):
            records = self._records(stream, low + 1, found)
        return records[::-1] if reverse else records

    def _records(self, stream: str, version: int, places: Sequence[int]) -> list[Record]:
        """Read records of consecutive versions; a frame may hold several."""
        records: list[Record] = []
        at, frame = -1, Body([], [])
        for number, place in enumerate(places, version):
            if place != at:
                at, frame = place, self._segments.at(place, stream, number)
            first = frame.records[0] if frame.records else None
            if first is None or first.stream != stream:
                raise CorruptLog(
                    f"session {stream!r}, version {number}: the record is not in the frame that the "
                    "index names; `eventlog verify` and `eventlog doctor` name what is wrong",
                    stream=stream,
                    version=number,
                )
            if not 0 <= number - first.version < len(frame.records):
                raise CorruptLog(
                    f"session {stream!r}: a frame has version {first.version} where version {number} "
                    "belongs; keep a copy of the folder, then restore it from a backup",
                    stream=stream,
                    version=number,
                )
            records.append(frame.records[number - first.version])
        return records

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        begun = self._access.query(lambda index: (index.place_before(after + 1), index.end), None)
        left = -1 if limit is None else limit
        if begun is None or left == 0:
            return
        place, end = begun
        wanted = frozenset(types)
        with mapped_errors(self.folder):
            for at, frame, body in self._segments.frames(place, end):
                if frame.position + frame.records <= after + 1:
                    continue
                for record in self._segments.body(at, frame, body).records:
                    if record.position > after and (not wanted or record.type in wanted):
                        yield record
                        left -= 1
                        if left == 0:
                            return

    def head(self, stream: str) -> Head:
        return self._access.query(lambda index: index.head(stream), EMPTY_HEAD)

    def tip(self) -> Position:
        return self._access.query(lambda index: Position(index.records), START)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        nothing: dict[bytes, int] = {}
        found = self._access.query(lambda index: index.stored(stream, ids), nothing)
        return {event_id: found[event_id] for event_id in ids if event_id in found}

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        def read_page(low: str, size: int) -> tuple[list[tuple[str, bytes]], str | None]:
            nothing: list[tuple[str, bytes]] = []
            page = self._access.query(lambda index: index.entries(low, end, size), nothing)
            return page, page[-1][0] + "\0" if len(page) == size else None

        return paged(read_page, start, limit)

    def wait(self, after: Position, timeout: float) -> bool:
        return self._wakeups.wait_beyond(after, self.tip, timeout)

    def get_blob(self, key: str) -> Blob | None:
        self._access.refuse_if_closed()
        with mapped_errors(self.folder):
            return self._blobs.get(key)

    # ---- the log as a whole -------------------------------------------------------------------

    def check(self) -> list[Finding]:
        nothing: list[Finding] = []
        return self._access.query(
            lambda index: findings(index, self._segments, self._blobs), nothing
        )

    def settings(self) -> dict[str, str]:
        writers = "many, one at a time" if self._writers == "many" else "one"
        settings = {
            "folder": os.path.abspath(self.folder),
            "format": str(FORMAT),
            "synchronous": self._synchronous,
            "writers": "none: opened to read" if self._mode == "ro" else writers,
        }
        nothing: dict[str, str] = {}
        return settings | self._access.query(self._engine, nothing)

    def _engine(self, index: Index) -> dict[str, str]:
        return {
            "checksum": self._segments.get(index.end.segment).checksum.name,
            "records": f"{index.records:,}",
            "segments": f"{index.end.segment:,}",
            "index": f"{len(index.runs)} runs, {index.tail.records:,} records after them",
            "torn tails": torn_tails(index, self._access.files, "quarantine"),
        }

    def reopen_after_fork(self) -> None:
        """Replace the lock for waiting by one that no thread holds; the rest was done at the fork."""
        self._wakeups = Wakeups(POLL_SECONDS)

    def presence(self) -> str | None:
        return None if self._presence is None else self._presence.name()

    def is_gone(self, presence: str) -> bool | None:
        return None if self._presence is None else self._presence.is_gone(presence)

    def close(self) -> None:
        if self._presence is not None:
            self._presence.end()
        self._access.close()

    def __repr__(self) -> str:
        return f"<FilesStore in {self.folder}>"


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidArgument(f"{name}={value!r}: choose one of {', '.join(allowed)}")
