"""A line that says how far a search has come, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = ["shown_progress", "writer_of_lines"]

PERIOD_SECONDS: Final = 0.1
"""The line is written again no more often than this."""


@contextmanager
def shown_progress(show: Callable[[str], None] | None) -> Generator[Callable[[str], None]]:
    """Show lines while the block runs, and an empty one at the end, so that nothing is left.

    By default they are shown on stderr if that is a terminal, else not at all.
    """
    if show is None:
        show = writer_of_lines(sys.stderr) if sys.stderr.isatty() else lambda _: None
    shown_at = -PERIOD_SECONDS

    def tell(line: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now >= shown_at + PERIOD_SECONDS:
            shown_at = now
            show(line)

    try:
        yield tell
    finally:
        show("")


def writer_of_lines(stream: TextIO) -> Callable[[str], None]:
    """Return a function that writes a line over the one before."""

    def write(line: str) -> None:
        stream.write(f"\r\x1b[K{line}")
        stream.flush()

    return write
