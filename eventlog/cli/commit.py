"""``eventlog commit``: move live messages into an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted
from eventlog.errors import CommitBlocked, SessionClosed

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["commit"]


@command("commit")
@click.argument("session_id", metavar="[SESSION]", required=False, shell_complete=session_ids)
@click.option("--keep", default=0, metavar="N", help="Keep the newest N messages live.")
@click.option("--all", "every", is_flag=True, help="Commit every open session.")
def commit(
    invocation: Invocation, session_id: str | None, keep: int, every: bool
) -> ExitCode | None:
    """Returns at once; a worker (`eventlog work`) writes the archive's summary.

    A session is blocked if one of its archives has failed for good: retry or abandon that archive
    first.
    """
    if every == (session_id is not None):
        raise click.UsageError("name one SESSION, or write --all for every open one")
    with invocation.open(session_id) as log:
        if session_id is not None:
            result = log.session(session_id).commit(keep_recent=keep)._asdict()
            invocation.answer(result, lambda terminal: terminal.line(_sentence(result)))
            return None
        documents = [
            document
            for each in log.sessions(owner=invocation.owner)
            if (document := _commit_one_of_many(log, each, keep)) is not None
        ]
    invocation.answer(documents, lambda terminal: _print(terminal, documents))
    blocked = any(document["status"] == "blocked" for document in documents)
    return ExitCode.CONFLICT if blocked else None


def _commit_one_of_many(log: Log, session_id: str, keep: int) -> dict[str, Any] | None:
    """Commit a session; return None if it is closed, since it takes no commits."""
    try:
        return log.session(session_id).commit(keep_recent=keep)._asdict()
    except SessionClosed:
        return None
    except CommitBlocked as error:
        return {"status": "blocked", "session_id": session_id, "reason": str(error)}


def _sentence(document: dict[str, Any]) -> str:
    session = document["session_id"]
    if document["status"] == "skipped":
        why = {
            "no_messages": "there are no live messages",
            "all_within_keep_window": "all live messages are to be kept live",
        }
        return f"{session}: nothing to archive, {why[document['reason']]}"
    return (
        f"{session}: {counted(document['archived'], 'message')} moved into "
        f"{document['archive_id']}; task {document['task_id']} finalises it"
    )


def _print(terminal: Terminal, documents: list[dict[str, Any]]) -> None:
    terminal.table(
        ("session", "status", "messages", "archive", "reason"),
        [
            (
                document["session_id"],
                document["status"],
                document.get("archived", 0),
                document.get("archive_id"),
                document["reason"],
            )
            for document in documents
        ],
        prose=["reason"],
    )
