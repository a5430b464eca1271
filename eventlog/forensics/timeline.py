"""The events of a session in order, filtered; filters choose what is shown and change nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.argument_checks import microseconds
from eventlog.errors import InvalidArgument
from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["Filters", "filters", "timeline"]


class Filters(NamedTuple):
    """What events must be like to be shown; what is None does not matter."""

    types: frozenset[str] | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None
    """In lower case, as `str.casefold` makes it."""

    def admit(self, record: Record) -> bool:
        """Return whether an event is to be shown."""
        return (
            (self.types is None or record.type in self.types)
            and (self.since is None or record.time >= self.since)
            and (self.until is None or record.time <= self.until)
            and (self.actor is None or Recorded(record).metadata.actor == self.actor)
            and (self.text is None or _says(record.data, self.text))
        )


def filters(
    types: Sequence[str] | None = None,
    actor: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    text: str | None = None,
) -> Filters:
    """Check what a caller asks for; raise `InvalidArgument`."""
    if isinstance(types, str):
        raise InvalidArgument(f"types is the text {types!r:.80}; give a list of event types")
    return Filters(
        None if types is None else frozenset(types),
        actor,
        None if since is None else microseconds(since),
        None if until is None else microseconds(until),
        None if text is None else text.casefold(),
    )


def timeline(past: Past, wanted: Filters) -> Iterator[Recorded]:
    """Yield the events of a session that filters admit, in order."""
    return (Recorded(record) for record in past.records() if wanted.admit(record))


def _says(data: bytes, text: str) -> bool:
    """Return whether a text is in one of the texts of an event, in whatever case."""
    try:
        return any(text in found.casefold() for found in _texts(json.loads(data)))
    except (ValueError, RecursionError):
        return text in data.decode(errors="replace").casefold()


def _texts(value: Any) -> Iterator[str]:
    left: list[Any] = [value]
    while left:
        found = left.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            left += cast("dict[str, Any]", found).values()
        elif isinstance(found, list):
            left += found
