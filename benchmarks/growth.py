"""How the cost of an operation grows with the length of a session, and of a list with its number."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import eventlog
from benchmarks import ours, views
from benchmarks.results import Row, Scale, Spread, spread
from benchmarks.workload import messages
from eventlog import Log, Session
from eventlog.session.tasks.commands import ClaimTask, QueueTask
from eventlog.session.tasks.events import OwnerData
from eventlog.testing.inside import execute

__all__ = ["grown", "growth_rows", "list_rows", "lists"]

Curves = dict[str, dict[int, list[float]]]
"""By operation and length: the seconds of each time."""

READ: dict[str, Callable[[Session], Any]] = {
    "context": lambda session: session.context(token_budget=8_000),
    "tail": lambda session: session.tail(last=20),
    "truncated": lambda session: session.truncated(recent=20),
    "search": lambda session: session.context_for_search("deployment failed"),
}

LEASE = 300_000_000
"""Microseconds."""


def grown(lengths: tuple[int, ...], turns: int, folder: Path) -> Curves:
    """Measure each operation on sessions of each length, all lengths in turn."""
    taken: Curves = {}
    for length in lengths:
        ours.fill(folder / f"{length}.db", length, batch=min(length, 500))
    for name, length, seconds in _measured(lengths, turns, folder):
        taken.setdefault(name, {}).setdefault(length, []).append(seconds)
    return taken


def _measured(
    lengths: tuple[int, ...], turns: int, folder: Path
) -> Iterator[tuple[str, int, float]]:
    """Yield what operations took, by name and length."""
    paths = {length: folder / f"{length}.db" for length in lengths}
    for _ in range(turns):  # Each time a log that was just opened, as a service does.
        for length, path in paths.items():
            yield "open", length, ours.openings(path, 5).wall
    with ExitStack() as stack:
        logs = {
            length: stack.enter_context(eventlog.open(f"sqlite:///{path}"))
            for length, path in paths.items()
        }
        for log in logs.values():
            _round(log)  # To warm up.
        for _, (length, log) in product(range(turns), logs.items()):
            for name, seconds in _round(log).items():
                yield name, length, seconds
        for turn, (length, log) in product(range(turns), logs.items()):
            commit, claim = _commit_and_claim(log)
            # The first commit takes all messages of the session, the others twenty.
            yield "commit" if turn else "commit of all", length, commit
            yield "claim", length, claim


def _round(log: Log) -> dict[str, float]:
    """Return the seconds of each operation on a live session, the quickest of five times."""
    session = log.session("chat")
    appended = messages(5)
    taken = {"append": min(_seconds(session.append, message) for message in appended)}
    for name, read in READ.items():
        taken[name] = min(_seconds(read, session) for _ in range(5))
    return taken


def _commit_and_claim(log: Log) -> tuple[float, float]:
    """Commit twenty messages or more, and claim a task; return the seconds that each takes."""
    session = log.session("chat")
    session.extend(messages(20))
    committed = _seconds(session.commit)
    # Tasks of archives are claimed in their order; one of an application's own kind always.
    task_id = execute(log, "chat", QueueTask("measured", {}))
    owner = OwnerData(host="elsewhere", boot="", pid=1, started="")
    return committed, _seconds(
        execute, log, "chat", ClaimTask(task_id, "worker", owner, LEASE, attempts=3)
    )


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun


def lists(counts: tuple[int, ...], turns: int, folder: Path) -> dict[int, Spread]:
    """Return the seconds that a list of so many sessions takes per session."""
    paths = {count: folder / f"list-{count}.db" for count in counts}
    for count, path in paths.items():
        views.fill_sessions(path, count)
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(turns):
        for count, path in paths.items():
            taken[count].append(views.listed(path, count).wall / count)
    return {count: spread(found) for count, found in taken.items()}


_FLAT = 1.5
"""How much slower an operation on the longest session may be than on the shortest."""


def growth_rows(scale: Scale) -> Iterator[Row]:
    """Yield a line for each operation.

    The quickest times are compared, as `best_of` does: the disk and other programs add milliseconds
    to some of them, whatever the length of the session.
    """
    with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
        curves = grown(scale.lengths, scale.turns, Path(folder))
    shortest, longest = scale.lengths[0], scale.lengths[-1]
    for name, curve in curves.items():
        first, last = min(curve[shortest]), min(curve[longest])
        most = max(map(min, curve.values()))
        yield Row(
            name,
            f"{first * 1e3:.3f} ms at {shortest:,} messages, {last * 1e3:.3f} ms at {longest:,}; "
            f"at most {most / first:.2f} × the first",
            {},
            f"≤ {_FLAT} × the first",
            most <= _FLAT * first,
            "ms",
            {f"{length:,}": spread(found).times(1e3) for length, found in curve.items()},
            [(length, min(found) * 1e3) for length, found in curve.items()],
        )


def list_rows(scale: Scale) -> Iterator[Row]:
    """Yield a line for each number of sessions."""
    with tempfile.TemporaryDirectory(prefix="eventlog-bench-") as folder:
        curve = lists(scale.listed, scale.runs, Path(folder))
    for count, found in curve.items():
        each = found.median * 1e6
        yield Row(
            f"list {count:,} sessions, per session",
            f"{each:.1f} µs",
            {},
            "≤ 20 µs",
            each <= 20,
            "µs",
            {"eventlog": found.times(1e6)},
            [(count, each)],
        )
