"""How fast a cost grows, measured so that a loaded machine makes no test fail."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Generator[None]:
    """Hold the collector back: a pass over all that a process of tests holds costs more than what is measured."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()


def grows(few: Callable[[], float], many: Callable[[], float], bound: float) -> bool:
    """Return whether ``many()`` costs more than ``bound`` times as much as ``few()``, in each of ten measurements.

    Whatever else the machine does only makes a measurement dearer, so the cheapest ones are compared.
    """
    cheapest = [math.inf, math.inf]
    for _ in range(10):
        cheapest = [min(cheapest[0], few()), min(cheapest[1], many())]
        if cheapest[1] < bound * cheapest[0]:
            return False
    return True
