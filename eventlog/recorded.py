"""A record as readers see it: its event and metadata are decoded when first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.clock import format_time
from eventlog.codec import decode_event, decode_metadata
from eventlog.identifiers import format_id

if TYPE_CHECKING:
    from eventlog.events import Event
    from eventlog.records import Metadata, Position, Record

__all__ = ["Recorded"]


class Recorded:
    """A stored record and its event, which is decoded when it is first read."""

    __slots__ = ("_event", "record")

    def __init__(self, record: Record, event: Event | None = None) -> None:
        self.record = record
        self._event = event

    @property
    def event(self) -> Event:
        """The event itself; raises `UnknownEventType` or `CorruptLog` if it cannot be decoded."""
        event = self._event
        if event is None:
            event = self._event = decode_event(self.record)
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
        return decode_metadata(self.record)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recorded) and other.record == self.record

    def __hash__(self) -> int:
        return hash(self.record)

    def __repr__(self) -> str:
        record = self.record
        return f"<Recorded {record.stream!r}@{record.version} {record.type}>"
