"""Renewing leases from a thread that no user's code can hold up (F2b).

Asynchronous callables run on the worker's event loop, and one that forgets to await blocks it: for
a model's answer, or for a minute of parsing. A heartbeat on that loop would stop with it, the lease
would end, and another worker would do the same work at the same cost while the first still lives.
So leases are renewed by a thread of the library's. It does nothing but wait and renew, which lets
it in whenever the interpreter changes threads.

An attempt that hangs for good is not kept alive by that: its heartbeat ends with the time that an
attempt may take.
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
from eventlog.offloop import thread_time_of
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from eventlog.offloop import ThreadTime

__all__ = ["Beat", "Heartbeat"]

IDLE_SECONDS: Final = 5.0
"""How long the thread stays when there is no lease to renew."""


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
    """Calls what renews leases, each every ``interval_seconds``, one after another. Thread-safe.

    All leases have the same interval, so the one that was renewed last is the last to be due: a
    plain queue is in the order of the times.
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
        """Renew a lease from now on, but no longer than ``at_most_seconds``; called in a loop.

        ``renew`` is called in the heartbeat's thread. Once it raises a `ConflictError`, ``lost`` is
        called with it, and the lease is not renewed any more; another error is tried again.
        """
        with self._changed:
            if self._thread is None:
                self._time = thread_time_of(asyncio.get_running_loop())
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
        """Renew a lease no more; a renewal that is under way may still come to its end."""
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
        """Wait for a lease that is due; None if there was none for a while, and the thread ends."""
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
        """Renew a lease; return whether it is to be renewed again."""
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
