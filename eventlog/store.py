"""The seam to storage: dumb verbs over bytes.

A store never sees an event and never hashes; versions it is asked to expect are always numbers.
Following, snapshots, idempotent repetition and the hash chain are library code over these verbs,
so that a store for a third party is one module (L9).

A store may be called from any number of threads at once. `append` is called by one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from eventlog.errors import DuplicateEvent
from eventlog.records import ANY, START, Appended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.errors import EventLogError
    from eventlog.identifiers import EventId
    from eventlog.records import Append, Durability, Expected, Head, Position, Record

__all__ = ["Blob", "Finding", "Store", "Timekeeper", "repeated"]


class Blob(NamedTuple):
    """A value of the blob area and the revision (1, 2, 3 …) under which it was stored."""

    data: bytes
    revision: int


class Finding(NamedTuple):
    """Something that is not as it should be: where, what, and the kind a program can test for."""

    stream: str | None
    version: int | None
    kind: str
    detail: str


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


class Timekeeper(Protocol):
    """What a store offers beside the rest if hosts with clocks of their own share it.

    Leases are then counted in its time, so that no clock of a host can end another's (F2).
    """

    def now(self) -> int:
        """Tell the time of the one clock of all who use the store, in Unix microseconds."""
        ...


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
