"""What a store keeps and what it is asked to keep: plain values, bytes in and bytes out."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from eventlog.identifiers import EventId
from eventlog.positions import ANY, START, Expected, Position

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
]

Durability = Literal["none", "process", "power"]
"""What survives, by what is lost at worst: everything with the process (``none``), nothing with
the process but the latest with the machine's power (``process``), nothing (``power``)."""

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
