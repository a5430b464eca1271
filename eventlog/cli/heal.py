"""``eventlog heal``: are the files what the records say?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted
from eventlog.session.attachment import finding_data

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.session.attachment import FolderReport

__all__ = ["heal", "report_document"]


@command("heal")
@click.argument("session_id", metavar="SESSION")
@click.argument("path", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--check", is_flag=True, help="Only look: change nothing.")
def heal(invocation: Invocation, session_id: str, path: str, check: bool) -> ExitCode:
    """Replays the session and holds every file in DIR against it; writes those that differ.

    What a file has beyond the log is kept beside it in a file named .quarantined-…, and what was
    found is recorded. With --check it exits with 1 if anything differs.
    """
    with invocation.open() as log:
        report = log.session(session_id, follow_folder=False).heal(path, check=check)
    invocation.answer(
        report_document(session_id, report), lambda terminal: _print(terminal, report)
    )
    return ExitCode.OK if report.healed else ExitCode.FINDINGS


def report_document(session_id: str, report: FolderReport) -> dict[str, Any]:
    """Return what was found in a folder as JSON has it."""
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
        return f"every file is what version {report.version} says"
    differ = f"{counted(len(report.findings), 'file')} not what the log says"
    return f"{differ}; healed" if report.healed else f"{differ}; `eventlog heal` mends that"
