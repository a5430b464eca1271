"""Lists of turns: of all sessions, from the index; of one, or those that are open, from sessions too."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from eventlog.engine.queries import read_turns
from eventlog.session.index import (
    STALE,
    TURNS,
    keys_under,
    read_turn,
    session_of_entry,
    session_of_stale_key,
)
from eventlog.session.views import turn_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.engine.engine import Engine
    from eventlog.session.turns.machine import TurnState
    from eventlog.session.views import TurnView

__all__ = ["TurnLine", "list_turns"]


class TurnLine(NamedTuple):
    """A turn in a list, and its session."""

    session_id: str
    turn: TurnView


def list_turns(
    engine: Engine, session_id: str | None = None, state: TurnState | None = None
) -> Iterator[TurnLine]:
    """Yield turns by session, and there as they were begun (I/O).

    The index has the turns that ended and names the sessions in which one is open, which alone are
    folded. Raises `CorruptLog` for a damaged entry.
    """
    if session_id is not None:
        found = _of_session(engine, session_id)
    elif state == "open":
        found = (line for each in _with_open(engine) for line in _of_session(engine, each))
    else:
        found = _of_all(engine)
    return (line for line in found if state in (None, line.turn.state))


def _of_session(engine: Engine, session_id: str) -> Iterator[TurnLine]:
    return _in_order(session_id, read_turns(engine.core(session_id)))


def _with_open(engine: Engine) -> list[str]:
    """Return the sessions in which a turn is open."""
    return sorted(session_of_stale_key(key) for key, _ in engine.store.scan(*keys_under(STALE)))


def _of_all(engine: Engine) -> Iterator[TurnLine]:
    unseen = set(_with_open(engine))
    entries = engine.store.scan(*keys_under(TURNS))
    for session_id, group in groupby(entries, key=lambda entry: session_of_entry(*entry)):
        if session_id is None:
            continue
        if session_id in unseen:
            unseen.remove(session_id)
            yield from _of_session(engine, session_id)
        else:
            yield from _in_order(session_id, [turn_view(read_turn(value)) for _, value in group])
    for session_id in sorted(unseen):  # Their first turn is open: none of theirs has ended.
        yield from _of_session(engine, session_id)


def _in_order(session_id: str, turns: Iterable[TurnView]) -> Iterator[TurnLine]:
    return (TurnLine(session_id, turn) for turn in sorted(turns, key=lambda turn: turn.begun_at))
