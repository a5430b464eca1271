"""Sessions under load while something happens to the storage (P1, P8, K6).

Writers append messages with ids that they choose, and repeat whatever was not acknowledged. Afterwards
every acknowledged message must be there once and in order.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.errors import UnavailableError
from eventlog.log import open as open_log
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.log import Log

__all__ = ["Outage", "write_through"]

PATIENCE_SECONDS: Final = 120.0
"""How long the writers may take in all; more means that something hangs."""


class Outage(NamedTuple):
    """The result of a load."""

    acknowledged: int
    lost: int
    """Acknowledged messages that are not there."""
    doubled: int
    """Messages that are there more than once."""
    disordered: int
    """Messages that are there before one that was acknowledged earlier."""
    repeated: int
    """Appends that were answered with an error and repeated."""
    gap_seconds: float
    """The longest time without an acknowledgement: how long until writes went on."""

    def __str__(self) -> str:
        return (
            f"{self.acknowledged:,} acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.disordered} disordered, {self.repeated} repeated; writes went on after "
            f"{self.gap_seconds:.2f} s"
        )


class _Load:
    """Writers, each with a session, and the messages acknowledged to them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.stop = threading.Event()
        self.news = threading.Condition()
        self.acknowledged: dict[str, list[str]] = {}
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()

    def write(self, name: str) -> None:
        known = self.acknowledged.setdefault(name, [])
        session = None
        while not self.stop.is_set():
            try:
                session = session or self._log.session(name, create=True)
                session.append(Message.user("x" * 400, id=f"{name}-{len(known)}"))
            except UnavailableError as error:
                self.errors[type(error).__name__] += 1
                self.stop.wait(0.01)
                continue
            with self.news:
                known.append(f"{name}-{len(known)}")
                self.times.append(time.monotonic())
                self.news.notify_all()

    def wait_for(self, more: int) -> None:
        """Wait until ``more`` further messages are acknowledged."""
        with self.news:
            target = len(self.times) + more
            if not self.news.wait_for(lambda: len(self.times) >= target, PATIENCE_SECONDS):
                raise AssertionError(f"no {more} more appends in time; errors: {self.errors}")


def write_through(
    url: str, strike: Callable[[], None], *, writers: int = 8, before: int = 300, after: int = 300
) -> Outage:
    """Write to a log, call ``strike`` in the middle, write on, and compare with what is stored.

    ``strike`` causes the fault; the calling thread calls it.
    """
    with open_log(url) as log, ThreadPoolExecutor(writers) as pool:
        load = _Load(log)
        running = [pool.submit(load.write, f"writer-{number}") for number in range(writers)]
        try:
            load.wait_for(before)
            strike()
            load.wait_for(after)
        finally:
            load.stop.set()
        for future in running:
            future.result()
    return _compare(url, load)


def _compare(url: str, load: _Load) -> Outage:
    lost = doubled = disordered = 0
    with open_log(url) as log:
        for name, known in load.acknowledged.items():
            stored = [message.id for message in log.session(name).history()]
            lost += len(set(known) - set(stored))
            doubled += len(stored) - len(set(stored))
            expected = [f"{name}-{number}" for number in range(len(stored))]
            disordered += sum(one != other for one, other in zip(stored, expected, strict=True))
    times = sorted(load.times)
    return Outage(
        acknowledged=len(times),
        lost=lost,
        doubled=doubled,
        disordered=disordered,
        repeated=sum(load.errors.values()),
        gap_seconds=max(later - earlier for earlier, later in pairwise(times)),
    )
