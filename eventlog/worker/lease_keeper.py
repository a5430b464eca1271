"""How long an attempt may go on: its lease, and the time that it is given (F2)."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self

from eventlog.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Tenure"]


class Tenure:
    """While entered, keeps the lease, and cancels the task that entered it when its time is over.

    `verdict` then tells why: the lease is lost to another owner, or the attempt takes too long. It
    is a timer that waits, not a task: as a rule the work is done long before there is anything to
    do.
    """

    def __init__(
        self,
        renew: Callable[[], Coroutine[Any, Any, None]],
        *,
        renewal_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._renew = renew
        self._renewal_seconds = renewal_seconds
        self._timeout_seconds = timeout_seconds
        self.verdict: Exception | None = None
        self.renewal: asyncio.Task[None] | None = None
        """The latest renewal; cancelled, but perhaps not yet ended, once the work is done."""

    def __enter__(self) -> Self:
        loop = self._loop = asyncio.get_running_loop()
        self._holder = asyncio.current_task(loop)
        now = loop.time()
        self._ends_at = now + self._timeout_seconds
        self._wait(now + self._renewal_seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.renewal is not None:
            self.renewal.cancel()

    def _wait(self, renewal_at: float) -> None:
        if renewal_at < self._ends_at:
            self._timer = self._loop.call_at(renewal_at, self._begin_renewal)
        else:
            self._timer = self._loop.call_at(self._ends_at, self._time_out)

    def _begin_renewal(self) -> None:
        self.renewal = self._loop.create_task(self._renew_once())
        self._wait(math.inf)  # A renewal that hangs ends with the attempt.

    async def _renew_once(self) -> None:
        try:
            await self._renew()
        except ConflictError as error:
            self._end(error)
        else:
            self._timer.cancel()
            self._wait(self._loop.time() + self._renewal_seconds)

    def _time_out(self) -> None:
        self._end(TimeoutError(f"the attempt took longer than {self._timeout_seconds:g} s"))

    def _end(self, verdict: Exception) -> None:
        self.verdict = verdict
        if self._holder is not None:
            self._holder.cancel()
