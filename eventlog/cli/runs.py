"""``eventlog runs``: list the runs of agents with their states, or watch them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.output import counted, one_line, printable
from eventlog.cli.tasks import belonging
from eventlog.errors import SessionNotFound
from eventlog.forensics.event_lines import gist
from eventlog.session.runs.machine import RUN_MACHINE, WAITING, RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log
    from eventlog.session.runs.view import RunView

__all__ = ["runs"]


@command("runs")
@click.option(
    "--session",
    "session_id",
    metavar="SESSION",
    shell_complete=session_ids,
    help="Only runs of this session.",
)
@click.option(
    "--state",
    type=click.Choice(get_args(RunState)),
    metavar="STATE",
    help=f"One of {', '.join(get_args(RunState))}.",
)
@click.option("--watch", is_flag=True, help="Print changes as they happen, until Ctrl-C.")
def runs(
    invocation: Invocation, session_id: str | None, state: RunState | None, watch: bool
) -> None:
    """Lists runs by session, and there in the order of the queue.

    --watch prints a line per run that is not over, then a line per event of a run.
    """
    with invocation.open(session_id) as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        belongs = belonging(log, invocation.owner)
        if watch:
            for option, given in (("--json", invocation.json), ("--state", state)):
                if given:
                    raise click.UsageError(
                        f"{option} cannot be used with --watch, which shows changes"
                    )
            _watch(log, session_id, belongs)
            return
        found = [run for run in log.runs(session_id, state) if belongs(run.session_id)]
    documents = [run._asdict() for run in found]
    invocation.answer(documents, lambda terminal: _print(terminal, found))


def _watch(log: Log, session_id: str | None, belongs: Callable[[str], bool]) -> None:
    with suppress(KeyboardInterrupt):
        after = log.position()
        for run in log.runs(session_id):
            if run.state in WAITING and belongs(run.session_id):
                line = f"{run.updated_at[:19]} {run.session_id} {run.run_id} {run.state}"
                click.echo(printable(f"{line} {_what(run)}".rstrip()))
        for recorded in log.follow(after, sorted(RUN_MACHINE.events - {"retry_requested"})):
            if session_id in (None, recorded.stream) and belongs(recorded.stream):
                event: Any = recorded.event
                head = f"{recorded.time[:19]} {recorded.stream} {event.task_id} {recorded.type}"
                click.echo(printable(f"{head}: {gist(recorded)}"))


def _print(terminal: Terminal, found: list[RunView]) -> None:
    if not found:
        terminal.line("no runs; `eventlog enqueue` queues one")
        return
    terminal.table(
        ("session", "run", "state", "attempt", "provider", "calls", "updated (UTC)", "what"),
        [
            (
                run.session_id,
                run.run_id,
                run.state,
                run.attempt,
                run.provider or "",
                run.calls,
                run.updated_at[:19].replace("T", " "),
                _what(run),
            )
            for run in found
        ],
        prose=["what"],
    )


def _what(run: RunView) -> str:
    """Return what else there is to say of a run."""
    said: list[str] = []
    if run.stop_requested:
        said.append(f"is to stop: {run.stop_requested}")
    if run.supervisor:
        said.append(f"by {run.supervisor}")
    if run.restarts:
        said.append(counted(run.restarts, "restart"))
    if run.fallbacks:
        said.append(counted(run.fallbacks, "fallback"))
    if total := run.usage.get("total_tokens", 0):
        said.append(f"{total:,} tokens")
    if run.state == "backing_off":
        said.append(f"again at {run.due_at[:19]}Z")
    if run.error:
        said.append(run.error)
    return one_line(", ".join(said), 100)
