"""The seam to storage: dumb verbs over bytes, and all that the author of a store needs.

A store never sees an event and never hashes; versions it is asked to expect are always numbers.
Following, snapshots, idempotent repetition and the hash chain are library code over these verbs,
so that a store for a third party is one module (L9). That module imports from here, from
`eventlog.errors` and, where it needs them, from `eventlog.filesystem` and `eventlog.telemetry`:

- the values that it is given and returns: `Append`, `Appended`, `Record`, `Head`, `Blob`, `Finding` …
- `repeated`: the answer to an append whose event ids are stored already
- `paged`: lazy reading, one page at a time
- `Wakeups`: waiting for records, woken by appends
- `sound_records`: rows that were read, checked before anything is computed with them
- `split_batch`: a batch in parts that one transaction can hold

A store may be called from any number of threads at once. `append` is called by one at a time.

What a store can do besides is optional, and is declared by having a method or function of that name
(`StoreClock`, `StoreModule`); `store_clock` and `eventlog.engine.opening.has_log` look for it.
"""

from __future__ import annotations

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
    "Durability",
    "EventId",
    "Expected",
    "Finding",
    "Head",
    "IndexEntry",
    "Position",
    "Record",
    "Store",
    "StoreClock",
    "StoreModule",
    "Wakeups",
    "chain_hash",
    "paged",
    "repeated",
    "sound_records",
    "split_batch",
    "store_clock",
]

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")

PAGE_SIZE: Final = 512
"""Records or index entries of one page."""


class Blob(NamedTuple):
    """A value of the blob area and the revision (1, 2, 3 …) under which it was stored."""

    data: bytes
    revision: int


class Store(Protocol):
    """What a backend offers to the log."""

    @property
    def durability(self) -> Durability:
        """What survives of an acknowledged append; verified when the store was opened (P9)."""
        ...

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        """Store each append atomically, all of them in one durable transaction.

        Durable at return. Each answers by itself, and sees the ones before it in the batch. First
        the ids are looked at: all of them stored in this order already → ``Appended`` with the
        original places and ``replayed=True``; some of them, or in another order →
        `DuplicateEvent`. Then the version: any other than ``expected`` → `VersionConflict`.
        Index entries are stored in the same transaction.

        Raises `Indeterminate` if the outcome of the transaction is unknown for the whole batch,
        `StoreUnavailable` if nothing of it was stored.
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
        """Yield the records with ``after < version <= until``, by version, lazily."""
        ...

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records of all streams after a position, in the one order of the log.

        No record that is committed later ever has a position before one that was yielded.
        """
        ...

    def head(self, stream: str) -> Head:
        """Return the stream's last record in short; `EMPTY_HEAD` where there is none."""
        ...

    def tip(self) -> Position:
        """Return the position of the newest record that `read_all` yields; `START` if none."""
        ...

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        """Return the versions of those ids that are stored in the stream."""
        ...

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield the index entries with ``start <= key < end``, by key in code point order.

        Values are UTF-8 text.
        """
        ...

    def wait(self, after: Position, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for a record after a position; tell whether one came."""
        ...

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        """Store a value durably if its revision is the expected one (0: absent).

        Returns the new revision; raises `VersionConflict`.
        """
        ...

    def get_blob(self, key: str) -> Blob | None:
        """Return a value of the blob area."""
        ...

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        """Store or remove index entries in one transaction: for rebuilding them."""
        ...

    def check(self) -> list[Finding]:
        """Look the storage itself over: what its engine and its own indexes say."""
        ...

    def settings(self) -> dict[str, str]:
        """Tell what the engine was found to be set to, for people."""
        ...

    def reopen_after_fork(self) -> None:
        """Drop what a forked child must not share with its parent, without touching it."""
        ...

    def close(self) -> None:
        """Release everything; idempotent."""
        ...


# ---- optional abilities -----------------------------------------------------------------------


class StoreClock(Protocol):
    """The ability of a store that hosts with clocks of their own share: it tells the time to all.

    Leases are then counted in its time, so that no clock of a host can end another's (F2).
    """

    def now(self) -> int:
        """Return the time of the one clock of all who use the store, in Unix microseconds."""
        ...


def store_clock(store: Store) -> Callable[[], int] | None:
    """Return the method `now` of a store that has one (`StoreClock`), else None."""
    return cast("Callable[[], int] | None", getattr(store, "now", None))


class StoreModule(Protocol):
    """The module of a store, which a URL's scheme names.

    A module of a store that lives on a server may also have ``has_log(url)``, which returns whether
    there is a log, and creates none: so that a program finds out about a mistyped URL.
    """

    def open_store(self, url: str, location: str, options: dict[str, str]) -> Store:
        """Open the store; raise `InvalidArgument` for a location or option that it cannot have."""
        ...


# ---- for authors of stores --------------------------------------------------------------------


def paged(
    read_page: Callable[[Cursor, int], tuple[Sequence[Item], Cursor | None]],
    start: Cursor,
    limit: int | None = None,
) -> Iterator[Item]:
    """Yield up to ``limit`` items, read page by page: `Store.read`, `read_all` and `scan`.

    ``read_page(cursor, size)`` returns at most ``size`` items that begin at a cursor, and the cursor
    of the next page, or None where nothing is left. It is called when the first item of its page is
    asked for, and has returned before that is yielded: so nothing in the storage, such as a
    transaction, stays open while the reader thinks. For example::

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
    """Split a batch into parts of so many bytes and records at most, for one transaction each.

    Data and metadata count as bytes. No append is split: one that is larger by itself is a part by
    itself, which the store refuses with `TooLarge`.
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
    """Answer an append of which ids are stored already (L3), given the version of each, or None.

    All of them in this order: the append was stored before, and that is the answer. Else it is
    refused.
    """
    first = versions[0]
    if first is None or list(versions) != list(range(first, first + len(versions))):
        return DuplicateEvent(
            append.stream,
            f"some of the {len(versions)} event ids are stored already, or in another order; "
            "repeat the whole batch as it was, or leave out what is stored",
        )
    return Appended(tuple(range(first, first + len(versions))), (), replayed=True)
