"""``eventlog retry``: give a failed archive, or another failed task, new attempts."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import archive_ids, session_ids

__all__ = ["retry"]

_SENTENCES = {
    "accepted": "gets new attempts",
    "already_completed": "is already completed",
    "running": "has not failed; it is waiting or running",
}


@command("retry")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("archive_id", metavar="ARCHIVE", shell_complete=archive_ids)
@click.option("--actor", help="Who does this; recorded with the event.")
@click.option("--reason", help="The reason; recorded with the event.")
def retry(
    invocation: Invocation,
    session_id: str,
    archive_id: str,
    actor: str | None,
    reason: str | None,
) -> None:
    """ARCHIVE is an archive's id, such as archive_001, or the id of any task.

    The task is pending again; a worker (`eventlog work`) runs it.
    """
    with invocation.open(session_id) as log:
        status = log.session(session_id).retry(archive_id, actor=actor, reason=reason)
    document = {"session_id": session_id, "archive_id": archive_id, "status": status}
    invocation.answer(
        document,
        lambda terminal: terminal.line(f"{session_id}: {archive_id} {_SENTENCES[status]}"),
    )
