"""Limiting an attempt to its lease and to the time that an attempt may take (F2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.engine.heartbeat import Heartbeat
    from eventlog.errors import ConflictError

__all__ = ["LeaseKeeper"]


class LeaseKeeper:
    """While entered, keeps the lease, and cancels the asyncio task that entered it when time is up.

    `verdict` then says why: the lease was lost to another owner, or the attempt took too long. The
    lease is renewed by ``heartbeat``, which calls ``renew`` in its own thread.
    """

    def __init__(
        self, heartbeat: Heartbeat, renew: Callable[[], object], *, timeout_seconds: float
    ) -> None:
        self._heartbeat = heartbeat
        self._renew = renew
        self._timeout_seconds = timeout_seconds
        self.verdict: Exception | None = None
        self._is_concluding = False

    def conclude(self) -> None:
        """Ignore a lost lease from now on; whether it is lost is for the last write to find out.

        A renewal after that write finds the task finished, which is not a loss. And if the lease is
        really lost, the write is refused by its fence.
        """
        self._is_concluding = True

    def __enter__(self) -> Self:
        loop = self._loop = asyncio.get_running_loop()
        self._holder = asyncio.current_task(loop)
        self._beat = self._heartbeat.begin(
            self._renew, self._lose, at_most_seconds=self._timeout_seconds
        )
        self._timer = loop.call_later(self._timeout_seconds, self._time_out)
        return self

    def __exit__(self, *_: object) -> None:
        self._holder = None
        self._timer.cancel()
        self._heartbeat.end(self._beat)

    def _lose(self, error: ConflictError) -> None:
        try:
            self._loop.call_soon_threadsafe(self._end_lost, error)
        except RuntimeError:
            return  # The loop is closed, so the attempt has ended with it.

    def _end_lost(self, error: ConflictError) -> None:
        if not self._is_concluding:
            self._end(error)

    def _time_out(self) -> None:
        self._end(TimeoutError(f"the attempt took longer than {self._timeout_seconds:g} s"))

    def _end(self, verdict: Exception) -> None:
        if self._holder is not None:
            self.verdict = verdict
            self._holder.cancel()
