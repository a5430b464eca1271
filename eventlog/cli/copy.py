"""``eventlog copy``: copy a log from one store into another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.exits import ExitCode
from eventlog.cli.opening import open_log
from eventlog.cli.output import counted, say
from eventlog.cli.progress import progress
from eventlog.cli.verify import finding_document
from eventlog.store_url import public_url

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.exchange.copying import CopyReport
    from eventlog.log import Log

__all__ = ["copy"]


@command("copy")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("--verify", is_flag=True, help="Read the copy back and verify every chain.")
def copy(invocation: Invocation, source: str, destination: str, verify: bool) -> ExitCode:
    """SRC and DST are URLs, such as sqlite:///agent.db and files:///agent-log.

    The copy has the same versions, ids, times, bytes and hashes. Run the command again to resume
    after an interruption, or to copy what has been added since. Exit codes: 4 if a session has
    different records in DST, 5 if a record in SRC is damaged, 1 if --verify finds something.
    """
    if source == destination:
        raise click.UsageError("SRC and DST are the same log; name two")
    began = time.perf_counter()
    try:
        report = _copy(source, destination, verify)
    except KeyboardInterrupt:
        say("interrupted; run the same command again to resume")
        raise
    seconds = time.perf_counter() - began
    document: dict[str, Any] = {
        "source": public_url(source),
        "destination": public_url(destination),
        **report._asdict(),
        "verified": report.verified if verify else None,
        "findings": [finding_document(finding) for finding in report.findings],
        "seconds": round(seconds, 3),
        "records_per_second": round((report.records + report.already_there) / seconds),
    }
    invocation.answer(document, lambda terminal: _print(terminal, document))
    return ExitCode.FINDINGS if report.findings else ExitCode.OK


def _copy(source: str, destination: str, verify: bool) -> CopyReport:
    from eventlog.exchange.copying import copy_log

    began, earlier = time.perf_counter(), None
    with (
        open_log(source) as origin,
        open_log(destination, create=True) as target,
        progress("copying", lambda: _records(origin)) as advance,
    ):

        def advance_at(done: int, at: str) -> None:
            nonlocal earlier
            earlier = done if earlier is None else earlier
            rate = (done - earlier) / (time.perf_counter() - began)
            advance(done, f"{done:,} records, {rate:,.0f}/s, {at}")

        return copy_log(origin.store, target.store, verify=verify, advance=advance_at)


def _records(log: Log) -> int:
    """Count the records of a log, for a progress bar."""
    return sum(log.store.head(session).version for session in log.sessions())


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    for finding in document["findings"]:
        where = f"{finding['session_id']}, version {finding['version']}"
        terminal.line(f"{finding['kind']}: {where}: {finding['detail']}", "bold red")
    terminal.line(
        f"{counted(document['records'], 'record')} of {counted(document['sessions'], 'session')} "
        f"copied, {document['already_there']:,} already there, "
        f"{counted(document['values'], 'large value')}; "
        f"{document['records_per_second']:,} records/s in {document['seconds']:.1f} s"
    )
    if document["verified"] is not None and not document["findings"]:
        terminal.line(f"{counted(document['verified'], 'record')} verified in the copy", "green")
