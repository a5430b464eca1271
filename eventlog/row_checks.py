"""Checks of the rows that a store reads back, before anything is computed with them.

A database may hold other types in a column than those that were written. A row that passes can be
chained, compared and decoded. Whether it is what was written is for the hash chain to show.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.errors import CorruptLog
from eventlog.positions import Position
from eventlog.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["sound_records"]

_TYPES: Final = [str, int, int, bytes, str, int, int, bytes, bytes, bytes]
_LIMITS: Final = {"version": (1, 1 << 63), "schema": (1, 1 << 32), "time": (0, 1 << 63)}
"""The lowest value, and the first one that is too high: what a chain's header has room for."""

_LIMITED: Final = [
    (itemgetter(Record._fields.index(name)), *limits) for name, limits in _LIMITS.items()
]
_new: Final = cast("Callable[..., Record]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
_as_record: Final = partial(_new, Record)
"""Two thirds of the cost of `Record._make`, which counts the fields once more."""


def sound_records(rows: Sequence[tuple[Any, ...]]) -> list[Record]:
    """Return rows as records, up to the first damaged one; a row has the fields of `Record`.

    Raises `CorruptLog` if the very first row is damaged. So a reader gets the records before the
    damage, and the error when it reads on.
    """
    if _are_sound(rows):
        return list(map(_as_record, rows))
    for place, row in enumerate(rows):
        problem = _problem(row)
        if problem is not None and place:
            return list(map(Record._make, rows[:place]))
        if problem is not None:
            raise _damaged(row, problem)
    return list(map(Record._make, rows))


def _are_sound(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Return whether all rows are records; all in C, half the cost of a comparison per row."""
    if list(map(type, chain.from_iterable(rows))) != _TYPES * len(rows):
        return False
    for of, lowest, limit in _LIMITED:
        found = sorted(map(of, rows))  # They are in order mostly: cheaper than both min and max.
        if found and not (lowest <= found[0] and found[-1] < limit):
            return False
    return True


def _problem(row: tuple[Any, ...]) -> str | None:
    """Return what is wrong with a row, or None if it is a record."""
    for name, value, type_ in zip(Record._fields, row, _TYPES, strict=True):
        if type(value) is not type_:
            return f"its {name} is {value!r:.40}"
        if name in _LIMITS and not _LIMITS[name][0] <= cast("int", value) < _LIMITS[name][1]:
            return f"its {name} is {value}"
    return None


def _damaged(row: tuple[Any, ...], problem: str) -> CorruptLog:
    fields: dict[str, Any] = dict(zip(Record._fields, row, strict=True))
    stream, version, position = fields["stream"], fields["version"], fields["position"]
    stream = stream if isinstance(stream, str) else None
    whose = "" if stream is None else f"session {stream!r}, version {version!r:.40}: "
    return CorruptLog(
        f"{whose}the record at position {position!r:.40} is damaged: {problem}; keep a copy "
        "of the log, then restore it from a backup",
        stream=stream,
        version=version if isinstance(version, int) else None,
        position=Position(position) if isinstance(position, int) else None,
    )
