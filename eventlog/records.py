"""What a store keeps and what it is asked to keep: plain values, bytes in and bytes out."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NewType

from eventlog.clock import format_time
from eventlog.identifiers import EventId, format_id

if TYPE_CHECKING:
    from types import ModuleType

    from eventlog.events import Event

__all__ = [
    "ANY",
    "EMPTY_HEAD",
    "START",
    "Append",
    "Appended",
    "Durability",
    "Expected",
    "Head",
    "IndexEntry",
    "Metadata",
    "Position",
    "Record",
    "Recorded",
]

Durability = Literal["none", "process", "power"]
"""What survives, by what is lost at worst: everything with the process (``none``), nothing with
the process but the latest with the machine's power (``process``), nothing (``power``)."""

Position = NewType("Position", int)
"""A record's place in the order of the whole log: opaque, comparable, never to be computed with."""

START: Final = Position(0)
"""The position before the first record."""

ANY: Final = "any"
"""The expected version of a caller who does not mind."""

Expected = int | Literal["any"]
IndexEntry = tuple[str, bytes | None]
"""An index entry to store, or with ``None`` to remove, together with an append (L14)."""


class Record(NamedTuple):
    """One stored event.

    ``version`` counts 1, 2, 3 … without gaps in its stream; ``time`` is in microseconds since the
    Unix epoch and never before that of the stream's previous record; ``hash`` chains it to that
    record (see `eventlog.chain`). ``position`` is not part of what is hashed.
    """

    stream: str
    version: int
    position: Position
    event_id: EventId
    type: str
    schema: int
    time: int
    data: bytes
    metadata: bytes
    hash: bytes


class Head(NamedTuple):
    """The last record of a stream, as far as the next append needs it."""

    version: int
    hash: bytes
    position: Position
    time: int


EMPTY_HEAD: Final = Head(version=0, hash=bytes(32), position=START, time=0)
"""The head of a stream without records."""


class Append(NamedTuple):
    """Records to add to one stream, all or none, if it stands at version ``expected``."""

    stream: str
    expected: int
    records: tuple[Record, ...]
    entries: tuple[IndexEntry, ...] = ()
    previous: bytes | None = None
    """The hash that the first record is chained to. A stream may stand at the expected version with
    another record there: one of another process, in the place of one of the same batch that was
    refused. So a stream that ends in another hash than this one is in conflict, too."""


class Appended(NamedTuple):
    """Where the records of an `Append` stand now; ``replayed`` if they had been there before."""

    versions: tuple[int, ...]
    positions: tuple[Position, ...]
    replayed: bool = False


class Metadata(NamedTuple):
    """Who caused an event and as part of what (L13); stored beside the data, never in it."""

    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    idempotency_key: str | None = None
    command: str | None = None


@cache
def _codec() -> ModuleType:
    # Imported late, for the codec reads the types above; looked up once, for it is asked per event.
    return import_module("eventlog.codec")


class Recorded:
    """A record together with its event, which is decoded when first asked for."""

    __slots__ = ("_event", "record")

    def __init__(self, record: Record, event: Event | None = None) -> None:
        self.record = record
        self._event = event

    @property
    def event(self) -> Event:
        """The event itself; raises `UnknownEventType` or `CorruptLog` if it cannot be decoded."""
        event = self._event
        if event is None:
            decoded: Event = _codec().decode_event(self.record)
            event = self._event = decoded
        return event

    @property
    def stream(self) -> str:
        return self.record.stream

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def position(self) -> Position:
        return self.record.position

    @property
    def type(self) -> str:
        return self.record.type

    @property
    def time(self) -> str:
        """The time of the record as ISO 8601 text in UTC; `Record.time` has the microseconds."""
        return format_time(self.record.time)

    @property
    def event_id(self) -> str:
        return format_id(self.record.event_id)

    @property
    def metadata(self) -> Metadata:
        metadata: Metadata = _codec().decode_metadata(self.record)
        return metadata

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recorded) and other.record == self.record

    def __hash__(self) -> int:
        return hash(self.record)

    def __repr__(self) -> str:
        record = self.record
        return f"<Recorded {record.stream!r}@{record.version} {record.type}>"
