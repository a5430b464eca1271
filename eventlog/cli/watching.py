"""Show changes of tasks as they happen: a line for each, or a live table on a terminal."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventlog.cli.output import counted, one_line, say
from eventlog.session.tasks.machine import OPEN_STATES, TASK_MACHINE

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

    from eventlog.cli.tables import Rows
    from eventlog.log import Log
    from eventlog.recorded import Recorded
    from eventlog.session.views import TaskView

__all__ = ["LiveWatcher", "Wanted", "Watcher", "described", "table_of_sessions", "watcher"]

Wanted: TypeAlias = Callable[["TaskView"], bool]
"""Returns whether a task is watched."""

_WORDS: Final = {
    "commit_published": "waits for a worker",
    "task_queued": "waits for a worker",
    "task_claimed": "running",
    "archive_finalized": "completed",
    "task_completed": "completed",
    "attempt_failed": "waits for another attempt",
    "archive_failed": "failed for good",
    "task_failed": "failed for good",
    "lease_expired": "its worker is gone",
    "task_released": "given back",
    "retry_requested": "gets new attempts",
    "archive_abandoned": "abandoned",
    "task_abandoned": "abandoned",
}
"""The events that are shown, in words."""

ROWS: Final = 16
"""Sessions in the live table: as many as fit on a small terminal together with the bar."""


def everything(task: TaskView) -> bool:
    """Watch every task."""
    return True


class Watcher:
    """Follows the events of tasks, beginning at the end of the log."""

    def __init__(
        self, log: Log, wanted: Wanted = everything, tell: Callable[[str], None] = say
    ) -> None:
        self._log = log
        self._wanted = wanted
        self._say = tell
        self._position = log.position()
        self._workers: dict[str, str] = {}
        self._completed: Counter[str] = Counter()
        self.tasks: dict[str, TaskView] = {}
        """The tasks that changed since the beginning, in their current state, the latest last."""

    def look(self) -> None:
        """Process the events since the last call."""
        types = tuple(TASK_MACHINE.events)
        for recorded in self._log.read_all(after=self._position, types=types):
            self._take(recorded)

    def follow(self) -> None:
        """Process events as they happen, until interrupted."""
        for recorded in self._log.follow(self._position, tuple(TASK_MACHINE.events)):
            self._take(recorded)

    def _take(self, recorded: Recorded) -> None:
        self._position = recorded.position
        event: Any = recorded.event
        task = self._log.task(event.task_id)
        if not self._wanted(task):
            return
        if recorded.type == "task_claimed":
            self._workers[task.task_id] = event.worker
        elif _WORDS.get(recorded.type) == "completed":
            self._completed[self._workers.pop(task.task_id, "")] += 1
        self.tasks.pop(task.task_id, None)
        self.tasks[task.task_id] = task
        self._tell(recorded, task)

    def _tell(self, recorded: Recorded, task: TaskView) -> None:
        words = _WORDS.get(recorded.type)
        if words is not None:
            error: str = getattr(recorded.event, "error", "")
            self._say(f"{_name(task)}: {words}{f' ({one_line(error)})' if error else ''}")

    def completed_by(self, worker: str) -> int:
        """Return how many tasks a worker has completed since the beginning."""
        return self._completed[worker]

    def count(self, state: str) -> int:
        """Return how many of the tasks that changed are now in a state."""
        return sum(task.state == state for task in self.tasks.values())


class LiveWatcher(Watcher):
    """Shows the same as a table of sessions, updated in place."""

    def __init__(self, log: Log, console: Console, wanted: Wanted = everything) -> None:
        from rich.live import Live

        super().__init__(log, wanted)
        self._known = {
            task.task_id: task
            for task in log.tasks()
            if wanted(task) and task.state in (*OPEN_STATES, "terminal_failed")
        }
        """Return the panel: progress of the tasks open at the start or since, and the sessions."""
        self._bar = _bar()
        self._bar_task = self._bar.add_task("finalising")
        self.live = Live(get_renderable=self._table, console=console, transient=True)

    def _tell(self, recorded: Recorded, task: TaskView) -> None:
        self._known[task.task_id] = task

    def _table(self) -> RenderableType:
        from rich.console import Group

        tasks = list(self._known.values())
        settled = sum(task.state not in OPEN_STATES for task in tasks)
        self._bar.update(self._bar_task, total=len(tasks), completed=settled)
        return Group(self._bar, table_of_sessions(tasks))


# ---- the table --------------------------------------------------------------------------------


def table_of_sessions(tasks: Iterable[TaskView]) -> Rows:
    """Return a table of what is running, waiting and failed in each session, and why."""
    from rich.text import Text

    from eventlog.cli.tables import Rows

    sessions: defaultdict[str, list[TaskView]] = defaultdict(list)
    for task in tasks:
        sessions[task.session_id].append(task)
    rows: list[tuple[object, ...]] = []
    most_urgent_first = sorted(sessions.items(), key=lambda item: _urgency(item[1]))
    for session, found in most_urgent_first[:ROWS]:
        rows.append(
            (
                session,
                Text(_named(found, "running"), "cyan"),
                sum(task.status == "pending" or task.state == "retry" for task in found),
                sum(task.state == "completed" for task in found),
                Text(_named(found, "terminal_failed"), "bold red"),
                Text(_why(found), "dim"),
            )
        )
    if len(sessions) > ROWS:
        rows.append(
            (Text(f"… {counted(len(sessions) - ROWS, 'more session')}", "dim"),) + 5 * ("",)
        )
    return Rows(
        ("session", "running", "waiting", "completed", "failed", "why"),
        rows,
        prose=["running", "failed", "why"],
    )


def _urgency(tasks: list[TaskView]) -> tuple[bool, bool, bool]:
    """Return a sort key: sessions with running tasks, then with failures, then with waiting ones."""
    states = {task.state for task in tasks}
    in_trouble = states & {"terminal_failed", "retry"}
    return "running" not in states, not in_trouble, not states & OPEN_STATES


def _named(tasks: list[TaskView], state: str) -> str:
    """Return the names of the tasks in a state, with the number of any attempt after the first."""
    return ", ".join(
        f"{task.archive_id or ''} {'' if task.kind == 'finalise' else task.kind}".strip()
        + (f" (attempt {task.attempts})" if state == "running" and task.attempts > 1 else "")
        for task in tasks
        if task.state == state
    )


def _why(tasks: list[TaskView]) -> str:
    """Return the error of a failed task, else that of a waiting one and when it is tried again."""
    for task in tasks:
        if task.state == "terminal_failed":
            return one_line(task.error or "", 60)
    for task in tasks:
        if task.state == "retry":
            return f"next attempt {task.due_at[11:19]}Z: {one_line(task.error or '', 60)}"
    return ""


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )


# ---- words ------------------------------------------------------------------------------------


def _name(task: TaskView) -> str:
    return f"{task.session_id} {task.archive_id or ''} {task.kind}".replace("  ", " ")


def described(task: TaskView) -> str:
    """Return one line about a task's current state."""
    error = f" ({one_line(task.error)})" if task.error else ""
    return f"{_name(task)}: {task.state}{error}"


@contextmanager
def watcher(log: Log) -> Generator[Watcher]:
    """Show changes of tasks on stderr while the block runs."""
    if not sys.stderr.isatty():
        yield Watcher(log)
        return
    from eventlog.cli.terminal import VisibleConsole

    watching = LiveWatcher(log, VisibleConsole(stderr=True))
    with watching.live:
        yield watching
