"""Printing without rich: one JSON document on stdout, talk and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

import click

__all__ = ["Advance", "counted", "one_line", "print_document", "printable", "progress", "say"]

Advance: TypeAlias = Callable[[int, str], None]
"""Tells a progress bar how far the work is, and what it is at."""

_ESCAPED = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}


def print_document(value: Any) -> None:
    """Print JSON as UTF-8, whatever the locale says."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    click.echo(text.encode() + b"\n", nl=False)


def say(text: str) -> None:
    """Tell a person something that is not data."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """Return text without control characters: stored messages must not steer a terminal."""
    return text.translate(_ESCAPED)


def one_line(text: str, limit: int = 100) -> str:
    """Return text on one line of at most ``limit`` characters."""
    flat = " ".join(printable(text[: 4 * limit]).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 task, 2 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def progress(title: str, total: Callable[[], int | None]) -> Generator[Advance]:
    """Show a progress bar on stderr if that is a terminal; ``total`` is only counted then."""
    if not sys.stderr.isatty():
        yield lambda done, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total(), what="")
        yield lambda done, what: bar.update(task, completed=done, what=one_line(what, 40))
