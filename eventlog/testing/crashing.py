"""Crash points: a store whose calls consist of numbered steps, at each of which the power can fail or
the connection can be cut (K1).

A `Steps` belongs to one process and counts its calls to storage: a read is one step, a write two, one
before and one after it. So a write can be stored without its answer arriving::

    steps = Steps()
    log = Log(CrashingStore(store, steps))
    steps.fail(steps.count + 2)          # the second step from now on
    with pytest.raises(Crash):
        session.append(Message.user("stored, but never acknowledged"))

After a `Crash` every further call fails too, so a ``finally`` cannot save anything. The wrapped store
has what is left; open another log on it, as the next process would.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from eventlog.errors import Indeterminate, StoreUnavailable
from eventlog.testing.wrapping import Answer, StoreCall, WrappedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.store import Position, Store

__all__ = ["Crash", "CrashingStore", "Fault", "StepFailed", "Steps"]

Fault = Literal["power", "cut", "full"]
"""What happens at a step: the process ends (``power``), the storage does not answer (``cut``), or
has no room (``full``)."""


class Crash(BaseException):
    """The process has ended.

    Not an `Exception`: code that handles errors must not survive it.
    """


class StepFailed(Exception):
    """The storage failed at this step; what that means is up to the call it was part of."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class Steps:
    """Counts the steps of one process, and causes faults at the planned ones."""

    def __init__(self) -> None:
        self.count = 0
        self.dead = False
        self.trace: list[str] = []
        """The name of each step, in order."""
        self.struck: list[Fault] = []
        """The faults that occurred, in order."""
        self._plan: dict[int, Fault] = {}
        self._lock = threading.Lock()

    def fail(self, step: int, fault: Fault = "power") -> None:
        """Plan a fault at a step; nothing happens if that step has passed."""
        self._plan[step] = fault

    def spare(self, fault: Fault | None = None) -> None:
        """Cancel all planned faults, or those of one kind."""
        for step, planned in list(self._plan.items()):
            if fault in (None, planned):
                del self._plan[step]

    def die(self) -> None:
        """End the process between two steps: it takes none any more."""
        self.dead = True

    def take(self, name: str) -> None:
        """Take one step; raise `Crash` or `StepFailed` if that is planned for it."""
        with self._lock:
            self.refuse_if_dead(name)
            self.count += 1
            self.trace.append(name)
            fault = self._plan.pop(self.count, None)
            if fault is not None:
                self.struck.append(fault)
            if fault == "power":
                self.dead = True
                raise Crash(f"step {self.count}: {name}")
        if fault is not None:
            raise StepFailed(fault, f"step {self.count}: {name}")

    def refuse_if_dead(self, name: str) -> None:
        """Raise `Crash` if the process has ended."""
        if self.dead:
            raise Crash(f"{name}: this process has ended")


class CrashingStore(WrappedStore):
    """Another store, seen through numbered steps; see `eventlog.store.Store` for the contract."""

    def __init__(self, store: Store, steps: Steps | None = None) -> None:
        super().__init__(store)
        self.steps = steps or Steps()

    def around(self, call: StoreCall, go_on: Callable[[], Answer]) -> Answer:
        asked = False
        try:
            self.steps.take(call.verb)
            asked = True
            answer = go_on()
            if call.writes:
                self.steps.take(f"{call.verb}'s answer")
        except StepFailed as failed:
            unknown = call.verb == "append" and (asked or failed.fault == "cut")
            raise (Indeterminate if unknown else StoreUnavailable)(str(failed)) from failed
        return answer

    def wait(self, after: Position, timeout: float) -> bool:
        self.steps.refuse_if_dead("wait")
        return super().wait(after, timeout)
