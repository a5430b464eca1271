"""The events of sessions as JSON Lines: an object per event, in order, with its data as JSON.

For tools that read lines. A bundle is what brings a session back to the byte; this loses nothing that
the event says, but has it as JSON values rather than as the bytes that its hash is of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eventlog.clock import format_time
from eventlog.identifiers import format_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.records import Record

__all__ = ["event_lines", "json_of"]


def event_lines(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield an object per record."""
    for record in records:
        yield {
            "session_id": record.stream,
            "version": record.version,
            "position": record.position,
            "time": format_time(record.time),
            "type": record.type,
            "schema": record.schema,
            "event_id": format_id(record.event_id),
            "data": json_of(record.data),
            "metadata": json_of(record.metadata),
            "hash": record.hash.hex(),
        }


def json_of(data: bytes) -> Any:
    """Return stored bytes as a JSON value; as text where they are damaged."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
