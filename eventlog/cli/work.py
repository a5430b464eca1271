"""``eventlog work``: run a worker until it is done or a signal stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from eventlog.aio import AsyncLog, async_engine_of
from eventlog.cli.command import Invocation, command
from eventlog.cli.output import counted, say
from eventlog.cli.watching import Watcher, watcher
from eventlog.clock import format_time
from eventlog.engine.listings import finalizer_names
from eventlog.errors import InvalidArgument, UnavailableError
from eventlog.log import engine_of
from eventlog.session.tasks.machine import FINALISE
from eventlog.worker.due import tasks_elsewhere
from eventlog.worker.finalizer import EXTRACTIVE, Finalizer
from eventlog.worker_face import AsyncWorker

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.engine.engine import Engine
    from eventlog.log import Log
    from eventlog.worker.requests import Summarizer

__all__ = ["work"]

LOOKED_AT: Final = 100
"""Tasks that are looked at for a summary of an earlier version, which has no maker's name."""

SAY_SECONDS: Final = 5.0
"""How often tasks that run elsewhere are looked for."""

LOOK_SECONDS: Final = 0.2
"""How often the display is updated."""


@command("work")
@click.option("--once", is_flag=True, help="Finalise what is due now, then exit.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="How many sessions are worked on at once.",
)
@click.option(
    "--lease",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a claim on a task lasts unless renewed.",
)
@click.option("--name", help="The worker's name in the log.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="When stopped: how long running tasks may take to finish.",
)
@click.option(
    "--finalizer",
    "target",
    metavar="MODULE:NAME",
    help="Your eventlog.Finalizer, with your summarizer and extractors, or your summarizer alone. "
    "Modules of the current folder are found.",
)
@click.option(
    "--extractive",
    is_flag=True,
    help="Write extractive summaries into a log whose summaries something else makes.",
)
def work(
    invocation: Invocation,
    once: bool,
    concurrency: int,
    lease: float,
    name: str | None,
    grace: float,
    target: str | None,
    extractive: bool,
) -> None:
    """Without --once it runs until SIGTERM or Ctrl-C; then it finishes or releases running tasks.

    Without --finalizer, archives get an extractive summary, which needs no model. A log whose
    summaries something else makes is refused then, unless --extractive is given.
    """
    finalizer = Finalizer() if target is None else _load(target)
    with invocation.open() as log, watcher(log) as watching:
        if target is None and not extractive:
            _refuse_if_made_elsewhere(log)
        elsewhere = _Elsewhere(engine_of(log), finalizer.task_kinds)
        worker_name = asyncio.run(
            _work(
                AsyncLog(log),
                watching,
                elsewhere,
                finalizer,
                once=once,
                grace=grace,
                concurrency=concurrency,
                lease_seconds=lease,
                name=name,
            )
        )
        watching.look()
        elsewhere.say()
        waiting = elsewhere.look()
    document = {
        "worker": worker_name,
        "completed": watching.completed_by(worker_name),
        "retry": watching.count("retry"),
        "failed": watching.count("terminal_failed"),
        "waiting": waiting,
    }
    invocation.answer(document, lambda terminal: _print(terminal, document))


def _refuse_if_made_elsewhere(log: Log) -> None:
    """Refuse a log in which something else than the extractive summariser makes the overviews (F6)."""
    names = finalizer_names(engine_of(log).store)
    others = [name for name in names if name != EXTRACTIVE]
    if others:
        raise InvalidArgument(
            f"the summaries of this log are made by {', '.join(others[:3])}; run that worker, name it "
            "with --finalizer MODULE:NAME, or write --extractive for summaries without a model"
        )
    looked_at = () if names else islice(log.tasks(kind=FINALISE), LOOKED_AT)
    if any(task.result is not None for task in looked_at):
        say("warning: who made the summaries of this log is not recorded; new ones are extractive")


def _load(target: str) -> Finalizer:
    """Return what a name stands for; modules of the current folder are found, too."""
    module, _, name = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.UsageError(f"--finalizer {target}: {error}") from error
    if isinstance(found, Finalizer):
        return found
    if not callable(found) or isinstance(found, type):
        raise click.UsageError(
            f"--finalizer {target} is neither an eventlog.Finalizer nor a function that summarises"
        )
    return Finalizer(cast("Summarizer", found))


async def _work(
    log: AsyncLog,
    watching: Watcher,
    elsewhere: _Elsewhere,
    finalizer: Finalizer,
    *,
    once: bool,
    grace: float,
    **options: Any,
) -> str:
    """Run a worker until it is done or stopped; return its name."""
    worker = AsyncWorker(log, finalizer, **options)
    _on_signals(lambda: worker.stop(grace))
    looking = asyncio.create_task(_keep_looking(watching))
    saying = asyncio.create_task(_keep_saying(log, elsewhere))
    try:
        await (worker.run_once() if once else worker.run())
    finally:
        for task in (looking, saying):
            task.cancel()
        await asyncio.gather(looking, saying, return_exceptions=True)
    return worker.name


async def _keep_saying(log: AsyncLog, elsewhere: _Elsewhere) -> None:
    """Say, once for each, which tasks have to wait for the lease of a process elsewhere."""
    while True:
        with suppress(UnavailableError):
            await async_engine_of(log).run(elsewhere.say)
        await asyncio.sleep(SAY_SECONDS)


class _Elsewhere:
    """The tasks that run in processes of which it cannot be proven whether they live (F2)."""

    def __init__(self, engine: Engine, kinds: Collection[str]) -> None:
        self._engine = engine
        self._kinds = kinds
        self._said: set[tuple[str, int]] = set()

    def look(self) -> list[dict[str, Any]]:
        """Return them, with the time at which each is free at the latest."""
        tasks = tasks_elsewhere(self._engine.store, self._engine.clock(), self._kinds)
        return [
            {
                "task_id": task.task_id,
                "session_id": task.session,
                "fence": task.fence,
                "host": task.owner["host"],
                "pid": task.owner["pid"],
                "until": format_time(task.due_at),
            }
            for task in tasks
            if task.owner is not None
        ]

    def say(self) -> None:
        """Say those that were not said before."""
        for task in self.look():
            key = (task["task_id"], task["fence"])
            if key not in self._said:
                self._said.add(key)
                say(
                    f"waiting for the task {task['task_id']} of {task['session_id']}: process "
                    f"{task['pid']} on {task['host']} has it, and nothing here proves whether that "
                    f"still runs; it is free at {task['until']} at the latest"
                )


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C interrupts as usual.
            loop.add_signal_handler(number, stop)


async def _keep_looking(watching: Watcher) -> None:
    while True:
        with suppress(UnavailableError):  # If the outage lasts, the worker logs it.
            await asyncio.to_thread(watching.look)
        await asyncio.sleep(LOOK_SECONDS)


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    terminal.line(f"{counted(document['completed'], 'task')} completed by {document['worker']}")
    if document["retry"]:
        again = counted(document["retry"], "task")
        terminal.line(f"{again} to be tried again later; `eventlog tasks` shows why")
    if document["failed"]:
        terminal.line(
            f"{document['failed']} failed for good; `eventlog tasks --state terminal_failed` shows "
            "why, `eventlog retry` gives new attempts"
        )
