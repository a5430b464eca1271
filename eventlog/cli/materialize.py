"""``eventlog materialize``: write a session's files for programs that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.heal import report_document
from eventlog.cli.output import counted

if TYPE_CHECKING:
    from eventlog.session.attachment import FolderReport

__all__ = ["materialize"]


@command("materialize")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("path", metavar="DIR", type=click.Path(file_okay=False))
def materialize(invocation: Invocation, session_id: str, path: str) -> None:
    """Writes messages.jsonl, .meta.json and history/ into DIR, creating it if necessary.

    DIR may hold an earlier state of the same session; then only files that differ are written. The
    folder is not updated afterwards: for a folder that follows the session, a service calls
    session.attach_folder.
    """
    with invocation.open(session_id) as log:
        report = log.session(session_id, follow_folder=False).materialize(path)
    invocation.answer(
        report_document(session_id, report), lambda terminal: terminal.line(_summary(report))
    )


def _summary(report: FolderReport) -> str:
    written = counted(len(report.findings), "file") + " written"
    return f"{report.path}: {written if report.findings else 'all files were up to date'}"
