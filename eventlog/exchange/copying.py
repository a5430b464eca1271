"""Copy a log from one store into another: the same sessions with the same versions, ids, times,
bytes and hashes, in the same order. Only positions differ, because each store has its own.

Run again, an interrupted copy resumes, and a complete one copies what is new. What the destination
already has is recognised by the hash of each session's newest record, which covers all records
before it. A record whose hash does not fit is never copied. Large values are copied before the
events that name them; snapshots are not copied, because they are made again when needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from eventlog.audit.index_check import changes_since, rebuild_index, write_entries
from eventlog.audit.verify import verify_chain
from eventlog.chain import chain_hash
from eventlog.engine.blobs import get_value, put_value
from eventlog.errors import ChainBroken, EventLogError, HistoryConflict, InvalidArgument
from eventlog.records import START, Append, Position, Record
from eventlog.session.named_values import named_values
from eventlog.store import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.records import IndexEntry
    from eventlog.store import Store

__all__ = ["CopyReport", "copy_log"]

PAGE: Final = 1_000
"""Records per transaction of the destination."""

RUN: Final = 500
"""Records of one session per append: fewer than any store's limit."""

CHECKPOINT_EVERY: Final = 20
"""Pages between two notes of progress: at most this much is read again after an interruption."""

Advance: TypeAlias = Callable[[int, str], object]
"""Called with the number of records copied so far, earlier runs included, and with what comes next:
a session, and at the end the index and the verification. The first call reports earlier runs."""


class CopyReport(NamedTuple):
    """The result of a copy."""

    sessions: int
    """Sessions of which something was copied."""
    records: int
    already_there: int
    """Records that the destination already had, among those read from the source."""
    values: int
    """Large values that were copied."""
    index_entries: int
    """Index entries that were stored or removed."""
    verified: int
    """Records that were read back from the destination, with their chains verified."""
    findings: tuple[Finding, ...] = ()
    """The findings in them."""


def copy_log(
    source: Store,
    destination: Store,
    *,
    verify: bool = False,
    advance: Advance = lambda done, at: None,
) -> CopyReport:
    """Copy everything that the destination does not have yet; idempotent.

    With ``verify`` the destination is read back, its chains are verified, and their ends are
    compared with the source's. Nothing else may write to the destination meanwhile.

    Raises `HistoryConflict`, with session and version, if the destination has other records than
    the source, or more; `ChainBroken` if a record of the source was changed; `CorruptLog` if one of
    its large values is missing; and what the stores raise.
    """
    if source is destination:
        raise InvalidArgument("source and destination are the same log; name two")
    copy = _Copy(source, destination, advance)
    done = copy.run()
    advance(done, "the index")
    entries = copy.index()
    if verify:
        advance(done, "verifying")
    verified, findings = _verified(source, destination) if verify else (0, ())
    return CopyReport(
        len(copy.copied), copy.records, copy.already_there, copy.values, entries, verified, findings
    )


class _Copy:
    """One run of a copy."""

    def __init__(self, source: Store, destination: Store, advance: Advance) -> None:
        self._source = source
        self._destination = destination
        self._advance = advance
        self._ends: dict[str, tuple[int, bytes]] = {}
        """The last version and hash of each session in the destination."""
        self._progress = _Progress(source, destination)
        self._indexed = self._progress.indexed or destination.tip() == START
        """Whether the destination's index is right up to the point where this run begins."""
        self._begins: dict[str, int] = {}
        """The sessions that this run has read records of, and the version before the first."""
        self.copied: set[str] = set()
        self.records = self.already_there = self.values = 0

    def run(self) -> int:
        """Copy records; return the number copied, earlier runs included."""
        done = self._progress.records
        records = self._source.read_all(after=self._progress.position)
        pages, last = 0, None
        self._advance(done, "")
        while page := list(islice(records, PAGE)):
            self._store(list(self._missing(page)))
            pages, last, done = pages + 1, page[-1], done + len(page)
            if pages % CHECKPOINT_EVERY == 0:
                self._progress.note(last, done)
            self._advance(done, last.stream)
        if last is not None:
            self._progress.note(last, done)
        return done

    def index(self) -> int:
        """Bring the destination's index in line with its events; return how many entries changed.

        If it was right before, only the sessions that this run has read can differ.
        """
        if not self._indexed:
            changed = len(rebuild_index(self._destination))
        elif self._begins:
            changed = write_entries(self._destination, self._changes())
        else:
            return 0
        self._progress.note_indexed()
        return changed

    def _changes(self) -> Iterator[IndexEntry]:
        """Yield the index entries to store, and those to remove if they exist."""
        for stream, version in self._begins.items():
            for key, value in dict(changes_since(self._destination, stream, version)).items():
                if version or value is not None:
                    yield key, value

    def _missing(self, page: Sequence[Record]) -> Iterator[Record]:
        """Yield the records that the destination lacks; raise if the hash of one does not fit."""
        for record in page:
            self._begins.setdefault(record.stream, record.version - 1)
            version, previous = self._end(record.stream)
            if record.version <= version:
                self.already_there += 1
                continue
            _refuse_unsound(record, version, previous)
            self._ends[record.stream] = (record.version, record.hash)
            yield record

    def _end(self, stream: str) -> tuple[int, bytes]:
        found = self._ends.get(stream)
        if found is None:
            head = self._destination.head(stream)
            if head.version:
                _refuse_other_history(self._source, self._destination, stream, head.version)
            found = self._ends[stream] = (head.version, head.hash)
        return found

    def _store(self, records: Sequence[Record]) -> None:
        for record in records:
            self._copy_values(record)
        for answer in self._destination.append(list(_appends(records))) if records else ():
            if isinstance(answer, EventLogError):
                raise answer
        self.copied.update(record.stream for record in records)
        self.records += len(records)

    def _copy_values(self, record: Record) -> None:
        """Copy the large values that a record names, before the record (L11)."""
        for digest in dict.fromkeys(named_values(record)):
            value = get_value(self._source, record.stream, digest)
            put_value(self._destination, record.stream, value)
            self.values += 1


def _appends(records: Sequence[Record]) -> Iterator[Append]:
    """Group records into appends, keeping their order: neighbours of one session go together."""
    run: list[Record] = []
    for record in records:
        if run and (record.stream != run[0].stream or len(run) == RUN):
            yield _append(run)
            run = []
        run.append(record._replace(position=START))
    if run:
        yield _append(run)


def _append(run: Sequence[Record]) -> Append:
    return Append(run[0].stream, run[0].version - 1, tuple(run))


def _refuse_unsound(record: Record, version: int, previous: bytes) -> None:
    """Raise unless the record follows version ``version`` with hash ``previous``."""
    stream, found, _, event_id, type_, schema, time, data, metadata, hash_ = record
    if found != version + 1:
        raise ChainBroken(
            stream, version + 1, f"version {found} follows in the source; `eventlog verify` it"
        )
    if hash_ != chain_hash(previous, stream, found, event_id, type_, schema, time, data, metadata):
        raise ChainBroken(
            stream,
            found,
            "the source's record is not what was written; `eventlog verify` the source",
        )


def _refuse_other_history(source: Store, destination: Store, stream: str, version: int) -> None:
    """Raise unless source and destination agree up to a version."""
    last = min(version, source.head(stream).version)
    if _hash_at(source, stream, last) != _hash_at(destination, stream, last):
        low, high = 1, last
        while low < high:
            middle = (low + high) // 2
            if _hash_at(source, stream, middle) == _hash_at(destination, stream, middle):
                low = middle + 1
            else:
                high = middle
        raise HistoryConflict(
            stream,
            low,
            "the destination has a different record than the source; copy into another log",
        )
    if last < version:
        raise HistoryConflict(
            stream,
            last + 1,
            f"the destination continues to version {version}, but the source ends before it; copy the "
            "other way round, or into another log",
        )


def _hash_at(store: Store, stream: str, version: int) -> bytes | None:
    head = store.head(stream)
    if head.version == version:
        return head.hash
    record = next(store.read(stream, after=version - 1, until=version), None)
    return None if record is None else record.hash


def _verified(source: Store, destination: Store) -> tuple[int, tuple[Finding, ...]]:
    """Read the destination back; return how many of the source's records it has, and the findings."""
    findings: list[Finding] = []
    records = 0
    for stream in sorted({record.stream for record in source.read_all()}):
        broken = verify_chain(destination.read(stream))
        expected, found = source.head(stream), destination.head(stream)
        records += found.version
        if broken is not None:
            findings.append(broken)
        elif (found.version, found.hash) != (expected.version, expected.hash):
            detail = f"it ends with version {found.version}, the source with {expected.version}"
            findings.append(Finding(stream, found.version, "other end", detail))
    return records, tuple(findings)


class _Progress:
    """The progress of a copy, noted in the destination under a key derived from the source.

    A note only saves reading: it is used if both source and destination still have the record that
    it names at that place.
    """

    def __init__(self, source: Store, destination: Store) -> None:
        self._destination = destination
        first = next(source.read_all(limit=1), None)
        self._key = "" if first is None else f"copy/{first.hash.hex()}"
        self.position, self.records, self.indexed = START, 0, False
        self._fields: dict[str, Any] = {}
        blob = destination.get_blob(self._key) if self._key else None
        if blob is not None:
            fields = _note_in(blob.data)
            if fields is not None:
                self._take_over(source, fields)

    def _take_over(self, source: Store, fields: dict[str, Any]) -> None:
        stream, version = fields["session"], fields["version"]
        there = next(source.read(stream, after=version - 1, until=version), None)
        if (
            there is not None
            and there.position == fields["position"]
            and there.hash.hex() == fields["hash"]
            and _hash_at(self._destination, stream, version) == there.hash
        ):
            self._fields = fields
            self.position, self.indexed = Position(fields["position"]), fields["indexed"]
            self.records = fields["records"]

    def note(self, record: Record, records: int) -> None:
        """Note that the destination has all records of the source up to this one, and their number."""
        self._fields = {
            "position": record.position,
            "session": record.stream,
            "version": record.version,
            "hash": record.hash.hex(),
            "records": records,
        }
        self._put(indexed=False)

    def note_indexed(self) -> None:
        """Note that the destination's index agrees with its events."""
        if self._fields:
            self._put(indexed=True)

    def _put(self, *, indexed: bool) -> None:
        self._fields["indexed"] = indexed
        self._destination.put_blob(self._key, json.dumps(self._fields).encode())


_NOTE: Final = {"position": int, "session": str, "version": int, "records": int, "indexed": bool}


def _note_in(data: bytes) -> dict[str, Any] | None:
    """Return the fields of a note; None for what is none, without which the copy reads more."""
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    found = {"records": 0, **cast("dict[str, Any]", fields)}  # The first notes did not count them.
    is_sound = all(type(found.get(name)) is type_ for name, type_ in _NOTE.items())
    return found if is_sound and 0 < found["version"] < 1 << 63 and found["records"] >= 0 else None
