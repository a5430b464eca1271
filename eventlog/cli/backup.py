"""``eventlog backup``: the whole log in one file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.output import counted
from eventlog.cli.progress import progress

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal

__all__ = ["backup"]


@command("backup")
@click.argument("destination", metavar="DEST")
def backup(invocation: Invocation, destination: str) -> None:
    """DEST is a new file, such as monday.db: a log in SQLite, from whatever store. Others may write to
    the log meanwhile; DEST has it as it was at one moment, and is there whole or not at all.

    To restore, stop what writes, put the file in the place of the old one (with no -wal or -shm beside
    it), or `eventlog copy sqlite:///monday.db URL` into another store. A bare copy of a SQLite file
    that is in use is no backup: what committed last is in its WAL.
    """
    if "://" in destination:
        raise click.UsageError(
            "DEST is the name of a file; `eventlog copy SRC DST` copies into another store"
        )
    began = time.perf_counter()
    with (
        invocation.open() as log,
        progress("backing up", lambda: 100) as advance,
    ):
        report = log.backup(
            destination,
            advance=lambda done, total: advance(100 * done // max(total, 1), destination),
        )
    document: dict[str, Any] = {
        **report._asdict(),
        "seconds": round(time.perf_counter() - began, 3),
    }
    invocation.answer(document, lambda terminal: _print(terminal, document))


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    terminal.line(
        f"{document['path']}: {counted(document['sessions'], 'session')}, "
        f"{counted(document['records'], 'event')}, {document['bytes'] / 1e6:,.1f} MB in "
        f"{document['seconds']:.1f} s"
    )
