"""``eventlog ls``: list the sessions of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.argument_checks import microseconds
from eventlog.cli.command import Invocation, command
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import say
from eventlog.engine.listings import DAMAGED, Selection, list_sessions, session_ids
from eventlog.log import engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["ls"]

_COLUMNS = {
    "session": "session_id",
    "state": "status",
    "version": "version",
    "created (UTC)": "created_at",
    "last record (UTC)": "last_record_at",
}

_COUNTED_COLUMNS = {
    "session": "session_id",
    "state": "status",
    "version": "version",
    "live": "message_count",
    "total": "total_message_count",
    "commits": "commit_count",
    "last message (UTC)": "last_message_at",
}


@command("ls")
@click.option(
    "--counts/--no-counts",
    default=None,
    help="Read each session for its messages and commits; --json does unless it is --no-counts.",
)
@click.option("--workspace", help="Only sessions of this workspace.")
@click.option(
    "--updated-after",
    metavar="TIME",
    help="Only sessions with a record later than this, such as 2026-01-02T03:04:05Z.",
)
@click.option("--newest", is_flag=True, help="Begin with the session that was written to last.")
def ls(
    invocation: Invocation,
    counts: bool | None,
    workspace: str | None,
    updated_after: str | None,
    newest: bool,
) -> ExitCode:
    """Lists closed and deleted sessions too: their records stay in the log."""
    counted = invocation.json if counts is None else counts
    after = None if updated_after is None else microseconds(updated_after)
    selection = Selection(invocation.owner, workspace, after, newest)
    with invocation.open() as log:
        documents = _counted(log, selection) if counted else _listed(log, selection)
    columns = _COUNTED_COLUMNS if counted else _COLUMNS
    invocation.answer(documents, lambda terminal: _print(terminal, columns, documents))
    if not any(document["status"] == DAMAGED for document in documents):
        return ExitCode.OK
    say(
        "an index entry is damaged: `eventlog doctor --rebuild-index` makes it from the events again"
    )
    return ExitCode.CORRUPT


def _listed(log: Log, selection: Selection) -> list[dict[str, Any]]:
    """Return what the index and the heads say: it costs the same however long the sessions are."""
    return [line._asdict() for line in list_sessions(engine_of(log).store, selection)]


def _counted(log: Log, selection: Selection) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []
    for session_id in session_ids(engine_of(log).store, selection):
        session = log.session(session_id, follow_folder=False)
        meta = session.meta._asdict()
        documents.append({"session_id": session_id, "version": session.version, **meta})
    return documents


def _print(
    terminal: Terminal, columns: dict[str, str], documents: Sequence[dict[str, Any]]
) -> None:
    if not documents:
        terminal.line("no sessions yet; `eventlog import` or `eventlog append --create` begin one")
        return
    terminal.table(
        list(columns),
        [[_cell(name, document) for name in columns.values()] for document in documents],
    )


def _cell(name: str, document: dict[str, Any]) -> object:
    value = document[name]
    if name == "status" and (document.get("blocked") or document.get("blocked_by")):
        return f"{value}, blocked"
    return str(value)[:19].replace("T", " ") if name.endswith("_at") else value
