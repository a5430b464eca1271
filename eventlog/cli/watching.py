"""What a person sees of a worker: lines on stderr, or a live table if that is a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from eventlog.cli.output import one_line, say
from eventlog.tasks.machine import OPEN_STATES, TASK_MACHINE

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

    from eventlog.log import Log
    from eventlog.records import Recorded
    from eventlog.session.views import TaskView

__all__ = ["Watcher", "watcher"]

_WORDS: Final = {
    "task_claimed": "running",
    "archive_finalized": "completed",
    "task_completed": "completed",
    "attempt_failed": "waits for another attempt",
    "archive_failed": "failed for good",
    "task_failed": "failed for good",
    "lease_expired": "its worker is gone",
    "task_released": "given back",
}
"""The events that people are told of, in words."""

ROWS: Final = 16
"""Tasks in the live table: what fits on a small terminal beside the bar."""


class Watcher:
    """Follows the events of tasks from where the log stood when it was made."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._position = log.position()
        self._workers: dict[str, str] = {}
        self._completed: Counter[str] = Counter()
        self.tasks: dict[str, TaskView] = {}
        """The tasks that moved since, as they stand now, the latest last."""

    def look(self) -> None:
        """Take in what happened since the last look."""
        types = tuple(TASK_MACHINE.events)
        for recorded in self._log.read_all(after=self._position, types=types):
            self._position = recorded.position
            self._take(recorded)

    def _take(self, recorded: Recorded) -> None:
        event: Any = recorded.event
        task_id: str = event.task_id
        if recorded.type == "task_claimed":
            self._workers[task_id] = event.worker
        elif _WORDS.get(recorded.type) == "completed":
            self._completed[self._workers.pop(task_id, "")] += 1
        self.tasks.pop(task_id, None)
        self.tasks[task_id] = self._log.task(task_id)
        self._tell(recorded, self.tasks[task_id])

    def _tell(self, recorded: Recorded, task: TaskView) -> None:
        words = _WORDS.get(recorded.type)
        if words is not None:
            error: str = getattr(recorded.event, "error", "")
            say(f"{_name(task)}: {words}{f' ({one_line(error)})' if error else ''}")

    def completed_by(self, worker: str) -> int:
        """Return how many tasks a worker has completed since."""
        return self._completed[worker]

    def count(self, state: str) -> int:
        """Return how many of the tasks that moved are in a state now."""
        return sum(task.state == state for task in self.tasks.values())


class LiveWatcher(Watcher):
    """Shows the same as a table that is brought up to date in place."""

    def __init__(self, log: Log) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(log)
        self._known = {task.task_id for task in log.tasks() if task.state in OPEN_STATES}
        self._bar = _bar()
        self._bar_task = self._bar.add_task("finalising", waiting=0)
        self.live = Live(self._table(), console=Console(stderr=True), transient=True)

    def look(self) -> None:
        super().look()
        self.live.update(self._table())

    def _tell(self, recorded: Recorded, task: TaskView) -> None:
        self._known.add(task.task_id)

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        self._bar.update(
            self._bar_task,
            total=len(self._known),
            completed=sum(task.state not in OPEN_STATES for task in self.tasks.values()),
            waiting=len(self._known - self.tasks.keys()) + self.count("retry"),
        )
        table = Table.grid(padding=(0, 2))
        latest_first = list(self.tasks.values())[::-1]
        for task in sorted(latest_first, key=_is_quiet)[:ROWS]:
            table.add_row(
                Text(_name(task)),
                Text(task.state, _STYLES.get(task.state, "")),
                Text(_why(task), "dim"),
            )
        return Group(self._bar, table)


_STYLES: Final = {"running": "cyan", "completed": "green", "terminal_failed": "bold red"}


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[waiting]} waiting"),
        TimeElapsedColumn(),
    )


def _name(task: TaskView) -> str:
    return f"{task.session_id} {task.archive_id or ''} {task.kind}".replace("  ", " ")


def _is_quiet(task: TaskView) -> tuple[bool, bool]:
    """Sort what runs first, then what has an error, then what is done."""
    return task.state != "running", not task.error


def _why(task: TaskView) -> str:
    attempt = f"attempt {task.attempts}" if task.attempts else ""
    return " · ".join(filter(None, [attempt, one_line(task.error or "", 60)]))


@contextmanager
def watcher(log: Log) -> Generator[Watcher]:
    """Tell on stderr what becomes of tasks meanwhile."""
    if not sys.stderr.isatty():
        yield Watcher(log)
        return
    watching = LiveWatcher(log)
    with watching.live:
        yield watching
