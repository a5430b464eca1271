"""The tasks of a supervisor, which the agents that it runs cannot cancel (R3).

Every task of an event loop can be reached by what runs in it: `asyncio.all_tasks()`, or
`asyncio.current_task()` in a function that the supervisor calls. A cancellation that an agent causes
must end its own attempt alone, and count. So these tasks know by a context variable, which the tasks and
threads of an agent inherit, whose code wants to cancel them.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["GuardedTask", "UsersCode", "is_being_cancelled", "leave_behind"]

Result = TypeVar("Result")


class UsersCode:
    """Code of users that a supervisor runs: an attempt of an agent, a question to a provider."""

    __slots__ = ("has_reached_out", "outer")

    def __init__(self) -> None:
        self.outer = _running.get()
        """The code that runs the supervisor, if that is an agent itself."""
        self.has_reached_out = False
        """Whether it tried to cancel tasks that are not its own."""

    def enter(self) -> None:
        """Note that the code which runs from here on, in this context, is this one."""
        _running.set(self)


_running: Final[ContextVar[UsersCode | None]] = ContextVar("eventlog_users_code", default=None)


class GuardedTask(asyncio.Task[Result]):
    """A task that only those may cancel who run the supervisor; with ``code`` that code, too."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Result], code: UsersCode | None = None
    ) -> None:
        self._code = code
        self._outer = _running.get()
        super().__init__(coroutine, loop=asyncio.get_running_loop())

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task, unless code of users wants that which is not its own."""
        code = _running.get()
        if self._code is None:
            is_allowed = _is_around(code, self._outer) and not self._runs_now()
        else:
            is_allowed = code is self._code or _is_around(code, self._code.outer)
        if is_allowed:
            return super().cancel(msg)
        if code is not None:
            code.has_reached_out = True
        return False

    def _runs_now(self) -> bool:
        """Return whether the task cancels itself: then a function of users does, that it called."""
        try:
            return asyncio.current_task() is self
        except RuntimeError:  # No loop runs in this thread.
            return False


def _is_around(code: UsersCode | None, inner: UsersCode | None) -> bool:
    """Return whether some code is ``inner``, or runs what runs it; None runs everything."""
    while inner is not code and inner is not None:
        inner = inner.outer
    return inner is code


def leave_behind(task: asyncio.Task[Any]) -> None:
    """Have nobody wait any more for a task that never ends: also not `asyncio.run`, which at its end
    waits for every task of the loop, so that a program could not exit."""
    # Documented among the functions for those who extend asyncio.
    asyncio._unregister_task(task)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def is_being_cancelled() -> bool:
    """Return whether the running task was cancelled, and not merely what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
