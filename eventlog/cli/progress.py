"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from eventlog.cli.output import one_line

__all__ = ["Advance", "progress"]

Advance: TypeAlias = Callable[[int, str], None]
"""Advances a progress bar to a position, and names the current item."""


@contextmanager
def progress(title: str, total: Callable[[], int | None]) -> Generator[Advance]:
    """Show a progress bar if stderr is a terminal; ``total`` is called only then."""
    if not sys.stderr.isatty():
        yield lambda done, what: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from eventlog.cli.terminal import VisibleConsole

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=VisibleConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total(), what="")
        yield lambda done, what: bar.update(task, completed=done, what=one_line(what, 40))
