"""A bundle as a store: ``bundle:///case.zip``. It is only read, and needs no other log.

Sessions, versions, positions, hashes and values are those of the log that it is from; the index is
folded from the events when it is first asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from eventlog.audit.index_check import rebuilt_entries
from eventlog.errors import InvalidArgument, UnsupportedStore
from eventlog.exchange.bundle.format import Limits
from eventlog.exchange.bundle.reading import Bundle, read_store
from eventlog.records import EMPTY_HEAD, START, Head, Position
from eventlog.session.values import value_key
from eventlog.store import ANY, Blob
from eventlog.store_url import public_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventlog.identifiers import EventId
    from eventlog.records import Append, Durability, Expected, Record
    from eventlog.store import Finding

__all__ = ["BundleStore", "has_log", "open_store"]


def open_store(url: str, location: str, options: dict[str, str]) -> BundleStore:
    """Open ``bundle:///case.zip``; ``?max_bytes=`` raises how much of it is read."""
    if not location or options.keys() - {"max_bytes", "mode"}:
        raise InvalidArgument(
            f"{public_url(url)}: write bundle:///case.zip, with ?max_bytes=BYTES if need be"
        )
    limits = Limits()
    if "max_bytes" in options:
        try:
            most = int(options["max_bytes"])
        except ValueError:
            raise InvalidArgument(f"{public_url(url)}: max_bytes takes a number") from None
        limits = limits._replace(file=most, content=4 * most)
    return BundleStore(read_store(location, limits), location)


def has_log(url: str) -> bool | None:
    """Return None: whether a bundle is there, opening it tells."""
    return None


class BundleStore:
    """The sessions of a bundle; see `eventlog.store.Store` for the contract."""

    durability: Durability = "none"
    reads_only = True

    reads_types = True

    def __init__(self, bundle: Bundle, path: str = "") -> None:
        self.path = path
        self.redaction = bundle.redaction
        self._sessions = bundle.sessions
        self._ids: dict[str, dict[EventId, int]] = {}
        self._blobs = {
            value_key(session.session_id, digest): data
            for session in bundle.sessions.values()
            for digest, data in session.values.items()
        }
        self._entries: list[tuple[str, bytes]] | None = None

    def digests(self, stream: str) -> Mapping[int, tuple[bytes, bytes]]:
        """Return, of the redacted records of a session, the digests of what was taken out."""
        found = self._sessions.get(stream)
        return {} if found is None else found.digests

    def _records(self, stream: str) -> list[Record]:
        found = self._sessions.get(stream)
        return [] if found is None else found.records

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
        records = self._records(stream)
        versions = range(len(records))[max(0, after) : until]
        found = (records[place] for place in (reversed(versions) if reverse else versions))
        yield from islice((each for each in found if not types or each.type in types), limit)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        left = limit
        ordered = merge(
            *(each.records for each in self._sessions.values()), key=lambda record: record.position
        )
        for record in ordered:
            if left is not None and left <= 0:
                return
            if record.position > after and (not types or record.type in types):
                left = None if left is None else left - 1
                yield record

    def head(self, stream: str) -> Head:
        records = self._records(stream)
        if not records:
            return EMPTY_HEAD
        last = records[-1]
        return Head(last.version, last.hash, last.position, last.time)

    def tip(self) -> Position:
        ends = (each.records[-1].position for each in self._sessions.values())
        return max(ends, default=START)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        known = self._ids.get(stream)
        if known is None:
            known = {record.event_id: record.version for record in self._records(stream)}
            self._ids[stream] = known
        return {event_id: known[event_id] for event_id in ids if event_id in known}

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        if self._entries is None:
            entries: dict[str, bytes] = {}
            for stream in self._sessions:
                entries.update(rebuilt_entries(self, stream))
            self._entries = sorted(entries.items())
        low = bisect_left(self._entries, start, key=_key)
        high = bisect_left(self._entries, end, key=_key)
        yield from self._entries[low:high][:limit]

    def get_blob(self, key: str) -> Blob | None:
        data = self._blobs.get(key)
        return None if data is None else Blob(data, 1)

    def wait(self, after: Position, timeout: float) -> bool:
        return self.tip() > after

    def check(self) -> list[Finding]:
        return []

    def settings(self) -> dict[str, str]:
        settings = {"file": self.path, "mode": "read-only", "sessions": str(len(self._sessions))}
        return {**settings, "redaction": self.redaction} if self.redaction else settings

    def append(self, batch: Sequence[Append]) -> NoReturn:
        raise self._read_only()

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> NoReturn:
        raise self._read_only()

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> NoReturn:
        raise self._read_only()

    def _read_only(self) -> UnsupportedStore:
        return UnsupportedStore(
            f"{self.path or 'a bundle'} is only read; import it into a log to go on from there"
        )

    def reopen_after_fork(self) -> None:
        """Keep the copy that the child has got."""

    def close(self) -> None:
        """Release nothing: all of it is in memory."""


def _key(entry: tuple[str, Any]) -> str:
    return entry[0]
