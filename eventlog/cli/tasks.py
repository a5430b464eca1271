"""``eventlog tasks``: what is finalised, by whom, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.output import one_line
from eventlog.errors import SessionNotFound
from eventlog.tasks.machine import FINALISE, POLLER_VIEW

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal

__all__ = ["tasks"]

_STATES = list(dict.fromkeys([*POLLER_VIEW, *POLLER_VIEW.values()]))


@command("tasks")
@click.option("--session", "session_id", metavar="SESSION", help="Only those of this session.")
@click.option(
    "--state", type=click.Choice(_STATES), metavar="STATE", help=f"One of {', '.join(_STATES)}."
)
@click.option("--kind", help="Only those of this kind, such as finalise.")
def tasks(
    invocation: Invocation, session_id: str | None, state: str | None, kind: str | None
) -> None:
    """Oldest first. Pollers' state `failed` stands for terminal_failed and abandoned."""
    with invocation.open() as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        documents = [view._asdict() for view in log.tasks(session_id, state, kind)]
    invocation.answer(documents, lambda terminal: _print(terminal, documents))


def _print(terminal: Terminal, documents: list[dict[str, Any]]) -> None:
    if not documents:
        terminal.line("no tasks; `eventlog commit` begins one")
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
