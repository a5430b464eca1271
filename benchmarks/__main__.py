"""Run the benchmarks: `python -m benchmarks [FIGURE ...]`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
import timeit
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import markdown, ours, recording
from benchmarks.about import ABOUT
from benchmarks.conversations import conversation_rows
from benchmarks.drawing import DRAWINGS
from benchmarks.figures import FIGURES, Figure, Row, Scale
from benchmarks.results import Result
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
    turns=2,
    seconds=1.0,
    trials=1,
    archives=40,
    writes=300,
    commits=2,
    reported=600,
    inspected=1_200,
    pressed_seconds=1.0,
    waited_seconds=0.5,
    lengths=(100, 300),
    listed=(10, 30),
)

_BUSY = 0.5
"""The load from which a machine is called busy, before anything is measured."""

_NAMED = (
    "msgspec",
    "eventsourcing",
    "openai-agents",
    "google-adk",
    "langgraph-checkpoint-sqlite",
    "dbos",
    "huey",
)


def main() -> int:
    """Measure and print; the exit code does not depend on the goals, because machines differ."""
    parser = _parser()
    arguments = parser.parse_args()
    wanted = _wanted(parser, arguments.figures)
    if arguments.conversations is not None:
        wanted = [_of_file(arguments.conversations)]
    for path in (arguments.read, arguments.conversations):
        if path is not None and not path.is_file():
            parser.error(f"{path} is no file")
    if arguments.record and arguments.conversations is not None:
        parser.error("--record shows figures, and --conversations measures none")
    if arguments.share < 1:
        parser.error(f"--share is {arguments.share}; it must be at least 1")
    if arguments.quick and arguments.record:
        parser.error("--quick measures nothing that --record could show")
    scale = _QUICK if arguments.quick else Scale().share(arguments.share)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if arguments.read is not None:
        machine, results = recording.load(arguments.read)
        names = {figure.name for figure in wanted}
        results = [result for result in results if result.name in names]
        for result in results:
            _show(console, result)
    else:
        machine, results = _machine(), []
        console.print(markdown.machine_line(machine), highlight=False)
        _warn_if_busy(console)
        for figure in wanted:
            results.append(_measured(figure, scale, console))
            _keep(arguments, machine, results)  # Whoever interrupts it has what was measured.
    _keep(arguments, machine, results)
    return int(any(result.failed for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [figure.name for figure in FIGURES]
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"some of {names}")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes: checks that everything runs, measures nothing",
    )
    parser.add_argument(
        "--share",
        type=int,
        default=1,
        metavar="N",
        help="on a slow machine: an Nth of the operations and of the seconds",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the results as SVG")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables as Markdown to a file"
    )
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="show what --json wrote, and measure nothing"
    )
    parser.add_argument(
        "--conversations",
        type=Path,
        metavar="FILE",
        help="measure with the conversations of a file, in any format that is imported, and no figures",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="let the documentation show the results: benchmarks/recorded.json, pages and drawings",
    )
    return parser


def _wanted(parser: argparse.ArgumentParser, figures: list[str]) -> list[Figure]:
    names = [figure.name for figure in FIGURES]
    wanted = {name.upper() for name in figures} or set(names)
    if wanted - set(names):
        parser.error(f"unknown figure {sorted(wanted - set(names))}; there are {names}")
    return [figure for figure in FIGURES if figure.name in wanted]


def _of_file(path: Path) -> Figure:
    return Figure(
        "FILE",
        f"conversations of {path.name}",
        lambda _: conversation_rows(path),
    )


def _measured(figure: Figure, scale: Scale, console: Console) -> Result:
    """Measure one figure and print it; what is missing, or fails, is a line and ends nothing else."""
    rows: list[Row] = []
    failed = False
    before = os.getloadavg()[0]
    try:
        rows.extend(figure.measure(scale))
    except ImportError as error:
        rows.append(Row("not measured", f"{error.name} is not installed"))
    except Exception as error:  # noqa: BLE001 - the other figures are measured all the same
        traceback.print_exc()
        rows.append(Row("not measured", f"failed: {type(error).__name__}"))
        failed = True
    day = time.strftime("%Y-%m-%d", time.gmtime())
    share = "" if scale.appends >= Scale.appends else f", {scale.appends:,} appends a run"
    measured = f"measured {day}{share}, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
    result = Result(figure.name, figure.title, ABOUT.get(figure.name, ""), rows, measured, failed)
    _show(console, result)
    return result


def _keep(arguments: argparse.Namespace, machine: dict[str, str], results: list[Result]) -> None:
    """Write the files that were asked for."""
    if arguments.json is not None:
        recording.write(arguments.json, machine, results)
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown.tables(machine, results), "utf-8")
    if arguments.plot is not None:
        arguments.plot.mkdir(parents=True, exist_ok=True)
        for name, draw in DRAWINGS.items():
            (arguments.plot / f"{name}.svg").write_text(draw(results), "utf-8")
    if arguments.record:
        recording.record(machine, results, [figure.name for figure in FIGURES])


def _machine() -> dict[str, str]:
    """Return what the figures depend on, as far as it can be asked."""
    with tempfile.TemporaryDirectory() as folder:
        read_back = ours.settings(Path(folder) / "settings.db")
    found = {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "processors": str(os.cpu_count()),
        "JSON and SHA-256 of a message": f"{_yardstick():.1f} µs",
        "ours as read back": read_back,
    }
    for name in _NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _yardstick() -> float:
    """Return the microseconds of CPU that this machine needs, now, for what no log can save itself."""
    message = {"id": "0" * 36, "role": "user", "parts": [{"type": "text", "text": "word " * 80}]}

    def once() -> None:
        text = json.dumps(message)
        hashlib.sha256(text.encode()).digest()
        json.loads(text)

    turns = 10_000
    return min(timeit.repeat(once, timer=time.process_time, number=turns)) / turns * 1e6


def _warn_if_busy(console: Console) -> None:
    load = os.getloadavg()[0]
    if load > _BUSY:
        console.print(
            f"This machine is busy (load {load:.1f}): rates are lower than on a quiet one, waits "
            "longer, and only ratios of what was measured in turn mean much."
        )


def _show(console: Console, result: Result) -> None:
    console.print(_table(result))
    if result.about:
        console.print(f"{result.about}\n", highlight=False)


def _table(result: Result) -> Table:
    peers = list(dict.fromkeys(peer for row in result.rows for peer in row.others))
    table = Table(title=f"{result.name}: {result.title}", title_justify="left")
    table.add_column("what")
    table.add_column("eventlog", justify="right")
    for peer in peers:
        table.add_column(f"{peer} (we are …× as fast)", justify="right")
    table.add_column("goal")
    table.add_column("met")
    for row in result.rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        others = [row.others.get(peer, "") for peer in peers]
        table.add_row(row.name, row.ours, *others, row.goal, met)
    return table


if __name__ == "__main__":
    sys.exit(main())
