"""``eventlog retry``: a failed archive, or another task, gets new attempts."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command

__all__ = ["retry"]

_SENTENCES = {
    "accepted": "gets new attempts",
    "already_completed": "is completed already",
    "running": "has not failed; it is waiting, or in work",
}


@command("retry")
@click.argument("session_id", metavar="SESSION")
@click.argument("archive_id", metavar="ARCHIVE")
@click.option("--actor", help="Who asks; recorded with the event.")
@click.option("--reason", help="Why; recorded with the event.")
def retry(
    invocation: Invocation,
    session_id: str,
    archive_id: str,
    actor: str | None,
    reason: str | None,
) -> None:
    """ARCHIVE is an id such as archive_001, or that of any task. `eventlog work` does the work."""
    with invocation.open() as log:
        status = log.session(session_id).retry(archive_id, actor=actor, reason=reason)
    document = {"session_id": session_id, "archive_id": archive_id, "status": status}
    invocation.answer(
        document,
        lambda terminal: terminal.line(f"{session_id}: {archive_id} {_SENTENCES[status]}"),
    )
