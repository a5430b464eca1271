"""Stores that break the contract, each in one way; the suite must find all of them.

They are not run by themselves: ``test_alarm.py`` has the suite run over each, to prove that the
alarm rings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eventlog.errors import EventLogError, VersionConflict
from eventlog.records import ANY, START, Append, Appended, Expected, Head, Position, Record
from eventlog.stores.memory import MemoryStore
from eventlog.testing.conformance import StoreConformance


class OnlyUnique(MemoryStore):
    """Compares the expected version for uniqueness, so one that is too high goes through."""

    def _append(self, append: Append) -> Appended | EventLogError:
        actual = len(self._streams.get(append.stream, ()))
        return super()._append(append._replace(expected=max(actual, append.expected)))


class HashBlind(MemoryStore):
    """Takes an append that follows another record than the one at the expected version."""

    def _append(self, append: Append) -> Appended | EventLogError:
        return super()._append(append._replace(previous=None))


class VersionsFirst(MemoryStore):
    """Looks at the version before the ids, so a repetition is a conflict."""

    def _append(self, append: Append) -> Appended | EventLogError:
        actual = len(self._streams.get(append.stream, ()))
        if actual != append.expected:
            return VersionConflict(append.stream, append.expected, actual)
        return super()._append(append)


class AllOrNothing(MemoryStore):
    """Refuses a whole batch for one bad append."""

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        for append in batch:
            if append.expected > len(self._streams.get(append.stream, ())) + len(batch):
                conflict = VersionConflict(append.stream, append.expected, 0)
                return [conflict for _ in batch]
        return super().append(batch)


class EagerIndex(MemoryStore):
    """Stores the index entries of appends that it refuses."""

    def _append(self, append: Append) -> Appended | EventLogError:
        self._put_entries(append.entries)
        return super()._append(append)


class ForgottenIndex(MemoryStore):
    """Never removes an entry."""

    def _put_entries(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        super()._put_entries([(key, value) for key, value in entries if value is not None])


class Utf16(MemoryStore):
    """Orders keys by UTF-16 code units, as some languages and databases do."""

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        found = list(super().scan(start, end))
        yield from sorted(found, key=lambda entry: entry[0].encode("utf-16-be"))[:limit]


class ShortPages(MemoryStore):
    """Ends a long read after its first page."""

    def read(self, stream: str, **options: Any) -> Iterator[Record]:
        limit = options.pop("limit", None)
        limit = 512 if limit is None else min(limit, 512)
        yield from super().read(stream, limit=limit, **options)


class WrongEnd(MemoryStore):
    """Takes the limit of a backward read from the wrong end."""

    def read(self, stream: str, **options: Any) -> Iterator[Record]:
        if options.pop("reverse", False):
            yield from list(super().read(stream, **options))[::-1]
        else:
            yield from super().read(stream, **options)


class LateLimit(MemoryStore):
    """Counts records of other types towards the limit."""

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        for record in super().read_all(after=after, limit=limit):
            if not types or record.type in types:
                yield record


class EveryType(MemoryStore):
    """Claims to read the records of some types, and counts the others towards the limit."""

    def read(self, stream: str, **options: Any) -> Iterator[Record]:
        types = options.pop("types", ())
        found = super().read(stream, **options)
        yield from (record for record in found if not types or record.type in types)


class StaleHead(MemoryStore):
    """Tells the time of the first record of a stream."""

    def head(self, stream: str) -> Head:
        found = super().head(stream)
        return found._replace(time=self._streams[stream][0].time) if found.version else found


class ForgetfulFind(MemoryStore):
    """Knows the ids of its newest records only."""

    def find(self, stream: str, ids: Sequence[Any]) -> dict[Any, int]:
        oldest = len(self._streams.get(stream, ())) - 4_096
        return {key: at for key, at in super().find(stream, ids).items() if at > oldest}


class CaseBlind(MemoryStore):
    """Takes streams for each other whose names differ in case."""

    def _append(self, append: Append) -> Appended | EventLogError:
        return super()._append(append._replace(stream=append.stream.lower()))

    def read(self, stream: str, **options: Any) -> Iterator[Record]:
        return super().read(stream.lower(), **options)


class Deaf(MemoryStore):
    """Never notices what others append while it waits."""

    def wait(self, after: Position, timeout: float) -> bool:
        return len(self._log) > after and super().wait(after, timeout)


class LastWins(MemoryStore):
    """Stores a blob whatever revision is expected."""

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        return super().put_blob(key, data)


class Lossy(MemoryStore):
    """Claims to survive its process, which it does not."""

    durability = "process"


class Broken(StoreConformance):
    """The suite over one of these stores, which the environment names."""

    store_class: type[MemoryStore]

    def make_store(self, folder: Path) -> MemoryStore:
        return self.store_class()


for _store in MemoryStore.__subclasses__():
    if _store.__module__ == __name__:
        _name = f"Test{_store.__name__}"
        globals()[_name] = type(_name, (Broken,), {"store_class": _store, "__module__": __name__})
