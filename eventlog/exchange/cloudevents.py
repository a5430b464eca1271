"""Events as CloudEvents 1.0 in JSON, and back.

============================= =================================================================
attribute                     holds
============================= =================================================================
``id``                        the event's id
``source``                    ``/sessions/{session}``, its id escaped as in a URL
``type``                      ``eventlog.{type}.v{schema}``, or ``{type}.v{schema}`` of users' events
``subject``                   the session's id
``time``                      when it was recorded
``sequence``                  the version in 20 digits, since it has to compare as text does
``datacontenttype``           ``application/json``; ``data`` is what the event says
``partitionkey``              the session's id: whoever spreads events keeps a session together
``correlationid`` …           of the metadata: also ``causationid``, ``traceparent``, ``tracestate``,
                              ``actor``
``eventlogmetadata``          the metadata's JSON, to the letter
``eventloghash``              the hash that chains the event to the one before it
``eventlogdata``              the data's JSON, to the letter, where writing it again would change it
============================= =================================================================

With the last three a session comes back to the byte and its chain is verified; events of another
origin have none, and are refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from eventlog.chain import GENESIS, chain_hash
from eventlog.clock import format_time, parse_time
from eventlog.errors import InvalidArgument
from eventlog.events import is_builtin_type
from eventlog.exchange.jsonlines import json_of
from eventlog.identifiers import check_session_id, format_id, parse_id
from eventlog.positions import Position
from eventlog.row_checks import sound_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.records import Record

__all__ = ["cloud_events", "records_of"]

SPECIFICATION: Final = "1.0"
_TYPE: Final = re.compile(r"(eventlog\.)?(.+)\.v([0-9]{1,9})", re.DOTALL)
_NAMES: Final = {
    "correlation_id": "correlationid",
    "causation_id": "causationid",
    "traceparent": "traceparent",
    "tracestate": "tracestate",
    "actor": "actor",
}
"""Fields of the metadata, and the attributes that say the same."""


def cloud_events(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield a CloudEvent per record."""
    for record in records:
        yield _cloud_event(record)


def _cloud_event(record: Record) -> dict[str, Any]:
    prefix = "eventlog." if is_builtin_type(record.type) else ""
    metadata = json_of(record.metadata)
    fields = cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
    event: dict[str, Any] = {
        "specversion": SPECIFICATION,
        "id": format_id(record.event_id),
        "source": f"/sessions/{quote(record.stream, safe='')}",
        "type": f"{prefix}{record.type}.v{record.schema}",
        "subject": record.stream,
        "time": format_time(record.time),
        "sequence": f"{record.version:020d}",
        "partitionkey": record.stream,
        "datacontenttype": "application/json",
    }
    for name, attribute in _NAMES.items():
        if isinstance(fields.get(name), str) and fields[name]:
            event[attribute] = fields[name]
    event["eventlogmetadata"] = record.metadata.decode(errors="replace")
    event["eventloghash"] = record.hash.hex()
    data = json_of(record.data)
    if _written(data) != record.data:
        event["eventlogdata"] = record.data.decode(errors="replace")
    event["data"] = data
    return event


def _written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def records_of(events: Iterable[Any]) -> Iterator[Record]:
    """Yield the records that CloudEvents of this library stand for, each checked against its chain.

    The events of a session come in order from the first on; several sessions may be mixed. Raises
    `InvalidArgument`, with the number of the event, for one of another origin or out of order, and
    for one that is not what was written.
    """
    ends: dict[str, tuple[int, bytes]] = {}
    for number, event in enumerate(events, 1):
        try:
            record = _record(event, number)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgument(
                f"event {number} is not a CloudEvent that eventlog wrote ({type(error).__name__}: "
                f"{error}); only those can be brought back"
            ) from error
        version, previous = ends.get(record.stream, (0, GENESIS))
        fields = (record.type, record.schema, record.time, record.data, record.metadata)
        if record.version != version + 1:
            raise InvalidArgument(
                f"event {number} is version {record.version} of session {record.stream!r}, due is "
                f"{version + 1}; give them in order, from the first on"
            )
        if record.hash != chain_hash(
            previous, record.stream, record.version, record.event_id, *fields
        ):
            raise InvalidArgument(
                f"event {number}, version {record.version} of session {record.stream!r}: it is not "
                "what was written"
            )
        ends[record.stream] = (record.version, record.hash)
        yield record


def _record(event: Any, number: int) -> Record:
    found = _TYPE.fullmatch(event["type"])
    if event["specversion"] != SPECIFICATION or found is None:
        raise ValueError("its type or its specversion is another")
    if bool(found[1]) is not is_builtin_type(found[2]):
        raise ValueError(f"{event['type']!r:.80} is not a type of this library")
    data = event["eventlogdata"].encode() if "eventlogdata" in event else _written(event["data"])
    (record,) = sound_records(
        [
            (
                check_session_id(event["subject"]),
                int(event["sequence"]),
                Position(number),
                parse_id(event["id"]),
                found[2],
                int(found[3]),
                parse_time(event["time"]),
                data,
                event["eventlogmetadata"].encode(),
                bytes.fromhex(event["eventloghash"]),
            )
        ]
    )
    return record
