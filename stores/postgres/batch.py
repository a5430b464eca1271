"""The appends of one PostgreSQL transaction: checks, rows and answers.

Whether an append is accepted depends on the version of its stream. Reading that first would cost a
round trip, so a batch is decided on an assumption: each stream is at the version that the first
append to it expects, and none of the event ids is stored. The function `append` in the database
compares the assumption with the truth, under the locks of the streams, and stores everything or
nothing. Only if the assumption was wrong, or an append had to be refused because of it, the store
reads the versions and ids and decides the batch again; the function compares those as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.errors import DuplicateEvent, InvalidArgument, VersionConflict
from eventlog.store import EMPTY_HEAD, Appended, Position, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.errors import EventLogError
    from eventlog.store import Append

__all__ = ["Batch", "Observed", "split_entries", "unstorable"]

End = tuple[int, bytes | None]
"""A stream's version and the hash there; None if the hash is not known."""


class Observed(NamedTuple):
    """The versions of streams as they were read, and the versions of the ids that were stored."""

    ends: dict[str, End]
    stored: dict[tuple[str, bytes], int]


class Batch:
    """The appends of a batch, decided on what is known: each sees the earlier ones."""

    def __init__(self, appends: Sequence[Append], observed: Observed | None) -> None:
        self._observed = observed
        self._stored = {} if observed is None else dict(observed.stored)
        self._begins: dict[str, End] = {}
        self._ends: dict[str, End] = {}
        self._last_places: dict[str, int] = {}
        self._entries: dict[str, bytes | None] = {}
        self.rows: list[tuple[str, int, bytes, str, int, int, bytes, bytes, bytes]] = []
        self.certain = True
        """Whether no append was refused because of an assumption."""
        self._answers = [self._answer(append) for append in appends]

    def _answer(self, append: Append) -> Appended | EventLogError:
        stream, expected, records, entries, previous = append
        ids = [record.event_id for record in records]
        stored = self._stored
        if stored:
            versions = [stored.get((stream, event_id)) for event_id in ids]
            if any(versions):
                return repeated(append, versions)
        if len(ids) > 1 and len(set(ids)) < len(ids):
            return DuplicateEvent(
                stream, "an event id occurs twice in one append; give each event an id of its own"
            )
        end = self._ends.get(stream) or self._begin(append)
        actual, last = end
        if actual != expected or (last is not None and previous not in (None, last)):
            self.certain = self._observed is not None
            return VersionConflict(stream, expected, actual)
        self._begins.setdefault(stream, end)
        first = len(self.rows) + 1
        for record in records:
            _, version, _, event_id, type_, schema, time, data, metadata, hash_ = record
            self.rows.append(
                (stream, version, event_id, type_, schema, time, hash_, metadata, data)
            )
            stored[stream, event_id] = version
        self._ends[stream] = (records[-1].version, records[-1].hash)
        self._last_places[stream] = len(self.rows)
        if entries:
            self._entries.update(entries)
        return Appended(
            tuple(record.version for record in records),
            tuple(map(Position, range(first, first + len(records)))),
        )

    def _begin(self, append: Append) -> End:
        if self._observed is None:
            return append.expected, append.previous
        return self._observed.ends.get(append.stream, (0, EMPTY_HEAD.hash))

    def arguments(self) -> list[Any]:
        """Return the arguments of the database function `append`."""
        names = sorted(self._begins)
        places = {name: place for place, name in enumerate(names, 1)}
        streams, *columns = map(list, zip(*self.rows, strict=True))
        return [
            names,
            [self._begins[name][0] for name in names],
            [self._begins[name][1] for name in names],
            [self._last_places[name] for name in names],
            [places[stream] for stream in streams],
            *columns,
            *split_entries(self._entries),
        ]

    def answers(self, base: int) -> list[Appended | EventLogError]:
        """Return the answers, given that all rows were stored after the position ``base``."""
        return [
            answer._replace(positions=tuple(Position(base + it) for it in answer.positions))
            if isinstance(answer, Appended)
            else answer
            for answer in self._answers
        ]


def split_entries(
    entries: dict[str, bytes | None],
) -> tuple[list[str], list[bytes], list[str]]:
    """Return the keys to store, their values, and the keys to remove."""
    stored = {key: value for key, value in entries.items() if value is not None}
    return list(stored), list(stored.values()), [key for key in entries if key not in stored]


def unstorable(append: Append) -> EventLogError | None:
    """Return the error if PostgreSQL's text type cannot hold something in an append, else None."""
    texts = [append.stream, *(key for key, _ in append.entries)]
    for text in (*texts, *(record.type for record in append.records)):
        if "\0" in text:
            return InvalidArgument(
                f"session {append.stream!r}: {text!r} has a NUL character, which a name, a type "
                "or a key cannot have in PostgreSQL; leave it out"
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            return InvalidArgument(
                f"session {append.stream!r}: {text!r} has a lone surrogate, which no UTF-8 text "
                "can hold; mend it"
            )
    return None
