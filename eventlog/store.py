"""The protocol between the library and its stores, with everything that the author of a store needs.

A store keeps bytes. It sees no events and computes no hashes, and the version that an append expects
is always a number. Following, snapshots, idempotency and the hash chain are library code over these
few methods, so a store is one module. It imports from here, from `eventlog.errors` and, if it needs
them, from `eventlog.filesystem` and `eventlog.telemetry`:

- the values that it takes and returns: `Append`, `Appended`, `Record`, `Head`, `Blob`, `Finding` …
- `repeated`: the answer to an append whose event ids are stored already
- `paged`: lazy reading, one page at a time
- `Wakeups`: waiting for records, woken by appends
- `sound_records`: rows that were read, checked before anything is computed with them
- `split_batch`: a batch in parts that one transaction can hold

A store may be called from any number of threads at once; only one of them calls `append` at a time.

Further abilities are optional. A store declares one by having the method, attribute or function
(`StoreClock`, `StreamHeads`, `TypedReads`, `StoreModule`); `store_clock`, `read_types` and
`eventlog.engine.opening.has_log` look for it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar, cast

from eventlog.chain import chain_hash
from eventlog.errors import DuplicateEvent
from eventlog.finding import Finding
from eventlog.identifiers import EventId
from eventlog.records import (
    ANY,
    EMPTY_HEAD,
    START,
    Append,
    Appended,
    Durability,
    Expected,
    Head,
    IndexEntry,
    Position,
    Record,
)
from eventlog.row_checks import sound_records
from eventlog.wakeups import Wakeups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventlog.errors import EventLogError

__all__ = [
    "ANY",
    "EMPTY_HEAD",
    "PAGE_SIZE",
    "START",
    "Append",
    "Appended",
    "Blob",
    "BriefAppends",
    "CopiesItself",
    "Durability",
    "EventId",
    "Expected",
    "Finding",
    "HasWal",
    "Head",
    "IndexEntry",
    "Position",
    "ProvesDeath",
    "Record",
    "Store",
    "StoreClock",
    "StoreModule",
    "StreamHeads",
    "TypedReads",
    "Wakeups",
    "WalState",
    "appends_briefly",
    "chain_hash",
    "gone_from",
    "heads_of",
    "paged",
    "presence_at",
    "read_types",
    "repeated",
    "sound_records",
    "split_batch",
    "store_clock",
    "wal_of",
]

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")

PAGE_SIZE: Final = 512
"""How many records or index entries one page has."""


class Blob(NamedTuple):
    """A value of the blob area, and its revision: 1, 2, 3 … with every write."""

    data: bytes
    revision: int


class Store(Protocol):
    """The protocol between the log and a backend: bytes in, bytes out."""

    @property
    def durability(self) -> Durability:
        """What an acknowledged append survives; verified when the store was opened."""
        ...

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        """Store the appends of a batch in one durable transaction; return an answer for each.

        Each append is atomic, sees the ones before it in the batch, and succeeds or fails by
        itself. Its event ids are checked first. If all are stored already, in this order, the
        answer is an `Appended` with the original versions and ``replayed=True``; if some are, or in
        another order, it is a `DuplicateEvent`. Then its version is checked: if the stream is not
        at ``expected``, the answer is a `VersionConflict`. Index entries are stored in the same
        transaction.

        Raises `StoreUnavailable` if nothing of the batch was stored, and `Indeterminate` if the
        outcome of the whole batch is unknown.
        """
        ...

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Record]:
        """Yield the records with ``after < version <= until``, ordered by version, lazily."""
        ...

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records of all streams after a position, in the order of the log.

        A record that is stored later never has a position before one that was yielded.
        """
        ...

    def head(self, stream: str) -> Head:
        """Return the head of a stream, from its last record; `EMPTY_HEAD` if it has none."""
        ...

    def tip(self) -> Position:
        """Return the position of the newest record that `read_all` yields; `START` if there is
        none."""
        ...

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        """Return the versions of the ids that are stored in the stream; others are left out."""
        ...

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield the index entries with ``start <= key < end``, by key in code point order.

        Values are UTF-8 text.
        """
        ...

    def wait(self, after: Position, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a record after a position; return whether there is
        one."""
        ...

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        """Store a value durably if its revision is the expected one (0: there is none yet).

        Returns the new revision. Raises `VersionConflict`.
        """
        ...

    def get_blob(self, key: str) -> Blob | None:
        """Return a value of the blob area, or None."""
        ...

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        """Store or remove index entries in one transaction. Only rebuilding the index needs it."""
        ...

    def check(self) -> list[Finding]:
        """Check the storage itself, its engine and its own indexes; return what is wrong."""
        ...

    def settings(self) -> dict[str, str]:
        """Return the settings of the engine as they were read back, for people."""
        ...

    def reopen_after_fork(self) -> None:
        """Drop, without touching it, whatever a forked child must not share with its parent."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice is harmless."""
        ...


# ---- optional abilities -----------------------------------------------------------------------


class StoreClock(Protocol):
    """An optional ability: one clock for all hosts that use the store.

    Leases then end by this clock, so that a wrong clock of one host cannot end the lease of
    another.
    """

    def now(self) -> int:
        """Return the store's time in microseconds since the Unix epoch."""
        ...


def store_clock(store: Store) -> Callable[[], int] | None:
    """Return the method `now` of a store that has one (`StoreClock`), else None."""
    return cast("Callable[[], int] | None", getattr(store, "now", None))


class BriefAppends(Protocol):
    """An optional ability: appending in milliseconds.

    A synchronous caller in the main thread then needs no other thread that waits for the store
    (`eventlog.interrupts`). A store on a server cannot promise it.
    """

    appends_briefly: bool
    """Whether `append` waits for nothing but a local disk."""


def appends_briefly(store: Store) -> bool:
    """Return whether a store says that it appends in milliseconds (`BriefAppends`)."""
    return bool(getattr(store, "appends_briefly", False))


class StreamHeads(Protocol):
    """An optional ability: the heads of many streams at once, for lists of sessions."""

    def heads(self, streams: Sequence[str]) -> list[Head]:
        """Return the head of each stream, as `Store.head` does, in the order of the streams."""
        ...


def heads_of(store: Store, streams: Sequence[str]) -> list[Head]:
    """Return the heads of streams, at once where the store can (`StreamHeads`)."""
    at_once = cast("Callable[[Sequence[str]], list[Head]] | None", getattr(store, "heads", None))
    return [store.head(stream) for stream in streams] if at_once is None else at_once(streams)


class TypedReads(Protocol):
    """An optional ability: reading the records of some types of a stream.

    What streamed messages leave behind is passed over, which the store does with less work than its
    reader.
    """

    reads_types: bool
    """Whether `read` takes ``types``."""

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
        """Yield what `Store.read` yields, of these types alone; ``limit`` counts what is yielded."""
        ...


def read_types(
    store: Store,
    stream: str,
    types: Sequence[str],
    *,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    reverse: bool = False,
) -> Iterator[Record]:
    """Yield the records of some types; the store chooses them if it can (`TypedReads`)."""
    if getattr(store, "reads_types", False):
        return cast("TypedReads", store).read(
            stream, after=after, until=until, limit=limit, reverse=reverse, types=types
        )
    found = store.read(stream, after=after, until=until, reverse=reverse)
    return islice((record for record in found if record.type in types), limit)


class WalState(NamedTuple):
    """The write-ahead log of a store."""

    bytes: int
    readers: tuple[str, ...]
    """The processes that keep it from beginning anew, if it is too large."""


class HasWal(Protocol):
    """An optional ability: a write-ahead log, which grows while somebody reads from it."""

    def wal(self) -> WalState:
        """Return its size, and who holds it; within a few milliseconds."""
        ...


def wal_of(store: Store) -> WalState | None:
    """Return the state of the store's write-ahead log if it has one (`HasWal`), else None."""
    wal = cast("Callable[[], WalState] | None", getattr(store, "wal", None))
    return None if wal is None else wal()


class ProvesDeath(Protocol):
    """An optional ability: proof that a process which used the store, wherever it ran, has ended."""

    def presence(self) -> str | None:
        """Return a name of this process at the store, None if its end could not be proven.

        The store keeps what proves its life until it is closed.
        """
        ...

    def is_gone(self, presence: str) -> bool | None:
        """Return whether the process with this name is proven to have ended (True) or to live
        (False); None if neither."""
        ...


def presence_at(store: Store) -> str | None:
    """Return the name of this process at a store that can prove its end (`ProvesDeath`)."""
    own = cast("Callable[[], str | None] | None", getattr(store, "presence", None))
    return None if own is None else own()


def gone_from(store: Store, presence: str) -> bool | None:
    """Return what a store can prove of a process (`ProvesDeath`), None if nothing."""
    proof = cast("Callable[[str], bool | None] | None", getattr(store, "is_gone", None))
    return None if proof is None else proof(presence)


class CopiesItself(Protocol):
    """An optional ability: a copy in one local file, quicker than record by record."""

    def backup(self, path: str, advance: Callable[[int, int], object]) -> None:
        """Write the log as it is at one moment into an empty file, a log of the SQLite store.

        ``advance`` is called now and then with how much is done and how much there is; what it
        raises ends the copy. The caller syncs the file.
        """
        ...


class StoreModule(Protocol):
    """The module of a store, which the scheme of a URL names.

    The module of a store on a server may also have ``has_log(url)``: it returns whether a log is
    there, and creates none, so that a program can report a mistyped URL.
    """

    def open_store(self, url: str, location: str, options: dict[str, str]) -> Store:
        """Open the store; raise `InvalidArgument` for a location or option that it does not
        accept."""
        ...


# ---- for authors of stores --------------------------------------------------------------------


def paged(
    read_page: Callable[[Cursor, int], tuple[Sequence[Item], Cursor | None]],
    start: Cursor,
    limit: int | None = None,
) -> Iterator[Item]:
    """Yield up to ``limit`` items, read page by page: `Store.read`, `read_all` and `scan`.

    ``read_page(cursor, size)`` returns at most ``size`` items that begin at a cursor, and the cursor
    of the next page, or None if there is none. It is called when the first item of its page is needed
    and returns before that item is yielded, so no transaction stays open while the reader is busy.
    For example::

        def read_page(after, size):
            rows = select(after, size)
            return rows, rows[-1].position if len(rows) == size else None
    """
    cursor: Cursor | None = start
    left = limit
    while cursor is not None and (left is None or left > 0):
        size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
        items, cursor = read_page(cursor, size)
        yield from items
        if left is not None:
            left -= len(items)


def split_batch(
    batch: Sequence[Append], *, max_bytes: int, max_records: int
) -> Iterator[Sequence[Append]]:
    """Split a batch into parts of at most ``max_bytes`` and ``max_records``, for one transaction
    each.

    Data and metadata count as bytes. An append is never split: one that is larger than the limit is
    a part alone, and the store refuses it with `TooLarge`.
    """
    size = records = start = 0
    for place, append in enumerate(batch):
        added = sum(len(record.data) + len(record.metadata) for record in append.records)
        size, records = size + added, records + len(append.records)
        if place > start and (size > max_bytes or records > max_records):
            yield batch[start:place]
            start, size, records = place, added, len(append.records)
    if start < len(batch):
        yield batch[start:]


def repeated(append: Append, versions: Sequence[int | None]) -> Appended | DuplicateEvent:
    """Answer an append some of whose ids are stored already, given each id's version, or None.

    If all are stored in this order, the append is a repetition: the answer is an `Appended` with
    those versions. Otherwise it is a `DuplicateEvent`.
    """
    first = versions[0]
    if first is None or list(versions) != list(range(first, first + len(versions))):
        return DuplicateEvent(
            append.stream,
            f"some of the {len(versions)} event ids are stored already, or in another order; "
            "repeat the whole batch as it was, or leave out what is stored",
        )
    return Appended(tuple(range(first, first + len(versions))), (), replayed=True)
