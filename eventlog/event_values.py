"""Bytes that an application's event names, and that are stored beside the log (L11).

An event has a `Value` in a field. When it is recorded, the bytes are stored first, under their
SHA-256, and the event keeps digest and size. The digests are in the record's metadata as well: so a
copy takes the values along, and verifying looks for them, without the class of the event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel
from pydantic_core import core_schema

from eventlog.argument_checks import check_count
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.events import Event

__all__ = ["Value", "values_in"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PLAIN: Final = (str, int, float, bool, bytes, type(None))


class Value:
    """Bytes beside the log, of any size that the store takes; a type for the fields of events.

    ``Value(data)`` has the bytes. Recording the event stores them, once per session, before the
    event. A value that was read back has only ``sha256`` and ``size``: `Session.value` returns its
    bytes, and it can be recorded again in an event of the same session.
    """

    __slots__ = ("data", "sha256", "size")

    def __init__(self, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"a value is made of bytes, not of {shown(data)}")
        whole = bytes(data)
        self.data: bytes | None = whole
        self.sha256 = sha256(whole).hexdigest()
        self.size = len(whole)

    @classmethod
    def named(cls, sha256: str, size: int) -> Value:
        """Return the value with this SHA-256, in 64 hexadecimal digits, and this many bytes."""
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"sha256 is {shown(sha256)}; it must be 64 hexadecimal digits")
        check_count("size", size, "bytes")
        value = cls.__new__(cls)
        value.data, value.sha256, value.size = None, sha256, size
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and (other.sha256, other.size) == (self.sha256, self.size)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"<Value {self.sha256[:12]}… of {self.size:,} bytes>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Return how pydantic reads and writes a value: as an object of ``sha256`` and ``size``."""
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: {"sha256": value.sha256, "size": value.size}
            ),
        )


def _validated(value: Any) -> Value:
    if isinstance(value, Value):
        return value
    if isinstance(value, bytes):
        return Value(value)
    fields = cast("dict[str, Any]", value)
    if not isinstance(value, dict) or fields.keys() != {"sha256", "size"}:
        raise ValueError("it must be a Value, bytes, or an object of sha256 and size")
    try:
        return Value.named(fields["sha256"], fields["size"])
    except InvalidArgument as error:
        raise ValueError(str(error)) from error


def values_in(event: Event) -> tuple[Value, ...]:
    """Return the values in an event's fields, wherever they are, each once."""
    return tuple(dict.fromkeys(_found(event.__dict__)))


def _found(thing: Any) -> Iterator[Value]:
    """Yield the values within a thing, in order.

    It goes through each container once, and without recursion: what is cyclic or too deep to be
    stored comes through here before it is refused.
    """
    seen: set[int] = set()
    waiting: list[Any] = [thing]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, Value):
            yield thing
        if isinstance(thing, (*_PLAIN, Value)) or id(thing) in seen:
            continue
        seen.add(id(thing))
        waiting.extend(reversed(_contents(thing)))


def _contents(thing: Any) -> list[Any]:
    if isinstance(thing, BaseModel):
        return [thing.__dict__, thing.__pydantic_extra__]
    if isinstance(thing, Mapping):
        return list(cast("dict[Any, Any]", thing).values())
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(cast("Iterable[Any]", thing))
    return []
