"""Events to bytes and back.

Data and metadata are UTF-8 JSON objects, written compactly by pydantic. What is stored is never
rewritten: an old schema is lifted by its upcasters each time it is read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pydantic_core
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventlog.chain import EMPTY_METADATA
from eventlog.error_text import printable, shown
from eventlog.errors import CorruptLog, InvalidArgument
from eventlog.event_keys import keys_among
from eventlog.event_values import values_in
from eventlog.events import Event, event_class, is_builtin_type, unchanged
from eventlog.mending import legible
from eventlog.records import Metadata
from eventlog.storable import is_nested_too_deeply, problem_in

if TYPE_CHECKING:
    from eventlog.records import Record

__all__ = [
    "decode_event",
    "decode_metadata",
    "encode_event",
    "encode_metadata",
    "keys_of",
    "records_to_come",
    "refusal",
    "value_digests_of",
    "with_records_to_come",
    "with_what_follows",
    "without_what_follows",
]

_TO_COME = "more"
"""The metadata field that marks the inside of an append (`records_to_come`)."""

_KEYS = "keys"
"""The metadata field with an event's index keys (`keys_of`)."""

_VALUES = "values"
"""The metadata field with the digests of the values that an event names (`value_digests_of`)."""

_NO_METADATA = Metadata()


def encode_event(event: Event) -> bytes:
    """Write an event's data as JSON; raise `InvalidArgument` if it would not be read back equal.

    The values in the library's own events were checked when they came in. A user's event may hold
    anything, so what was written is read back and compared with what was given.
    """
    try:
        if is_builtin_type(event.event_type):
            return event.__pydantic_serializer__.to_json(event)
        data = event.__pydantic_serializer__.to_json(event, warnings=False)
        if _reads_as(event, data):
            return data
        error = None
    except Exception as raised:  # noqa: BLE001 - the fields of a user's event may raise anything
        error = raised
    raise InvalidArgument(
        f"{event.event_type} cannot be stored as JSON: {_blame(event, error)}; correct the value"
    ) from error


def _reads_as(event: Event, data: bytes) -> bool:
    is_equal: bool = type(event).__pydantic_validator__.validate_json(data) == event
    return is_equal and not is_nested_too_deeply(pydantic_core.from_json(data), data)


def _blame(event: Event, error: Exception | None) -> str:
    """Return which field of an event cannot be stored and why, as far as that can be found out."""
    fields = {**event.__dict__, **(event.__pydantic_extra__ or {})}
    plain: dict[str, Any] = {
        name: value
        for name, value in fields.items()
        if isinstance(value, (dict, list, str, int, float))
    }
    found = problem_in(plain)
    if found is not None:
        return str(found)
    if error is not None:
        return _first_problem(error)
    return "it would be read back as something else"


def decode_event(record: Record) -> Event:
    """Read a record's event, lifted to its current schema.

    Data that earlier versions stored and no reader accepts reads as text in its place. Raises
    `UnknownEventType` if no imported class reads it, and `CorruptLog` if the data does not fit its
    schema.
    """
    found = event_class(record.type, record.schema)
    try:
        return _event_in(record.data, record.schema, found)
    except Exception as error:  # an upcaster may raise anything when the data is damaged
        readable = legible(record.data)
        if readable is not None:
            with suppress(Exception):
                return _event_in(readable, record.schema, found)
        raise CorruptLog(
            f"session {record.stream!r}, version {record.version}: the data does "
            f"not fit schema {record.schema} of {record.type} ({_first_problem(error)}); "
            "run `eventlog verify`"
        ) from error


def _event_in(data: bytes, schema: int, found: type[Event]) -> Event:
    if schema == found.event_schema:
        event: Event = found.__pydantic_validator__.validate_json(data)
        return event
    steps = [found.event_upcasters[each] for each in range(schema, found.event_schema)]
    if all(step is unchanged for step in steps):
        return cast("Event", found.__pydantic_validator__.validate_json(data))
    fields = pydantic_core.from_json(data)
    for step in steps:
        fields = step(fields)
    lifted: Event = found.__pydantic_validator__.validate_python(fields)
    return lifted


def encode_metadata(metadata: Metadata) -> bytes:
    """Write the fields that are set; raise `InvalidArgument` for what JSON cannot hold."""
    if metadata == _NO_METADATA:
        return EMPTY_METADATA
    fields = {name: value for name, value in metadata._asdict().items() if value is not None}
    try:
        return pydantic_core.to_json(fields)
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidArgument(
            f"the metadata {fields} cannot be stored as JSON: {error}; correct the value"
        ) from error


def with_records_to_come(metadata: bytes, count: int) -> bytes:
    """Return a record's metadata with how many records of its append follow it."""
    return _with_field(metadata, f'"{_TO_COME}":{count}'.encode())


def with_what_follows(metadata: bytes, event: Event) -> bytes:
    """Return a record's metadata with the index keys of its event, and the digests of its values."""
    keys = event.index_keys() if event.event_keys else ()
    if keys:
        metadata = _with_field(metadata, f'"{_KEYS}":'.encode() + pydantic_core.to_json(keys))
    values = [value.sha256 for value in values_in(event)]
    if values:
        metadata = _with_field(metadata, f'"{_VALUES}":'.encode() + pydantic_core.to_json(values))
    return metadata


def without_what_follows(metadata: bytes) -> bytes:
    """Return a record's metadata without what `with_what_follows` adds."""
    if f'"{_KEYS}"'.encode() not in metadata and f'"{_VALUES}"'.encode() not in metadata:
        return metadata
    fields = pydantic_core.from_json(metadata)
    kept = {name: value for name, value in fields.items() if name not in (_KEYS, _VALUES)}
    return pydantic_core.to_json(kept) if kept else EMPTY_METADATA


def _with_field(metadata: bytes, field: bytes) -> bytes:
    return b"{%b}" % field if metadata == EMPTY_METADATA else b"%b,%b}" % (metadata[:-1], field)


def keys_of(record: Record) -> tuple[str, ...]:
    """Return the index keys of a record's event, as they were when it was recorded. Never raises."""
    return keys_among(_list_in(record.metadata, _KEYS))


def value_digests_of(record: Record) -> list[object]:
    """Return what the metadata of an application's event name as digests of values. Never raises."""
    return _list_in(record.metadata, _VALUES)


def _list_in(metadata: bytes, name: str) -> list[object]:
    if f'"{name}"'.encode() not in metadata:
        return []
    try:
        found = pydantic_core.from_json(metadata).get(name)
    except (ValueError, AttributeError):
        return []  # Verifying reports it; whoever decodes the metadata is told.
    return cast("list[object]", found) if isinstance(found, list) else []


def records_to_come(record: Record) -> int:
    """Return how many records of the same append follow a record; 0 where the append ends.

    The state between them was never anybody's. Appends of several records that were written before
    the boundary was recorded read as if each of their records were an append.
    """
    if f'"{_TO_COME}"'.encode() not in record.metadata:
        return 0
    try:
        count = pydantic_core.from_json(record.metadata).get(_TO_COME, 0)
    except (ValueError, AttributeError):
        return 0  # Verifying reports it; whoever decodes the metadata is told.
    return count if type(count) is int and count > 0 else 0


def decode_metadata(record: Record) -> Metadata:
    """Read a record's metadata; fields that this version does not know are passed over."""
    if record.metadata == EMPTY_METADATA:
        return _NO_METADATA
    try:
        fields = pydantic_core.from_json(record.metadata)
        known = Metadata(**{name: fields.get(name) for name in Metadata._fields})
        return known._replace(keys=keys_of(record) or None)
    except (ValueError, AttributeError) as error:
        raise CorruptLog(
            f"session {record.stream!r}, version {record.version}: the metadata is not a JSON "
            "object; run `eventlog verify`"
        ) from error


def refusal(error: ValidationError) -> InvalidArgument:
    """Return the error for a caller's values that an event of the library cannot hold (P10)."""
    found = error.errors(include_url=False)[0]["input"]
    problem = printable(_first_problem(error))
    return InvalidArgument(f"{problem}, not {shown(found)}; correct the argument")


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return f"{type(error).__name__}: {error}"
