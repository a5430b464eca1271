"""Which turn the code that is running belongs to: a context variable, so tasks inherit it.

A generator shares the context of whoever iterates it. If it is dropped half-read, asyncio leaves its
block in another context, and the binding stays where it was made. So a binding notes where it was made,
and there it no longer counts once its block was left. In tasks and threads that were started in the
block it does: they are part of the turn, and have lost it.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio

    from eventlog.engine.core import Core
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.session.turns.state import TurnFence

__all__ = ["Block", "bind", "fence_of", "release", "steps_of"]


class Block:
    """The block of a turn: the thread and the task that entered it, and whether it was left."""

    __slots__ = ("_task", "_thread", "is_left")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        task = _current_task()
        self._task = None if task is None else weakref.ref(task)
        self.is_left = False

    def is_behind(self) -> bool:
        """Return whether the running code is where the block was entered, and the block was left."""
        if not self.is_left or self._thread != threading.get_ident():
            return False
        return _current_task() is (None if self._task is None else self._task())


def _current_task() -> asyncio.Task[Any] | None:
    loaded = sys.modules.get("asyncio")  # Only who runs in a task has to import it (B11).
    if loaded is None:
        return None
    try:
        task: asyncio.Task[Any] | None = loaded.current_task()
    except RuntimeError:
        return None
    return task


class _Bound(NamedTuple):
    core: Core
    fence: TurnFence
    steps: TurnSteps
    block: Block


_bound: ContextVar[tuple[_Bound, ...]] = ContextVar("eventlog_turns", default=())


def bind(core: Core, fence: TurnFence, steps: TurnSteps) -> Block:
    """Have commands on a session that are given from here on belong to an attempt at a turn.

    `release` takes the block that is returned.
    """
    bound = _Bound(core, fence, steps, Block())
    _bound.set((*(each for each in _bound.get() if not each.block.is_behind()), bound))
    return bound.block


def release(block: Block) -> None:
    """Undo `bind`, from whatever context."""
    block.is_left = True
    _bound.set(tuple(each for each in _bound.get() if each.block is not block))


def _bound_to(core: Core) -> _Bound | None:
    for each in reversed(_bound.get()):
        if each.core is core and not each.block.is_behind():
            return each
    return None


def fence_of(core: Core) -> TurnFence | None:
    """Return the fence of the turn of a session that the running code is part of, or None."""
    bound = _bound_to(core) if _bound.get() else None
    return None if bound is None else bound.fence


def steps_of(core: Core) -> TurnSteps | None:
    """Return the steps of the turn of a session that the running code is part of, or None."""
    bound = _bound_to(core)
    return None if bound is None else bound.steps
