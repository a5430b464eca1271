"""The turns of clients: their terms, the names of their steps, and which one the running code is of.

The last is a context variable, so tasks inherit it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from eventlog import InvalidArgument
from eventlog.http.limits import LEASE_SECONDS

__all__ = ["Bound", "StepNames", "TurnTerms", "bind", "bound_turn", "release"]


class TurnTerms(NamedTuple):
    """What a turn is begun with."""

    resume: bool = False
    wait_seconds: float = 0.0
    lease_seconds: float = LEASE_SECONDS
    stale_seconds: float = 600.0
    on_error: Literal["keep", "withdraw"] = "keep"


class StepNames:
    """The names of the steps that one attempt has run or is running."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @contextmanager
    def named(self, name: str) -> Generator[None, None, None]:
        """Take a name for one step of this attempt; one that fails frees its name again."""
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("a step's name must be non-empty text")
        if name in self._names:
            raise InvalidArgument(
                f"step {name!r} was used before in this attempt; a name stands for one piece "
                "of work, so use another one, for instance with a number after it"
            )
        self._names.add(name)
        try:
            yield
        except BaseException:
            self.free(name)
            raise

    def free(self, name: str) -> None:
        """Give a name back, since what had it failed."""
        self._names.discard(name)


class Bound(NamedTuple):
    """A turn that the running code is part of."""

    connection: object
    session_id: str
    turn: Any
    names: StepNames


_bound: ContextVar[tuple[Bound, ...]] = ContextVar("eventlog_client_turns", default=())


def bind(connection: object, session_id: str, turn: Any, names: StepNames) -> None:
    """Have what is sent for a session from here on belong to a turn."""
    _bound.set((*_bound.get(), Bound(connection, session_id, turn, names)))


def release(turn: Any) -> None:
    """Undo `bind`; in a context that was not bound, do nothing."""
    _bound.set(tuple(each for each in _bound.get() if each.turn is not turn))


def bound_turn(connection: object, session_id: str) -> Bound | None:
    """Return the turn of a session that the running code is part of, or None."""
    bound: tuple[Bound, ...] = _bound.get()
    found = (it for it in reversed(bound) if it.connection is connection)
    return next((it for it in found if it.session_id == session_id), None)
