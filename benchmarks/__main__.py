"""Run the benchmarks: `python -m benchmarks [FIGURE ...] [--quick]`."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import ours
from benchmarks.figures import FIGURES, Row, Scale
from eventlog.sqlite_driver import sqlite3

_QUICK = Scale(
    appends=100,
    many=640,
    peer_many=256,
    replayed=1_000,
    large=1_200,
    tasks=64,
    peer_tasks=16,
    runs=1,
    seconds=1.0,
    trials=1,
    archives=40,
    writes=300,
    commits=2,
    reported=600,
    inspected=1_200,
    pressed_seconds=1.0,
)
_PEERS = (
    "sqlite3",
    "write + fdatasync",
    "psycopg",
    "nats-py",
    "eventsourcing",
    "openai-agents",
    "dbos",
)


def main() -> int:
    """Measure and print; the exit code does not depend on the goals, because machines differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [figure.name for figure in FIGURES]
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"some of {names}")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes: checks that everything runs, measures nothing",
    )
    arguments = parser.parse_args()
    wanted = {name.upper() for name in arguments.figures} or set(names)
    if wanted - set(names):
        parser.error(f"unknown figure {sorted(wanted - set(names))}; there are {names}")
    console = Console(width=None if sys.stdout.isatty() else 200)
    _introduce(console)
    for figure in FIGURES:
        if figure.name in wanted:
            rows = list(figure.measure(_QUICK if arguments.quick else Scale()))
            console.print(_table(f"{figure.name}: {figure.title}", rows))
    return 0


def _introduce(console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read_back = ours.settings(Path(folder) / "settings.db")
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        f"ours as read back: {read_back}"
    )


def _table(title: str, rows: list[Row]) -> Table:
    peers = [peer for peer in _PEERS if any(peer in row.others for row in rows)]
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("eventlog", justify="right")
    for peer in peers:
        table.add_column(f"{peer} (we are …× as fast)" if peers else peer, justify="right")
    table.add_column("goal")
    table.add_column("met")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        others = [row.others.get(peer, "") for peer in peers]
        table.add_row(row.name, row.ours, *others, row.goal, met)
    return table


if __name__ == "__main__":
    sys.exit(main())
