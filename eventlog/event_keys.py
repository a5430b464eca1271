"""Index keys that an event class makes of its fields, such as ``run/{run_id}``.

The keys of an event are made when it is recorded and stored in its record's metadata. So the index
entries that follow from them can be rebuilt, and verified, without the class.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.identifiers import key_part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = ["KEYS_LIMIT", "KEY_BYTES", "KeyTemplate", "checked_key", "key_templates", "keys_among"]

KEY_BYTES: Final = 1_024
"""The longest key in UTF-8. Stores limit the length of index keys, which also have the session's id."""

KEYS_LIMIT: Final = 16
"""The most keys that one event has."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class KeyTemplate(NamedTuple):
    """A key with places for fields: its literal texts, each followed by a field's name or None."""

    pieces: tuple[tuple[str, str | None], ...]

    @property
    def fields(self) -> list[str]:
        """The names of the fields, in order."""
        return [name for _, name in self.pieces if name is not None]

    def key(self, values: Mapping[str, Any]) -> str | None:
        """Return the key with these values in place of the fields; None if one of them is None.

        What is in a field never adds a part to the key, nor takes one away: slashes in it are
        escaped. Raises `InvalidArgument` for a value that is neither text nor a whole number nor
        true or false, and for a key that is too long.
        """
        key = ""
        for text, name in self.pieces:
            value = None if name is None else values[name]
            if name is not None and value is None:
                return None
            key += text if name is None else text + key_part(_as_text(name, value))
        size = len(key.encode(errors="replace"))
        if size > KEY_BYTES:
            raise InvalidArgument(
                f"the index key {key[:40]!r}… takes {size} bytes of UTF-8; at most {KEY_BYTES} are "
                "allowed: use shorter fields"
            )
        return key


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise InvalidArgument(
        f"the field {name!r} is part of an index key, so it must be text, a whole number, true or "
        f"false, not {shown(value)}"
    )


def key_templates(
    keys: str | Sequence[str], fields: Collection[str] | None = None
) -> tuple[KeyTemplate, ...]:
    """Read the keys of an event class; raise `InvalidArgument` for what is none.

    ``fields`` has the fields of the class.
    """
    texts = (keys,) if isinstance(keys, str) else tuple(keys)
    if len(texts) > KEYS_LIMIT:
        raise InvalidArgument(f"{len(texts)} index keys: an event has at most {KEYS_LIMIT}")
    return tuple(_template(text, fields) for text in texts)


def _template(text: str, fields: Collection[str] | None) -> KeyTemplate:
    try:
        parsed = list(Formatter().parse(text))
    except (ValueError, TypeError) as error:
        raise _wrong(text, str(error)) from error
    for _, name, specification, conversion in parsed:
        if name is None:
            continue
        if not name.isidentifier() or specification or conversion:
            raise _wrong(text, f"{{{name}}} must be the name of a field, and nothing else")
        if fields is not None and name not in fields:
            raise _wrong(text, f"the class has no field {name!r}")
    shape = "".join(f"{literal}{'x' if name else ''}" for literal, name, _, _ in parsed)
    if not all(shape.split("/")):
        raise _wrong(text, "a part between two slashes, or at an end, is empty")
    if "\\" in shape or _CONTROL.search(shape):
        raise _wrong(text, "it has a backslash or a control character")
    return KeyTemplate(tuple((literal, name) for literal, name, _, _ in parsed))


def _wrong(text: object, problem: str) -> InvalidArgument:
    return InvalidArgument(
        f"{shown(text)} cannot be an index key: {problem}; write one like 'run/{{run_id}}'"
    )


def checked_key(key: Any, fields: Mapping[str, Any]) -> str:
    """Return a key that is looked for; raise `InvalidArgument` for what can be none.

    With ``fields``, the key is written as in its class, and they take the places of the fields in
    it. Without, it is the whole key.
    """
    if not isinstance(key, str):
        raise InvalidArgument(f"an index key must be text, not {shown(key)}")
    wanted = key.removesuffix("/")
    if not fields:
        if not _is_key(wanted):
            raise InvalidArgument(f"{key!r} cannot be an index key; give one like 'run/42'")
        return wanted
    (template,) = key_templates(wanted)
    if set(template.fields) != set(fields):
        raise InvalidArgument(
            f"the key {key!r} has the fields {template.fields}; {sorted(fields)} are given"
        )
    found = template.key(fields)
    if found is None:
        raise InvalidArgument(f"a field of the key {key!r} is None; no event has such a key")
    return found


def _is_key(value: object) -> bool:
    """Return whether a value from a record's metadata has the form of a key."""
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        return False
    try:
        return len(value.encode()) <= KEY_BYTES and all(value.split("/"))
    except UnicodeEncodeError:
        return False


def keys_among(values: Iterable[object]) -> tuple[str, ...]:
    """Return the keys in a list from a record's metadata; what cannot be one is passed over."""
    found = dict.fromkeys(cast("str", value) for value in values if _is_key(value))
    return tuple(found)[:KEYS_LIMIT]
