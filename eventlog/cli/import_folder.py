"""``eventlog import`` of a session folder: adopt it, and print what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.adoption.adopting import check_folder
from eventlog.cli.output import counted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventlog.adoption.commands import Adoption
    from eventlog.adoption.limits import FolderLimits
    from eventlog.cli.command import Invocation
    from eventlog.cli.terminal import Terminal
    from eventlog.finding import Finding
    from eventlog.session.views import ArchiveView

__all__ = ["finding_document", "import_folder", "print_findings"]

_STATUSES: Final = {
    "adopted": "adopted as",
    "continued": "it has grown, and was adopted into",
    "already_adopted": "already adopted as",
}


def import_folder(
    invocation: Invocation,
    path: Path,
    session_id: str | None,
    *,
    quarantine: bool,
    limits: FolderLimits,
) -> None:
    """Adopt the folder at ``path``."""
    # Checked before the log is opened: a folder that cannot be adopted must not create a log.
    check_folder(str(path), quarantine=quarantine, limits=limits)
    with invocation.open(create=True) as log:
        adoption = log.adopt(path, session_id, quarantine=quarantine, limits=limits)
        archives = log.session(adoption.session_id).archives()
    document = _document(path, adoption, archives)
    invocation.answer(document, lambda terminal: _print(terminal, adoption, archives))


def _document(path: Path, adoption: Adoption, archives: Iterable[ArchiveView]) -> dict[str, Any]:
    """Return the answer as JSON; sums have the same names as in the import of a chat file."""
    return {
        "path": str(path),
        "session_id": adoption.session_id,
        "status": adoption.status,
        "version": adoption.version,
        "imported": adoption.imported,
        "already_there": adoption.messages - adoption.imported,
        "live": adoption.live,
        "archives": [
            {"archive_id": view.archive_id, "state": view.state, "messages": view.message_count}
            for view in archives
        ],
        "findings": [finding_document(finding) for finding in adoption.findings],
        "quarantined": list(adoption.quarantined),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON."""
    return {
        "rule": finding.kind,
        "path": finding.path,
        "line": finding.line,
        "detail": finding.detail,
        "action": finding.action,
        "message_ids": list(finding.message_ids),
    }


def print_findings(terminal: Terminal, findings: Iterable[Finding]) -> None:
    """Print findings: kind, file, line, detail, and what adopting does about it."""
    terminal.table(
        ("rule", "file", "line", "found", "adopting"),
        [
            (
                finding.kind,
                finding.path,
                "" if finding.line is None else finding.line,
                finding.detail,
                finding.action,
            )
            for finding in findings
        ],
        prose=["found", "adopting"],
    )


def _print(terminal: Terminal, adoption: Adoption, archives: Iterable[ArchiveView]) -> None:
    if adoption.findings:
        print_findings(terminal, adoption.findings)
    for path in adoption.quarantined:
        terminal.line(f"kept in quarantine: {path}", "yellow")
    views = list(archives)
    states = ", ".join(
        f"{sum(view.state == state for view in views)} {state}"
        for state in sorted({view.state for view in views})
    )
    terminal.line(
        f"{_STATUSES[adoption.status]} {adoption.session_id}: {counted(adoption.messages, 'message')}, "
        f"{adoption.live:,} of them live; {counted(len(views), 'archive')}"
        + (f" ({states})" if views else "")
    )
