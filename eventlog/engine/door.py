"""The one door to a log's store: once the log is closed, every call through it raises `LogClosed`.

All reads of a log, and all writes but appends, go through here, so sessions, tasks, folders and
workers need no checks of their own. Appends go through the committer, which closes first: it
answers its queue while the door is still open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from eventlog.engine.shelter import Shelter
from eventlog.errors import LogClosed
from eventlog.records import ANY, START
from eventlog.store import heads_of, read_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventlog.errors import EventLogError
    from eventlog.identifiers import EventId
    from eventlog.records import Append, Appended, Durability, Expected, Head, Position, Record
    from eventlog.store import Blob, Finding, Store

__all__ = ["Door"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Entry = TypeVar("Entry")


class Door:
    """A store while its log is open; see `eventlog.store.Store` for the methods.

    A call that is under way when the door is shut may still succeed. If it fails, closing is taken
    for the reason: it raises `LogClosed` from whatever the store raised.
    """

    def __init__(self, store: Store) -> None:
        self.inner = store
        """The store itself."""
        self.is_shut = False
        self.shelter = Shelter()
        """The threads that run the main thread's calls, so that no signal handler interrupts them."""

    def refuse_if_shut(self) -> None:
        """Raise `LogClosed` if the log was closed."""
        if self.is_shut:
            raise LogClosed

    def call(
        self,
        verb: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function that reads or writes, if the door is open."""
        if self.is_shut:
            raise LogClosed
        try:
            return self.shelter.read(verb, *args, **kwargs)
        except Exception as error:
            if self.is_shut:
                raise LogClosed from error
            raise

    def iterate(
        self,
        verb: Callable[Parameters, Iterator[Entry]],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Iterator[Entry]:
        """Yield what a method yields; each step passes through the door."""
        if self.is_shut:
            raise LogClosed
        try:
            for entry in self.shelter.iterate(verb, *args, **kwargs):
                yield entry
                if self.is_shut:
                    break
        except Exception as error:
            if self.is_shut:
                raise LogClosed from error
            raise
        # At the end, too: the store may have ended early because it was closed.
        if self.is_shut:
            raise LogClosed

    # ---- the methods of a store ---------------------------------------------------------------

    reads_types = True
    """Whether `read` takes ``types``, which it does for stores that do not, too."""

    @property
    def durability(self) -> Durability:
        return self.inner.durability

    @property
    def reads_only(self) -> bool:
        """Whether the store was opened to read, or can do nothing else."""
        return bool(getattr(self.inner, "reads_only", False))

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        return self.call(self.inner.append, batch)

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
        span: dict[str, Any] = {"after": after, "until": until, "limit": limit, "reverse": reverse}
        if types:
            return self.iterate(read_types, self.inner, stream, types, **span)
        return self.iterate(self.inner.read, stream, **span)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        return self.iterate(self.inner.read_all, after=after, types=types, limit=limit)

    def head(self, stream: str) -> Head:
        return self.call(self.inner.head, stream)

    def heads(self, streams: Sequence[str]) -> list[Head]:
        return self.call(heads_of, self.inner, streams)

    def tip(self) -> Position:
        return self.call(self.inner.tip)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        return self.call(self.inner.find, stream, ids)

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        return self.iterate(self.inner.scan, start, end, limit)

    def wait(self, after: Position, timeout: float) -> bool:
        return self.call(self.inner.wait, after, timeout)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        return self.call(self.inner.put_blob, key, data, expected)

    def get_blob(self, key: str) -> Blob | None:
        return self.call(self.inner.get_blob, key)

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        self.call(self.inner.put_index, entries)

    def check(self) -> list[Finding]:
        return self.call(self.inner.check)

    def settings(self) -> dict[str, str]:
        return self.call(self.inner.settings)

    def reopen_after_fork(self) -> None:
        self.inner.reopen_after_fork()

    def close(self) -> None:
        """Shut the door, then release the store; calls under way that fail raise `LogClosed`."""
        self.is_shut = True
        self.inner.close()
