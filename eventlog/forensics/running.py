"""One fold over a session, looked at after every record: what blame and bisect go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.forensics.picture import META_ALONE, Picture, Pictures, Values
from eventlog.recorded import Recorded
from eventlog.session.folding import apply_records
from eventlog.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import Any

    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["each_picture", "look_at_each"]


def look_at_each(
    past: Past,
    until: int,
    roots: Collection[str],
    look: Callable[[Record, Mapping[str, Any]], bool],
) -> Record | None:
    """Fold a session up to a version, and look at the values after each record; return the record
    at which ``look`` returned true, where the fold ends.

    The values are right until ``look`` returns. Only those under ``roots`` are there for certain:
    where the metadata are enough, messages are folded without being read.
    """
    return past.store.shelter.read(_look_at_each, past, until, roots, look)


def _look_at_each(
    past: Past,
    until: int,
    roots: Collection[str],
    look: Callable[[Record, Mapping[str, Any]], bool],
) -> Record | None:
    if META_ALONE.issuperset(roots):
        return _look_at_states(past, until, look)
    for record, picture in each_picture(past, until):
        if look(record, Values(picture)):
            return record
    return None


def _look_at_states(
    past: Past, until: int, look: Callable[[Record, Mapping[str, Any]], bool]
) -> Record | None:
    picture = Picture(SessionState(past.session))
    values = Values(picture)
    found: Record | None = None

    def looked_at() -> Iterator[Record]:
        """Yield records to the fold; when it asks for the next one, the last has been folded."""
        nonlocal found
        for record in past.records(0, until) if until else ():
            yield record
            if look(record, values):
                found = record
                return

    apply_records(picture.session, looked_at())
    return found


def each_picture(past: Past, until: int) -> Iterator[tuple[Record, Picture]]:
    """Yield each record up to a version, and the picture right after it, which goes on changing."""
    fold = Pictures(past.session)
    picture = fold.initial()
    for record in past.records(0, until) if until else ():
        picture = fold.apply(picture, Recorded(record))
        yield record, picture
