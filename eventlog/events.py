"""Events: their types, their schemas, and the upcasting of older data.

An event is a frozen pydantic model with a stored name and a schema number::

    class Deployed(Event, type="acme.deployed", schema=2, upcasters={1: _add_environment}):
        service: str
        environment: str

An application's type has a dot in its name (``acme.deployed``); names without a dot are the
library's. With ``keys=("run/{run_id}",)`` the events of a class are found by their fields, see
`eventlog.event_keys`. An upcaster turns the decoded JSON object of one schema into that of the next. There must
be one for every schema before the current one, which is checked when the class is defined.
"""

# No `from __future__ import annotations`: those of `Event` would be compiled for each subclass.
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from eventlog.errors import InvalidArgument, UnknownEventType
from eventlog.event_keys import KeyTemplate, key_templates

__all__ = [
    "Event",
    "Upcaster",
    "event_class",
    "import_when_read",
    "is_builtin_type",
    "library_types",
    "unchanged",
]

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def unchanged(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data as it is: the upcaster to a schema that only gives its fields new meaning.

    Data of a schema with this upcaster is decoded as directly as that of the current schema.
    """
    return data


_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", re.ASCII)
_LIBRARY = "eventlog."

_set = object.__setattr__
_registry: "dict[str, type[Event]]" = {}
_seldom: list[str] = []


class Event(BaseModel):
    """An immutable fact in the past tense: the base class of all events.

    A subclass names its type, as in ``class Deployed(Event, type="acme.deployed")``, and may give a
    ``schema`` number and ``upcasters``. Unknown fields are kept, so what a newer version has added
    survives a round trip.

    ``keys`` names index keys made of fields, as in ``keys=("run/{run_id}", "step/{run_id}/{step}")``:
    `Session.find` and `Log.find` return the events with such a key without reading others. They
    hold for events that are recorded from then on. An event without a value for a field (None)
    does not have the key.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    event_type: ClassVar[str]
    event_schema: ClassVar[int]
    event_upcasters: ClassVar[Mapping[int, Upcaster]]
    event_keys: ClassVar[tuple[KeyTemplate, ...]] = ()

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        schema: int = 1,
        upcasters: Mapping[int, Upcaster] | None = None,
        keys: str | Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        if type is None:
            return  # An abstract base of events, which is never stored itself.
        if not _TYPE_NAME.fullmatch(type):
            raise InvalidArgument(
                f"event type {type!r}: use lower-case words joined by '_', with a dot after "
                "your own prefix, such as 'acme.order_placed'"
            )
        if is_builtin_type(type) and not cls.__module__.startswith(_LIBRARY):
            raise InvalidArgument(
                f"event type {type!r}: names without a dot belong to the library; "
                f"use a prefix of your own, such as 'acme.{type}'"
            )
        known = _registry.get(type)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise InvalidArgument(
                f"event type {type!r} is already defined by {known!r}; use another name"
            )
        steps = dict(upcasters or {})
        if set(steps) != set(range(1, schema)):
            raise InvalidArgument(
                f"event type {type!r} has schema {schema}, so it needs upcasters from each of "
                f"{list(range(1, schema))}; it has {sorted(steps)}"
            )
        cls.event_type, cls.event_schema, cls.event_upcasters = type, schema, steps
        _registry[type] = cls

    @classmethod
    def trusted(cls, fields: dict[str, Any]) -> Self:
        """Build an event from values that are known to be valid, without checking them.

        ``model_construct`` does the same at four times the cost, and this runs once per message.
        """
        event = cls.__new__(cls)
        _set(event, "__dict__", fields)
        _set(event, "__pydantic_fields_set__", fields.keys())
        _set(event, "__pydantic_extra__", None)
        _set(event, "__pydantic_private__", None)
        return event

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, type: str | None = None, keys: str | Sequence[str] = (), **options: Any
    ) -> None:
        """Read the index keys, for which the fields must be known, and accept the other options,
        which `__init_subclass__` has handled."""
        if type is None:
            return
        try:
            cls.event_keys = key_templates(keys, cls.model_fields)
        except InvalidArgument:
            del _registry[type]
            raise

    def index_keys(self) -> tuple[str, ...]:
        """Return the keys under which this event is found."""
        templates = self.event_keys
        if not templates:
            return ()
        names = {name for template in templates for name in template.fields}
        values = self.model_dump(mode="json", include=names)
        keys = (template.key(values) for template in templates)
        return tuple(dict.fromkeys(key for key in keys if key is not None))


def is_builtin_type(type: str) -> bool:
    """Return whether a type is one of the library's: these have no dot in their name."""
    return "." not in type


def import_when_read(module: str) -> None:
    """Register a module of the library that defines events which few logs have.

    It is imported when a log has a type that no imported module defines.
    """
    _seldom.append(module)


def library_types() -> list[str]:
    """Return the types of the library's events, by name."""
    for module in _seldom:
        import_module(module)
    return sorted(filter(is_builtin_type, _registry))


def event_class(type: str, schema: int) -> type[Event]:
    """Return the class of an event type; raise `UnknownEventType` if no module defines it."""
    found = _registry.get(type)
    if found is None and is_builtin_type(type):
        for module in _seldom:
            import_module(module)
        found = _registry.get(type)
    if found is None:
        raise UnknownEventType(
            type,
            schema,
            "written by a newer eventlog; upgrade it"
            if is_builtin_type(type)
            else "import the module that defines it before reading",
        )
    if schema > found.event_schema:
        raise UnknownEventType(
            type, schema, f"only schemas up to {found.event_schema} are known here; upgrade"
        )
    return found
