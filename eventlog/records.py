"""What stores take and return: plain values, with the data as bytes."""

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
"""What an acknowledged write survives: nothing, as in memory (``none``), the end of the process but
not a loss of power (``process``), or a loss of power too (``power``)."""

IndexEntry = tuple[str, bytes | None]
"""An index entry to store together with an append; with ``None``, to remove."""


class Record(NamedTuple):
    """One stored event.

    ``version`` counts 1, 2, 3 … in its stream, without gaps. ``time`` is in microseconds since the
    Unix epoch, and never before that of the previous record of the stream. ``hash`` chains the
    record to the previous one (see `eventlog.chain`); it does not cover ``position``.
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
    """What the next append needs to know of a stream's last record."""

    version: int
    hash: bytes
    position: Position
    time: int


EMPTY_HEAD: Final = Head(version=0, hash=bytes(32), position=START, time=0)
"""The head of a stream without records."""


class Append(NamedTuple):
    """Records to add to one stream, all or none, if the stream is at version ``expected``."""

    stream: str
    expected: int
    records: tuple[Record, ...]
    entries: tuple[IndexEntry, ...] = ()
    previous: bytes | None = None
    """The hash that the first record is chained to; a stream that ends in another one conflicts.
    The version alone is not enough: if an earlier append of the batch was refused, the stream may be
    at the expected version with a record of another process."""


class Appended(NamedTuple):
    """Where the records of an `Append` are; ``replayed`` if they were stored before."""

    versions: tuple[int, ...]
    positions: tuple[Position, ...]
    replayed: bool = False


class Metadata(NamedTuple):
    """Who caused an event, and the work and trace that it belongs to.

    It is stored beside the event's data, never in it.
    """

    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    idempotency_key: str | None = None
    command: str | None = None
    turn: str | None = None
    attempt: int | None = None
    keys: tuple[str, ...] | None = None
    """The index keys of the event, which its class made of its fields."""
