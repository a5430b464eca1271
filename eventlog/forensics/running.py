"""One fold over a session, seen after every record: what blame and bisect go through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.forensics.picture import META_ALONE, Picture, Pictures, state_values, values_of
from eventlog.recorded import Recorded
from eventlog.session.folding import apply_records
from eventlog.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from eventlog.forensics.past import Past
    from eventlog.records import Record

__all__ = ["each_picture", "each_state"]


def each_state(
    past: Past, until: int, roots: Collection[str]
) -> Iterator[tuple[Record, Callable[[], Mapping[str, Any]]]]:
    """Yield each record up to a version, and what returns the values right after it.

    They are right until the next record is asked for. Only the values under ``roots`` are there for
    certain: where the metadata are enough, messages are folded without being read.
    """
    if not META_ALONE.issuperset(roots):
        picture: Picture | None = None

        def values() -> Mapping[str, Any]:
            assert picture is not None
            return values_of(picture)

        for record, picture in each_picture(past, until):
            yield record, values
        return
    state = SessionState(past.session)
    for record in _watched(past, until, state):
        yield record, lambda: _seen(state)


def _seen(state: SessionState) -> Mapping[str, Any]:
    findings = [f"{version}: {why}" for version, why in state.findings]
    return {**state_values(state), "findings": findings}


def _watched(past: Past, until: int, state: SessionState) -> Iterator[Record]:
    """Yield each record when it has been folded, by the shortest way to fold it."""
    for record in past.records(0, until) if until else ():
        apply_records(state, (record,))
        yield record


def each_picture(past: Past, until: int) -> Iterator[tuple[Record, Picture]]:
    """Yield each record up to a version, and the picture right after it, which goes on changing."""
    fold = Pictures(past.session)
    picture = fold.initial()
    for record in past.records(0, until) if until else ():
        picture = fold.apply(picture, Recorded(record))
        yield record, picture
