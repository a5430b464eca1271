"""``eventlog at``: a session as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import context_document, moment_document
from eventlog.cli.places import moment_of, place_of, version_option
from eventlog.cli.show import budget_option, print_context, print_session

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal

__all__ = ["at"]


@command("at")
@click.argument("place", metavar="SESSION@VERSION", shell_complete=session_ids)
@version_option
@click.option("--time", metavar="TIME", help="The last version at or before a time (ISO 8601).")
@click.option(
    "--position",
    type=click.IntRange(min=0),
    metavar="P",
    help="The last version at or before a position of the log.",
)
@click.option("--history", is_flag=True, help="Show archived messages too, not only live ones.")
@click.option(
    "--context",
    "as_context",
    is_flag=True,
    help="Show what a model would have been given, as today's code builds it.",
)
@budget_option
@click.option("--full", is_flag=True, help="Cut no long text.")
def at(
    invocation: Invocation,
    place: str,
    version: int | None,
    time: str | None,
    position: int | None,
    history: bool,
    as_context: bool,
    budget: int,
    full: bool,
) -> None:
    """What `show` shows, of a moment: its live messages, metadata and archives.

    --json has every message of every archive, the tasks, the context as today's code builds it, and
    the contexts that were recorded as given.
    """
    if sum(given is not None for given in (version, time, position)) > 1:
        raise click.UsageError("give one of --version, --time and --position")
    session_id, version = place_of(place, version)
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        moment = moment_of(session, version, time, position)
        if as_context:
            document = context_document(moment.context(budget))
            invocation.answer(
                document, lambda terminal: print_context(terminal, document, full=full)
            )
            return
        document = moment_document(moment, archived=history or invocation.json)
    invocation.answer(
        document, lambda terminal: _print(terminal, document, history=history, full=full)
    )


def _print(terminal: Terminal, document: dict[str, Any], *, history: bool, full: bool) -> None:
    print_session(terminal, document, history=history, full=full)
    terminal.line()
    event = document["event"]
    if event is not None:
        live = "" if document["was_live"] else "; inside an append, so never live"
        terminal.line(f"after the {event['type']} at {document['time']}{live}")
