"""Projections: pure folds of records into a state that can be rebuilt at any time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.records import Record

__all__ = ["Projection", "check_projection", "replay"]

State = TypeVar("State")
View = TypeVar("View")


class Projection(ABC, Generic[State, View]):
    """A pure fold of records into a state, under a name that identifies its snapshots.

    The same records give the same state, on every machine and at every time: a fold reads no clock,
    no random source and no environment. ``apply`` may change ``state`` in place and must return it.
    """

    name: ClassVar[str]
    schema: ClassVar[int] = 1
    """Increase it when the fold, or the form of its state, changes: older snapshots are dropped."""
    types: ClassVar[frozenset[str] | None] = None
    """The event types that the fold needs; others are not even decoded. None: all types."""

    @abstractmethod
    def initial(self) -> State:
        """Return the state of a stream without records."""

    @abstractmethod
    def apply(self, state: State, recorded: Recorded) -> State:
        """Return the state after one more record."""

    @abstractmethod
    def view(self, state: State) -> View:
        """Return what readers see of the state, without changing it."""

    def fold(self, state: State, records: Iterable[Record | Recorded]) -> State:
        """Fold records; those whose type is not in ``types`` are skipped and not decoded."""
        types, apply = self.types, self.apply
        for entry in records:
            recorded = entry if isinstance(entry, Recorded) else Recorded(entry)
            if types is None or recorded.record.type in types:
                state = apply(state, recorded)
        return state

    def fingerprint(self) -> str:
        """Return what snapshots depend on besides the name: the schema, and state machines if any."""
        return str(self.schema)

    def dump(self, state: State) -> bytes | None:
        """Return the state as bytes for a snapshot; None, the default: there are no snapshots."""
        return None

    def load(self, data: bytes) -> State:
        """Return the state that `dump` wrote. If it raises anything, the snapshot is ignored."""
        raise NotImplementedError(f"{type(self).__name__} writes no snapshots")


def check_projection(projection: object) -> None:
    """Raise `InvalidArgument` for what is no `Projection`, such as the class of one."""
    if not isinstance(projection, Projection):
        raise InvalidArgument(
            f"projection is {shown(projection)}; it must be an instance of an eventlog.Projection"
        )


def replay(records: Iterable[Record | Recorded], projection: Projection[State, View]) -> View:
    """Fold records through a projection and return its view: offline, pure, deterministic.

    The records may come from ``log.read``, from a store or from a file.
    """
    return projection.view(projection.fold(projection.initial(), records))
