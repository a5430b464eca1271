"""Renewing leases from a thread that users' code cannot block (F2b).

Asynchronous callables run on the worker's event loop, and one that forgets to await blocks it: for
a model's answer, or for a minute of parsing. A heartbeat on that loop would stop with it, the lease
would end, and another worker would repeat the same work at the same cost while the first one is
still at it. So leases are renewed by a thread of the library. It only waits and renews, so it gets
its turn whenever the interpreter switches threads.

This does not keep an attempt alive that hangs for good: its heartbeat ends when the time of the
attempt is over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from eventlog.error_text import text_of
from eventlog.errors import ConflictError
from eventlog.offloop import REAL_TIME, thread_time_of
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from eventlog.offloop import ThreadTime

__all__ = ["Beat", "Heartbeat"]


def _time_here() -> ThreadTime:
    """Return the time of the running event loop; without one, the time of this machine."""
    try:
        return thread_time_of(asyncio.get_running_loop())
    except RuntimeError:
        return REAL_TIME


IDLE_SECONDS: Final = 5.0
"""How long the thread stays alive without a lease to renew."""


class Beat:
    """One lease that is being renewed, until `Heartbeat.end`."""

    __slots__ = ("due", "ended", "lost", "renew", "until")

    def __init__(
        self, renew: Callable[[], object], lost: Callable[[ConflictError], object], until: float
    ) -> None:
        self.renew = renew
        self.lost = lost
        self.until = until
        self.due = 0.0
        self.ended = False


class Heartbeat:
    """Renews leases, each every ``interval_seconds``, one after another. Thread-safe.

    All leases have the same interval, so the one that was renewed last is due last: a plain queue
    is in the order of the due times.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._beats: deque[Beat] = deque()
        self._changed = threading.Condition()
        self._time: ThreadTime
        self._thread: threading.Thread | None = None

    def begin(
        self,
        renew: Callable[[], object],
        lost: Callable[[ConflictError], object],
        *,
        at_most_seconds: float,
    ) -> Beat:
        """Renew a lease from now on, for at most ``at_most_seconds``.

        The thread waits in the time of the event loop that this is called in, if it has one.

        ``renew`` is called in the heartbeat's thread. If it raises a `ConflictError`, ``lost`` is
        called with it and the lease is no longer renewed; after any other error it is tried again.
        """
        with self._changed:
            if self._thread is None:
                self._time = _time_here()
            beat = Beat(renew, lost, self._time.monotonic() + at_most_seconds)
            self._put(beat)
            if self._thread is None:
                self._time.begin()
                self._thread = threading.Thread(
                    target=self._run, name="eventlog-heartbeat", daemon=True
                )
                self._thread.start()
            elif len(self._beats) == 1:
                self._time.notify(self._changed)
        return beat

    def end(self, beat: Beat) -> None:
        """Stop renewing a lease; a renewal that is under way may still be completed."""
        beat.ended = True

    def _put(self, beat: Beat) -> None:
        beat.due = self._time.monotonic() + self._interval
        self._beats.append(beat)

    def _run(self) -> None:
        while True:
            beat = self._next()
            if beat is None:
                self._time.end()
                return
            if self._renewed(beat):
                with self._changed:
                    self._put(beat)

    def _next(self) -> Beat | None:
        """Wait for the next lease that is due; None if there was none for a while."""
        with self._changed:
            while True:
                while self._beats and self._beats[0].ended:
                    self._beats.popleft()
                if not self._beats:
                    if not self._time.wait(self._changed, IDLE_SECONDS) and not self._beats:
                        self._thread = None
                        return None
                    continue
                left = self._beats[0].due - self._time.monotonic()
                if left <= 0:
                    return self._beats.popleft()
                self._time.wait(self._changed, left)

    def _renewed(self, beat: Beat) -> bool:
        """Renew a lease; return whether to renew it again later."""
        if beat.ended or self._time.monotonic() >= beat.until:
            return False
        try:
            beat.renew()
        except ConflictError as error:
            beat.lost(error)
            return False
        except Exception as error:  # noqa: BLE001 - the thread serves the other leases, too
            log_fact(logging.WARNING, "lease_renewal_failed", error=text_of(error))
        return True
