"""``eventlog abandon``: give up an unfinished archive, so that later ones are no longer blocked."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import archive_ids, session_ids

__all__ = ["abandon"]


@command("abandon")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("archive_id", metavar="ARCHIVE", shell_complete=archive_ids)
@click.option("--actor", help="Who does this; recorded with the event.")
@click.option("--reason", help="The reason; recorded with the event.")
def abandon(
    invocation: Invocation,
    session_id: str,
    archive_id: str,
    actor: str | None,
    reason: str | None,
) -> None:
    """ARCHIVE is an archive's id, such as archive_001, or the id of any task.

    The archive's messages stay in the log, and in the session's context until a later overview
    covers them.
    """
    with invocation.open(session_id) as log:
        log.session(session_id).abandon(archive_id, actor=actor, reason=reason)
    document = {"session_id": session_id, "archive_id": archive_id, "status": "abandoned"}
    invocation.answer(
        document, lambda terminal: terminal.line(f"{session_id}: {archive_id} is abandoned")
    )
