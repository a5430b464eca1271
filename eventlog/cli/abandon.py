"""``eventlog abandon``: an unfinished archive is given up, and what follows it goes on."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command

__all__ = ["abandon"]


@command("abandon")
@click.argument("session_id", metavar="SESSION")
@click.argument("archive_id", metavar="ARCHIVE")
@click.option("--actor", help="Who asks; recorded with the event.")
@click.option("--reason", help="Why; recorded with the event.")
def abandon(
    invocation: Invocation,
    session_id: str,
    archive_id: str,
    actor: str | None,
    reason: str | None,
) -> None:
    """ARCHIVE is an id such as archive_001, or that of any task.

    Its messages stay in the log and in the session's context until a later overview covers them.
    """
    with invocation.open() as log:
        log.session(session_id).abandon(archive_id, actor=actor, reason=reason)
    document = {"session_id": session_id, "archive_id": archive_id, "status": "abandoned"}
    invocation.answer(
        document, lambda terminal: terminal.line(f"{session_id}: {archive_id} is abandoned")
    )
