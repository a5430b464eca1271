"""``python -m eventlog.testing STORE``: test a store against the contract, and print the result."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from eventlog.errors import EventLogError
from eventlog.testing.report import Promise, Report, examine

INDENT = 4


@click.command()
@click.argument("store")
def main(store: str) -> None:
    """Test a store against the contract that every store of eventlog keeps.

    STORE is a URL. In it, {folder} stands for an empty folder, new for each promise, and {name} for a
    new name: 'sqlite:///{folder}/log.db', 'postgresql://localhost/{name}'. Or STORE is a callable that
    takes the folder and returns the store: acme.store:AcmeStore.

    Exits with 0 if every promise holds, otherwise with 1.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        report = examine(store)
    except (EventLogError, ImportError, AttributeError, OSError) as error:
        raise click.UsageError(f"{store} cannot be opened: {error}") from error
    show(report, Console(highlight=False))
    sys.exit(0 if report.holds else 1)


def show(report: Report, console: Console) -> None:
    """Print a report: a table of the promises, then what is broken."""
    for line in report.missing:
        console.print(f"[red]lacks[/] {escape(line)}")
    if report.missing:
        console.print("\nThe contract is the docstrings of eventlog.store.Store.")
        return
    for topic, promises in groupby(report.promises, key=lambda promise: promise.topic):
        console.print(_table(topic, list(promises)))
    broken = [promise for promise in report.promises if not promise.holds]
    for promise in broken:
        _explain(promise, console)
    kept = len(report.promises) - len(broken)
    console.print(f"{escape(report.target)} keeps {kept} of {len(report.promises)} promises")


def _table(topic: str, promises: list[Promise]) -> Table:
    table = Table(title=topic, title_justify="left", box=None, show_header=False, padding=(0, 1))
    for promise in promises:
        holds = "[green]holds[/]" if promise.holds else "[red]broken[/]"
        table.add_row(holds, promise.text)
    return table


def _explain(promise: Promise, console: Console) -> None:
    console.print(f"\n[red]broken[/]: {promise.text}")
    if promise.advice:
        console.print(Padding(escape(promise.advice), (0, 0, 0, INDENT)))
    console.print(Padding(escape(f"seen in {promise.failures[0]}"), (0, 0, 0, INDENT)))
    if len(promise.failures) > 1:
        console.print(Padding(f"and in {len(promise.failures) - 1} more cases", (0, 0, 0, INDENT)))


if __name__ == "__main__":
    main(prog_name="python -m eventlog.testing")
