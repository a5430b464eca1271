"""``eventlog verify``: check that the records are what was written, and what is derived agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from eventlog.audit.verify import Verified, verify_entries, verify_session
from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted
from eventlog.cli.progress import progress
from eventlog.errors import CorruptLog
from eventlog.records import START
from eventlog.store import Finding, Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log
    from eventlog.records import Position

__all__ = ["finding_document", "print_not_looked_at", "verify", "verify_everything"]

NOT_LOOKED_AT: Final = (
    "the storage engine and its settings (`eventlog doctor`)",
    "attached folders (`eventlog heal SESSION DIR --check`)",
    "whether the end of a session was cut off, or an old copy put back (`eventlog docs tampering`)",
)
"""What `verify` says nothing about, and what does."""

NOT_LOOKED_AT_IN_ONE: Final = ("other sessions (`eventlog verify`)", *NOT_LOOKED_AT)

MISSING: Final = "the index lists this session, but it has no records"


@command("verify")
@click.argument("session_id", metavar="[SESSION]", required=False, shell_complete=session_ids)
def verify(invocation: Invocation, session_id: str | None) -> ExitCode:
    """Recomputes every hash and replays every state machine, of one session or of all. Counts the
    messages a second time, and compares snapshots, large values and the index with the events.

    Exits with 1 if anything is wrong. For each session it names the first bad version and what is
    wrong with it.
    """
    not_checked = 0
    if session_id is None and invocation.owner is not None:
        raise click.UsageError("name the SESSION of the owner; without one, all are verified")
    with invocation.open(session_id) as log:
        if session_id is None:
            sessions, events, findings, not_checked, redacted = verify_everything(log)
        else:
            findings = log.verify(session_id)
            sessions, events = 1, _version(log.store, session_id)
            redacted = _redacted(log.store, session_id)
    document: dict[str, Any] = {
        "sessions": sessions,
        "events": events,
        "findings": [finding_document(finding) for finding in findings],
    }
    if not_checked:
        document["snapshots_not_checked"] = not_checked
    if redacted:
        document["redacted"] = redacted

    def tell(terminal: Terminal) -> None:
        _print(terminal, document)
        print_not_looked_at(terminal, NOT_LOOKED_AT if session_id is None else NOT_LOOKED_AT_IN_ONE)

    invocation.answer(document, tell)
    return ExitCode.FINDINGS if findings else ExitCode.OK


def verify_everything(log: Log) -> tuple[int, int, list[Finding], int, int]:
    """Verify every session; return the numbers of sessions and events, the findings, and the numbers
    of snapshots that could not be checked and of redacted records."""
    streams, damage = _all_streams(log)
    verified: dict[str, Verified] = {}
    findings: list[Finding] = []
    with progress("verifying", lambda: len(streams)) as advance:
        for done, stream in enumerate(streams, 1):
            found = verified[stream] = verify_session(log.store, stream)
            findings += found.findings
            if not found.findings and not found.version:
                findings.append(Finding(stream, 0, "missing", MISSING))
            advance(done, stream)
    known = {(finding.stream, finding.version) for finding in findings}
    findings += [finding for finding in damage if (finding.stream, finding.version) not in known]
    if not damage:
        findings += verify_entries(log.store, verified)
    events = sum(_version(log.store, stream) for stream in streams)
    not_checked = sum(each.not_checked for each in verified.values())
    redacted = sum(each.redacted for each in verified.values())
    return len(streams), events, findings, not_checked, redacted


def _all_streams(log: Log) -> tuple[list[str], list[Finding]]:
    """Return the sessions that have records and those that the index lists: either may be damaged.

    If the log cannot be read, that is a finding. Should it name no session and version, verifying
    the sessions finds them.
    """
    streams, damage = set[str](), dict[Finding, None]()
    try:
        streams.update(log.sessions())
    except CorruptLog as error:
        damage[_damaged(error)] = None
    after: Position | None = START
    while after is not None:
        try:
            streams.update(record.stream for record in log.store.read_all(after=after))
            after = None
        except CorruptLog as error:
            damage[_damaged(error)] = None
            after = error.position
    if damage:
        streams.update(finding.stream for finding in log.store.check() if finding.stream)
    return sorted(streams), list(damage)


def _damaged(error: CorruptLog) -> Finding:
    return Finding(error.stream, error.version, "damaged", str(error))


def _redacted(store: Store, session_id: str) -> int:
    """Return how many records of a session were redacted, which only a bundle can say."""
    digests = getattr(store, "digests", None)
    return 0 if digests is None else len(digests(session_id))


def _version(store: Store, stream: str) -> int:
    """Return the number of a session's records; if its end is lost, of those that are left."""
    try:
        return store.head(stream).version
    except CorruptLog as error:
        return (error.version or 1) - 1


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON."""
    return {
        "session_id": finding.stream,
        "version": finding.version,
        "kind": finding.kind,
        "detail": finding.detail,
    }


def print_not_looked_at(terminal: Terminal, what: Iterable[str]) -> None:
    """Print what a command says nothing about, so that nobody takes its silence for a proof."""
    terminal.line("not looked at:", "dim")
    for each in what:
        terminal.line(f"  {each}", "dim")


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    findings = document["findings"]
    if findings:
        terminal.table(
            ("session", "version", "kind", "detail"),
            [tuple(finding.values()) for finding in findings],
            prose=["detail"],
        )
    terminal.line(
        f"{counted(document['sessions'], 'session')}, {counted(document['events'], 'event')}: "
        + (counted(len(findings), "finding") if findings else "every hash and every step is right")
    )
    if "redacted" in document:
        terminal.line(
            f"{counted(document['redacted'], 'event')} redacted: the digests of what was taken out "
            "are right"
        )
    if "snapshots_not_checked" in document:
        terminal.line(
            f"{counted(document['snapshots_not_checked'], 'snapshot')} not checked: damaged, of "
            "another history or of another version of eventlog; opening a session ignores them"
        )
