"""Shared by all measurements: the same messages, the same durability, the same clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

from eventlog import Message

__all__ = [
    "TEXT",
    "Timing",
    "best_of",
    "chat_item",
    "compared",
    "messages",
    "quickest",
    "timed",
    "written",
]

TEXT = ("The deployment failed twice with exit code 137, which points at memory. " * 6)[:400]
"""Text of 400 characters: about 500 bytes as a stored message."""


class Timing(NamedTuple):
    """The total time of some operations, in seconds."""

    operations: int
    wall: float
    cpu: float

    @property
    def per_second(self) -> float:
        return self.operations / self.wall

    @property
    def microseconds(self) -> float:
        return self.wall / self.operations * 1e6

    @property
    def cpu_microseconds(self) -> float:
        return self.cpu / self.operations * 1e6


def messages(count: int) -> list[Message]:
    """Build messages beforehand, as for all contenders."""
    return [Message.user(TEXT) for _ in range(count)]


def chat_item() -> dict[str, str]:
    """Build the same payload in the form of chat APIs."""
    return {"role": "user", "content": TEXT}


@contextmanager
def timed(operations: int) -> Generator[Callable[[], Timing]]:
    """Measure wall and CPU time of all threads; existing objects are not garbage-collected."""
    gc.collect()
    gc.freeze()
    measured: list[Timing] = []
    cpu, wall = time.process_time(), time.perf_counter()
    yield lambda: measured[0]
    ended, cpu_ended = time.perf_counter(), time.process_time()
    gc.unfreeze()
    measured.append(Timing(operations, ended - wall, cpu_ended - cpu))


def best_of(runs: int, measure: Callable[[], Timing]) -> Timing:
    """Return the quickest run: a disturbance only makes a run slower."""
    return min((measure() for _ in range(runs)), key=quickest)


def quickest(timing: Timing) -> float:
    """Order timings by what they took."""
    return timing.wall


def written(timing: Timing) -> str:
    """Write the rate."""
    return f"{timing.per_second:,.0f}/s"


def compared(timing: Timing, other: Timing) -> str:
    """Write another's rate, and how many times as fast ours is."""
    return f"{written(other)} ({timing.per_second / other.per_second:.2f}×)"
