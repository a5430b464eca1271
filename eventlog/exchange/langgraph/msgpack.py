"""Values in MessagePack as JSON values; objects of Python in them are named, and never built.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md. LangGraph writes objects as
extensions that hold, in MessagePack again, module, class and arguments; loading one there imports
and calls what the file says. Here an object becomes ``{"class": "module.Name", "value": arguments}``.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Final

from eventlog.session.chat.format import is_list

__all__ = ["CLASS", "decoded"]

CLASS: Final = "class"

LEVELS: Final = 100
"""Levels of lists and maps, those inside extensions included."""

_OBJECTS: Final = range(6)
"""Extensions of LangGraph that name a class: constructors, a method, models of pydantic."""

_TIMESTAMP: Final = -1

_NUMBERS: Final = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS: Final = {
    # Of texts, bytes, extensions, lists and maps.
    0xD9: ">B",
    0xDA: ">H",
    0xDB: ">I",
    0xC4: ">B",
    0xC5: ">H",
    0xC6: ">I",
    0xC7: ">B",
    0xC8: ">H",
    0xC9: ">I",
    0xDC: ">H",
    0xDD: ">I",
    0xDE: ">H",
    0xDF: ">I",
}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}


def decoded(data: bytes) -> Any:
    """Return the value; raises `ValueError` for what is damaged or nested too deeply."""
    reader = _Reader(data, LEVELS)
    value = reader.value()
    if reader.place != len(data):
        raise ValueError(f"{len(data) - reader.place:,} bytes are left behind the value")
    return value


class _Reader:
    def __init__(self, data: bytes, levels: int) -> None:
        self._data = data
        self._levels = levels
        self.place = 0

    def value(self) -> Any:
        code = self._take(1)[0]
        if code <= 0x7F:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            return self._number(_NUMBERS[code])
        if code in _FIXED_EXTENSIONS:
            return self._extension(_FIXED_EXTENSIONS[code])
        return self._sized(code)

    def _sized(self, code: int) -> Any:
        """Read what says its length: in the code itself, or in a number behind it."""
        if code <= 0x8F:
            return self._map(code & 0x0F)
        if code <= 0x9F:
            return self._list(code & 0x0F)
        if code <= 0xBF:
            return self._text(code & 0x1F)
        if code not in _LENGTHS:
            raise ValueError(f"byte 0x{code:02x} begins no value")
        length = int(self._number(_LENGTHS[code]))
        if code in (0xD9, 0xDA, 0xDB):
            return self._text(length)
        if code in (0xC4, 0xC5, 0xC6):
            return {CLASS: "bytes", "value": b64encode(self._take(length)).decode()}
        if code in (0xC7, 0xC8, 0xC9):
            return self._extension(length)
        return self._list(length) if code in (0xDC, 0xDD) else self._map(length)

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self.place:
            raise ValueError(f"{count:,} bytes are missing at byte {self.place:,}")
        self.place += count
        return self._data[self.place - count : self.place]

    def _number(self, form: str) -> int | float:
        number: int | float = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return number

    def _text(self, length: int) -> str:
        return self._take(length).decode(errors="backslashreplace")

    def _list(self, length: int) -> list[Any]:
        self._enter(length)
        found = [self.value() for _ in range(length)]
        self._levels += 1
        return found

    def _map(self, length: int) -> dict[str, Any]:
        self._enter(2 * length)
        found: dict[str, Any] = {}
        for _ in range(length):
            key = self.value()
            found[key if isinstance(key, str) else repr(key)] = self.value()
        self._levels += 1
        return found

    def _enter(self, values: int) -> None:
        """Go a level down; each value takes a byte at least, so a false length is found at once."""
        if values > len(self._data) - self.place:
            raise ValueError(f"{values:,} values are missing at byte {self.place:,}")
        if not self._levels:
            raise ValueError(f"it is nested more than {LEVELS} levels deep")
        self._levels -= 1

    def _extension(self, length: int) -> Any:
        (code,) = struct.unpack(">b", self._take(1))
        data = self._take(length)
        if code == _TIMESTAMP:
            return _time(data)
        if code in _OBJECTS and self._levels:
            inner = _Reader(data, self._levels - 1).value()
            if is_list(inner) and len(inner) >= 3:
                return {CLASS: f"{inner[0]}.{inner[1]}", "value": inner[2]}
        return {CLASS: f"extension {code}", "value": b64encode(data).decode()}


def _time(data: bytes) -> Any:
    try:
        if len(data) == 4:
            seconds = struct.unpack(">I", data)[0]
        elif len(data) == 8:
            seconds = struct.unpack(">Q", data)[0] & ((1 << 34) - 1)
        else:
            seconds = struct.unpack(">Iq", data)[1]
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (struct.error, OverflowError, ValueError, OSError):
        return {CLASS: "extension -1", "value": b64encode(data).decode()}
