"""``eventlog verify``: are the records what was written?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from eventlog.audit.verify import verify_stream
from eventlog.cli.command import Invocation, command
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted, progress
from eventlog.errors import CorruptLog, SessionNotFound
from eventlog.store import Finding, Store

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["finding_document", "verify"]

MISSING: Final = "the index lists this session, but it has no records"


@command("verify")
@click.argument("session_id", metavar="[SESSION]", required=False)
def verify(invocation: Invocation, session_id: str | None) -> ExitCode:
    """Recomputes every hash and replays every state machine, of one session or of all.

    Exits with 1 if anything is wrong, naming the first bad version of a session and what is wrong
    with it.
    """
    with invocation.open() as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        streams, damage = _all_streams(log) if session_id is None else ([session_id], [])
        events, findings = _verify(log.store, streams)
        findings = findings or damage
    document = {
        "sessions": len(streams),
        "events": events,
        "findings": [finding_document(finding) for finding in findings],
    }
    invocation.answer(document, lambda terminal: _print(terminal, document))
    return ExitCode.FINDINGS if findings else ExitCode.OK


def _all_streams(log: Log) -> tuple[list[str], list[Finding]]:
    """Return what has records, and what the index lists: neither is taken on trust.

    Where the log cannot be read to its end there is a finding, too; as a rule it comes up again, and
    more precisely, with the session that it is of.
    """
    streams, damage = set(log.sessions()), list[Finding]()
    try:
        for record in log.store.read_all():
            streams.add(record.stream)
    except CorruptLog as error:
        damage.append(Finding(error.stream, error.version, "damaged", str(error)))
    return sorted(streams), damage


def _verify(store: Store, streams: list[str]) -> tuple[int, list[Finding]]:
    events = 0
    findings: list[Finding] = []
    with progress("verifying", lambda: len(streams)) as advance:
        for done, stream in enumerate(streams, 1):
            version = store.head(stream).version
            events += version
            if version:
                findings += verify_stream(store, stream)
            else:
                findings.append(Finding(stream, 0, "missing", MISSING))
            advance(done, stream)
    return events, findings


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON has it."""
    return {
        "session_id": finding.stream,
        "version": finding.version,
        "kind": finding.kind,
        "detail": finding.detail,
    }


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    findings = document["findings"]
    if findings:
        terminal.table(
            ("session", "version", "kind", "detail"),
            [tuple(finding.values()) for finding in findings],
        )
    terminal.line(
        f"{counted(document['sessions'], 'session')}, {counted(document['events'], 'event')}: "
        + (counted(len(findings), "finding") if findings else "every hash and every step is right")
    )
