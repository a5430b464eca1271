"""Which turn the code that is running belongs to: a context variable, so tasks inherit it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.session.turns.state import TurnFence

__all__ = ["bind", "fence_of", "release", "steps_of"]


class _Bound(NamedTuple):
    core: Core
    fence: TurnFence
    steps: TurnSteps


_bound: ContextVar[tuple[_Bound, ...]] = ContextVar("eventlog_turns", default=())


def bind(core: Core, fence: TurnFence, steps: TurnSteps) -> None:
    """Have commands on a session that are given from here on belong to an attempt at a turn."""
    _bound.set((*_bound.get(), _Bound(core, fence, steps)))


def release(core: Core, fence: TurnFence) -> None:
    """Undo `bind`; in a context that was not bound, do nothing."""
    _bound.set(tuple(each for each in _bound.get() if each[:2] != (core, fence)))


def fence_of(core: Core) -> TurnFence | None:
    """Return the fence of the turn of a session that the running code is part of, or None."""
    bound = _bound.get()
    if bound:
        for each in reversed(bound):
            if each.core is core:
                return each.fence
    return None


def steps_of(core: Core) -> TurnSteps | None:
    """Return the steps of the turn of a session that the running code is part of, or None."""
    return next((each.steps for each in reversed(_bound.get()) if each.core is core), None)
