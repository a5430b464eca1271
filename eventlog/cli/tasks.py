"""``eventlog tasks``: list tasks with their states, or watch them."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.output import one_line, printable
from eventlog.errors import SessionNotFound
from eventlog.session.tasks.machine import (
    FINALISE,
    OPEN_STATES,
    POLLER_VIEW,
    PollerState,
    TaskState,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.cli.terminal import Terminal
    from eventlog.cli.watching import Wanted
    from eventlog.log import Log

__all__ = ["belonging", "tasks"]

_STATES = list(dict.fromkeys([*POLLER_VIEW, *POLLER_VIEW.values()]))


@command("tasks")
@click.option(
    "--session",
    "session_id",
    metavar="SESSION",
    shell_complete=session_ids,
    help="Only tasks of this session.",
)
@click.option(
    "--state", type=click.Choice(_STATES), metavar="STATE", help=f"One of {', '.join(_STATES)}."
)
@click.option("--kind", help="Only tasks of this kind, such as finalise.")
@click.option("--watch", is_flag=True, help="Show changes as they happen, until Ctrl-C.")
def tasks(
    invocation: Invocation,
    session_id: str | None,
    state: TaskState | PollerState | None,
    kind: str | None,
    watch: bool,
) -> None:
    """Lists the oldest first. The state `failed` means terminal_failed or abandoned.

    --watch shows a table on a terminal. Elsewhere it prints a line per open task, then a line per
    change.
    """
    with invocation.open(session_id) as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        belongs = belonging(log, invocation.owner)
        if watch:
            _refuse_beside_watch(invocation, state)
            _watch(
                log,
                lambda task: (
                    session_id in (None, task.session_id)
                    and kind in (None, task.kind)
                    and belongs(task.session_id)
                ),
            )
            return
        documents = [
            view._asdict()
            for view in log.tasks(session_id, state, kind)
            if belongs(view.session_id)
        ]
    chosen = state is not None or kind is not None or session_id is not None
    invocation.answer(documents, lambda terminal: _print(terminal, documents, is_choice=chosen))


def belonging(log: Log, owner: str | None) -> Callable[[str], bool]:
    """Return whether a session is the owner's; without an owner, all are."""
    if owner is None:
        return lambda _: True

    def belongs(session: str) -> bool:
        return log.session(session, follow_folder=False).meta.owner == owner

    return cache(belongs)


def _refuse_beside_watch(invocation: Invocation, state: str | None) -> None:
    for option, given in (("--json", invocation.json), ("--state", state)):
        if given:
            raise click.UsageError(f"{option} cannot be used with --watch, which shows changes")


def _watch(log: Log, wanted: Wanted) -> None:

    from eventlog.cli.terminal import VisibleConsole
    from eventlog.cli.watching import LiveWatcher, Watcher, described

    console = VisibleConsole()
    with suppress(KeyboardInterrupt):
        if console.is_terminal:
            live = LiveWatcher(log, console, wanted)
            with live.live:
                live.follow()
        else:
            watching = Watcher(log, wanted, tell=lambda line: click.echo(printable(line)))
            for task in log.tasks():
                if wanted(task) and task.state in OPEN_STATES:
                    click.echo(printable(described(task)))
            watching.follow()


def _print(terminal: Terminal, documents: list[dict[str, Any]], *, is_choice: bool) -> None:
    if not documents:
        terminal.line("no such tasks" if is_choice else "no tasks; `eventlog commit` begins one")
        return
    terminal.table(
        ("session", "archive", "kind", "state", "attempts", "updated (UTC)", "what"),
        [
            (
                document["session_id"],
                document["archive_id"],
                document["kind"],
                document["state"],
                document["attempts"],
                document["updated_at"][:19].replace("T", " "),
                _what(document),
            )
            for document in documents
        ],
        prose=["what"],
    )


def _what(document: dict[str, Any]) -> str:
    if document["error"]:
        return one_line(document["error"])
    if document["worker"]:
        return f"by {document['worker']}, lease until {document['due_at'][:19]}Z"
    result = document["result"]
    if document["kind"] == FINALISE and result:
        result = result["abstract"]
    return "" if result is None else one_line(str(result), 60)
