"""Crash points: a store whose every call is made of numbered steps, at each of which the power can
fail or the connection be cut.

The seam of K1. A `Steps` belongs to one process: it counts what the process asks of its storage,
reads as one step, writes as two, before and after, so that a write may be stored without its answer
arriving::

    steps = Steps()
    log = Log(CrashingStore(store, steps))
    steps.fail(steps.count + 2)          # the second step from now on
    with pytest.raises(PowerFailure):
        session.append(Message.user("stored, but never acknowledged"))

After a `PowerFailure` every further call fails too, so no ``finally`` can save anything. What is
left is in the store that was wrapped; open another log on it, as the next process would.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from eventlog.errors import Indeterminate, StoreUnavailable
from eventlog.records import ANY, START

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from eventlog.errors import EventLogError
    from eventlog.identifiers import EventId
    from eventlog.records import Append, Appended, Durability, Expected, Head, Position, Record
    from eventlog.store import Blob, Finding, Store

__all__ = ["CrashingStore", "Fault", "PowerFailure", "Steps"]

Fault = Literal["power", "cut"]
"""What happens at a step: the process ends (``power``), or the storage does not answer (``cut``)."""


class PowerFailure(BaseException):
    """The process is no more.

    Not an `Exception`: nothing that merely handles errors may live through it.
    """


class ConnectionCut(Exception):
    """The storage did not answer at this step; what that means is up to the call it was part of."""


class Steps:
    """Counts the steps of one process, and strikes at those that were planned."""

    def __init__(self) -> None:
        self.count = 0
        self.dead = False
        self.trace: list[str] = []
        """What each step was, in order."""
        self.struck: list[Fault] = []
        """The faults that came, in order."""
        self._plan: dict[int, Fault] = {}
        self._lock = threading.Lock()

    def fail(self, step: int, fault: Fault = "power") -> None:
        """Plan a fault at a step; one that was passed already never comes."""
        self._plan[step] = fault

    def spare(self, fault: Fault | None = None) -> None:
        """Forget what was planned: all of it, or one kind of fault."""
        for step, planned in list(self._plan.items()):
            if fault in (None, planned):
                del self._plan[step]

    def take(self, name: str) -> None:
        """Take one step; raise `PowerFailure` or `ConnectionCut` if that is planned for it."""
        with self._lock:
            if self.dead:
                raise PowerFailure(f"{name}: this process has ended")
            self.count += 1
            self.trace.append(name)
            fault = self._plan.pop(self.count, None)
            if fault is not None:
                self.struck.append(fault)
            if fault == "power":
                self.dead = True
                raise PowerFailure(f"step {self.count}: {name}")
        if fault == "cut":
            raise ConnectionCut(f"step {self.count}: {name}")


class CrashingStore:
    """Another store, seen through numbered steps; see `eventlog.store.Store` for the contract."""

    def __init__(self, store: Store, steps: Steps | None = None) -> None:
        self.steps = steps or Steps()
        self._store = store

    @property
    def durability(self) -> Durability:
        return self._store.durability

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        try:
            self.steps.take("append")
            answers = self._store.append(batch)
            self.steps.take("append's answer")
        except ConnectionCut as cut:
            raise Indeterminate(str(cut)) from cut
        return answers

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Record]:
        self._take("read")
        yield from self._store.read(stream, after=after, until=until, limit=limit, reverse=reverse)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        self._take("read_all")
        yield from self._store.read_all(after=after, types=types, limit=limit)

    def head(self, stream: str) -> Head:
        self._take("head")
        return self._store.head(stream)

    def tip(self) -> Position:
        self._take("tip")
        return self._store.tip()

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        self._take("find")
        return self._store.find(stream, ids)

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        self._take("scan")
        yield from self._store.scan(start, end, limit)

    def wait(self, after: Position, timeout: float) -> bool:
        """Wait as the store does: no step, since how often a caller waits depends on time."""
        if self.steps.dead:
            raise PowerFailure("wait: this process has ended")
        return self._store.wait(after, timeout)

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        with self._writing("put_blob"):
            return self._store.put_blob(key, data, expected)

    def get_blob(self, key: str) -> Blob | None:
        self._take("get_blob")
        return self._store.get_blob(key)

    def put_index(self, entries: Sequence[tuple[str, bytes | None]]) -> None:
        with self._writing("put_index"):
            self._store.put_index(entries)

    def check(self) -> list[Finding]:
        self._take("check")
        return self._store.check()

    def settings(self) -> dict[str, str]:
        return self._store.settings()

    def reopen_after_fork(self) -> None:
        self._store.reopen_after_fork()

    def close(self) -> None:
        with self._writing("close"):
            self._store.close()

    def _take(self, name: str) -> None:
        try:
            self.steps.take(name)
        except ConnectionCut as cut:
            raise StoreUnavailable(str(cut)) from cut

    @contextmanager
    def _writing(self, name: str) -> Generator[None, None, None]:
        self._take(name)
        yield
        self._take(f"{name}'s answer")
