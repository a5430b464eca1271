"""Projections: pure folds of records into a state, always rebuildable, never the truth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.records import Record

__all__ = ["Projection", "replay"]

State = TypeVar("State")
View = TypeVar("View")


class Projection(ABC, Generic[State, View]):
    """A pure fold, named so that its snapshots can be told from others.

    The law (P3): the same records give the same state, whatever the clock, the machine and the
    environment. ``apply`` may change ``state`` in place and must return it.
    """

    name: ClassVar[str]
    schema: ClassVar[int] = 1
    """Raise it when the fold or the state's form changes: older snapshots are then dropped."""
    types: ClassVar[frozenset[str] | None] = None
    """The event types that matter to the fold; the others are not even decoded. None: all."""

    @abstractmethod
    def initial(self) -> State:
        """Return the state of a stream without records."""

    @abstractmethod
    def apply(self, state: State, recorded: Recorded) -> State:
        """Return the state after one more record."""

    @abstractmethod
    def view(self, state: State) -> View:
        """Return what a reader is shown of the state; it must not change it."""

    def fold(self, state: State, records: Iterable[Record | Recorded]) -> State:
        """Fold many records; of types that are not in ``types`` the data is not decoded."""
        types, apply = self.types, self.apply
        for entry in records:
            recorded = entry if isinstance(entry, Recorded) else Recorded(entry)
            if types is None or recorded.record.type in types:
                state = apply(state, recorded)
        return state

    def fingerprint(self) -> str:
        """Name what snapshots depend on beside the name: the schema, and machines if any."""
        return str(self.schema)

    def dump(self, state: State) -> bytes | None:
        """Write the state for a snapshot; None (the default) keeps none of this projection."""
        return None

    def load(self, data: bytes) -> State:
        """Read back what `dump` wrote; any exception makes the snapshot be ignored."""
        raise NotImplementedError(f"{type(self).__name__} writes no snapshots")


def replay(records: Iterable[Record | Recorded], projection: Projection[State, View]) -> View:
    """Fold records through a projection and return its view: offline, pure, deterministic.

    Records may come from a store, from ``log.read`` or from a file; of types that the projection
    does not name, the data is not decoded.
    """
    return projection.view(projection.fold(projection.initial(), records))
