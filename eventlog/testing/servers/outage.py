"""A load of sessions that goes on while something happens to the storage (P1, P8, K6).

Writers append messages with ids of their own, and repeat whatever was not acknowledged. Afterwards
every acknowledged message must be there, once, in order.
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
"""How long writers may take in all; after that something hangs."""


class Outage(NamedTuple):
    """What became of a load."""

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
    """The longest time in which nothing was acknowledged: until writes went on."""

    def __str__(self) -> str:
        return (
            f"{self.acknowledged:,} acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.disordered} disordered, {self.repeated} repeated; writes went on after "
            f"{self.gap_seconds:.2f} s"
        )


class _Load:
    """Writers, each with a session, and what they were told."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.stop = threading.Event()
        self.news = threading.Condition()
        self.acknowledged: dict[str, list[str]] = {}
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()

    def write(self, name: str) -> None:
        told = self.acknowledged.setdefault(name, [])
        session = None
        while not self.stop.is_set():
            try:
                session = session or self._log.session(name, create=True)
                session.append(Message.user("x" * 400, id=f"{name}-{len(told)}"))
            except UnavailableError as error:
                self.errors[type(error).__name__] += 1
                self.stop.wait(0.01)
                continue
            with self.news:
                told.append(f"{name}-{len(told)}")
                self.times.append(time.monotonic())
                self.news.notify_all()

    def wait_for(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        with self.news:
            target = len(self.times) + more
            if not self.news.wait_for(lambda: len(self.times) >= target, PATIENCE_SECONDS):
                raise AssertionError(f"no {more} more appends in time; errors: {self.errors}")


def write_through(
    url: str, strike: Callable[[], None], *, writers: int = 8, before: int = 300, after: int = 300
) -> Outage:
    """Write to a log, call ``strike`` in the middle, go on writing, and compare with what is there.

    ``strike`` does to the storage what is to be survived; it is called by the calling thread.
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
        for name, told in load.acknowledged.items():
            stored = [message.id for message in log.session(name).history()]
            lost += len(set(told) - set(stored))
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
