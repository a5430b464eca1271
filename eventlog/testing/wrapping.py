"""Stores that wrap another store: one fails on demand, one is slow, one records its calls.

Each is an `eventlog.store.Store`, so a log on it works like any other::

    faulty = FaultyStore(MemoryStore())
    log = Log(faulty)
    faulty.lose_answer("append")         # stored, but the answer gets lost
    session.append(message)              # finds out that it was stored
    faulty.fail("append", StoreUnavailable("the disk is away"))
    session.append(message)              # raises that
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from eventlog.errors import Indeterminate
from eventlog.store import ANY, START, read_types, store_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventlog.errors import EventLogError
    from eventlog.store import (
        Append,
        Appended,
        Blob,
        Durability,
        EventId,
        Expected,
        Finding,
        Head,
        Position,
        Record,
        Store,
    )

__all__ = ["Answer", "FaultyStore", "RecordingStore", "SlowStore", "StoreCall", "WrappedStore"]

Answer = TypeVar("Answer")


class StoreCall(NamedTuple):
    """A call of a store: the method, its arguments, and whether it writes."""

    verb: str
    arguments: tuple[Any, ...] = ()
    writes: bool = False


class WrappedStore:
    """A wrapped store whose calls all go through `around`, which by itself changes nothing.

    A lazy read goes through it when its first record is read. `wait` does not: how often a caller
    waits depends on time. If the store has a clock (`StoreClock`), the wrapper has it too.
    """

    now: Callable[[], int]

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads_types = bool(getattr(store, "reads_types", False))
        clock = store_clock(store)
        if clock is not None:
            self.now = clock

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        """Do something before or after a call, or instead of it."""
        return go_on()

    @property
    def durability(self) -> Durability:
        return self._store.durability

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        call = StoreCall("append", tuple(batch), writes=True)
        return self.around(call, lambda: self._store.append(batch))

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
        chosen = (tuple(types),) if types else ()
        call = StoreCall("read", (stream, after, until, limit, reverse, *chosen))

        def read() -> Iterator[Record]:
            if types:
                return read_types(self._store, stream, types, **span)
            return self._store.read(stream, **span)

        yield from self.around(call, read)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        call = StoreCall("read_all", (after, tuple(types), limit))
        yield from self.around(
            call, lambda: self._store.read_all(after=after, types=types, limit=limit)
        )

    def head(self, stream: str) -> Head:
        return self.around(StoreCall("head", (stream,)), lambda: self._store.head(stream))

    def tip(self) -> Position:
        return self.around(StoreCall("tip"), self._store.tip)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        call = StoreCall("find", (stream, *ids))
        return self.around(call, lambda: self._store.find(stream, ids))

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        call = StoreCall("scan", (start, end, limit))
        yield from self.around(call, lambda: self._store.scan(start, end, limit))

    def wait(self, after: Position, timeout: float) -> bool:
        return self._store.wait(after, timeout)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        call = StoreCall("put_blob", (key, data, expected), writes=True)
        return self.around(call, lambda: self._store.put_blob(key, data, expected))

    def get_blob(self, key: str) -> Blob | None:
        return self.around(StoreCall("get_blob", (key,)), lambda: self._store.get_blob(key))

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        call = StoreCall("put_index", tuple(entries), writes=True)
        self.around(call, lambda: self._store.put_index(entries))

    def check(self) -> list[Finding]:
        return self.around(StoreCall("check"), self._store.check)

    def settings(self) -> dict[str, str]:
        return self._store.settings()

    def reopen_after_fork(self) -> None:
        self._store.reopen_after_fork()

    def close(self) -> None:
        self.around(StoreCall("close", writes=True), self._store.close)


class FaultyStore(WrappedStore):
    """A store that fails on demand, and works otherwise."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._faults: defaultdict[str, deque[tuple[BaseException, bool]]] = defaultdict(deque)

    def fail(self, verb: str, error: BaseException, *, times: int = 1) -> None:
        """Make the next calls of a method raise an error and do nothing."""
        self._faults[verb].extend([(error, False)] * times)

    def lose_answer(self, verb: str, error: BaseException | None = None) -> None:
        """Make the next call of a method do its work and then raise `Indeterminate` or the error."""
        lost = error or Indeterminate(f"{verb}: the answer was lost")
        self._faults[verb].append((lost, True))

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        planned = self._faults[call.verb]
        if not planned:
            return go_on()
        error, works = planned.popleft()
        if works:
            go_on()
        raise error


class SlowStore(WrappedStore):
    """A store whose calls all take some seconds longer.

    ``sleep`` lets the time pass; with the ``advance`` of a fake clock, no real time passes.
    """

    def __init__(
        self, store: Store, seconds: float, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(store)
        self.seconds = seconds
        self._sleep = sleep

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        self._sleep(self.seconds)
        return go_on()


class RecordingStore(WrappedStore):
    """A store that records its calls, in order."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: list[StoreCall] = []

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        self.calls.append(call)
        return go_on()

    def verbs(self) -> list[str]:
        """Return the methods of the calls so far."""
        return [call.verb for call in self.calls]
