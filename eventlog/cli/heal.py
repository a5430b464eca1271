"""``eventlog heal``: compare a session's files with the log, and repair them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted
from eventlog.session.attachment import finding_data

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.session.attachment import FolderReport

__all__ = ["heal", "report_document"]


@command("heal")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("path", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--check", is_flag=True, help="Only compare; change nothing.")
def heal(invocation: Invocation, session_id: str, path: str, check: bool) -> ExitCode:
    """Replays the session, compares every file in DIR with it, and rewrites those that differ.

    Content that the log does not have is kept beside the file as .quarantined-…, and the findings
    are recorded in the log. With --check, exits with 1 if anything differs.
    """
    with invocation.open(session_id) as log:
        report = log.session(session_id, follow_folder=False).heal(path, check=check)
    invocation.answer(
        report_document(session_id, report), lambda terminal: _print(terminal, report)
    )
    return ExitCode.OK if report.healed else ExitCode.FINDINGS


def report_document(session_id: str, report: FolderReport) -> dict[str, Any]:
    """Return a folder's report as JSON."""
    findings = [
        {**finding_data(finding), "kind": finding.kind, "detail": finding.detail}
        for finding in report.findings
    ]
    return {"session_id": session_id, **report._asdict(), "findings": findings}


def _print(terminal: Terminal, report: FolderReport) -> None:
    if report.findings:
        terminal.table(
            ("file", "problem", "dropped", "kept in"),
            [
                (found.path, found.kind, found.dropped, found.quarantine or "")
                for found in report.findings
            ],
        )
    terminal.line(f"{report.path}: {_verdict(report)}")


def _verdict(report: FolderReport) -> str:
    if not report.findings:
        return f"every file agrees with version {report.version}"
    differ = f"{counted(len(report.findings), 'file')} not what the log says"
    return f"{differ}; healed" if report.healed else f"{differ}; `eventlog heal` mends that"
