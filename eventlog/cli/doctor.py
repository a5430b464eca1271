"""``eventlog doctor``: check a store and its settings, a session folder, or a conversation file."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from eventlog import __version__
from eventlog.audit.index_check import compare_index, rebuild_index
from eventlog.cli.command import Invocation, command
from eventlog.cli.exits import ExitCode
from eventlog.cli.installed import examine_installation
from eventlog.cli.output import counted
from eventlog.cli.verify import finding_document, print_not_looked_at
from eventlog.errors import CorruptError
from eventlog.store import Finding, wal_of
from eventlog.store_url import public_url

if TYPE_CHECKING:
    from eventlog.audit.index_check import IndexDifference
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["doctor"]

SAFE_SQLITE: Final = (3, 51, 3)
"""The first SQLite without the WAL-reset bug (https://sqlite.org/wal.html#walresetbug)."""

LISTED: Final = 20
"""Differing index keys that are printed for people; JSON has all of them."""


NOT_LOOKED_AT: Final = (
    "hash chains, state machines, snapshots and large values (`eventlog verify`)",
    "attached folders (`eventlog heal SESSION DIR --check`)",
    "what failed or waits in a session (`eventlog tasks`, `eventlog events`)",
)
"""What `doctor` says nothing about, and what does."""


@command("doctor")
@click.argument("folder", metavar="[PATH]", type=click.Path(path_type=Path), required=False)
@click.option("--rebuild-index", "rebuild", is_flag=True, help="Rebuild the index from the events.")
def doctor(invocation: Invocation, folder: Path | None, rebuild: bool) -> ExitCode:
    """Without PATH: checks the storage engine, its settings, and the index against the events.

    With PATH: checks a session folder, or a conversation file in any format that `eventlog import`
    reads. Lists what is damaged (torn or doubled lines, broken chains, calls without a result,
    results without a call, times out of order) and what an import would do about it. Needs no store
    and changes nothing.

    Also says whether files of this package were overwritten by another one. Exits with 1 if anything
    is wrong. Use --rebuild-index only while nothing else writes to the log.
    """
    if folder is None:
        return _examine_store(invocation, rebuild=rebuild)
    if rebuild:
        raise click.UsageError("--rebuild-index works on a store; leave out PATH")
    from eventlog.exchange.openhands import openhands

    if folder.is_dir() and not openhands.is_event_folder(folder):
        return _examine_folder(invocation, folder)
    return _examine_file(invocation, folder)


def _examine_file(invocation: Invocation, path: Path) -> ExitCode:
    from eventlog.cli.import_ import print_noted
    from eventlog.exchange.examining import examine

    examined = examine(path)
    document = {
        "path": str(path),
        "sessions": [
            {
                "session_id": found.session_id,
                "format": found.format,
                "messages": len(found.messages),
                "fields": list(found.fields),
            }
            for found in examined.conversations
        ],
        "findings": [
            {
                "kind": noted.finding.kind,
                "line": noted.finding.line,
                "detail": noted.finding.detail,
                "action": noted.finding.action,
                "message_ids": list(noted.finding.message_ids),
            }
            for noted in examined.findings
        ],
    }

    def tell(terminal: Terminal) -> None:
        if examined.findings:
            print_noted(terminal, examined.findings)
        for found in examined.conversations:
            name = found.session_id or path.stem
            terminal.line(f"{name}: {counted(len(found.messages), 'message')} of {found.format}")
        verdict = counted(damaged, "finding") if damaged else "the file is sound"
        terminal.line(f"{path}: {verdict}", "" if damaged else "green")

    damaged = sum(noted.is_damage for noted in examined.findings)
    invocation.answer(document, tell)
    return ExitCode.FINDINGS if damaged else ExitCode.OK


def _examine_folder(invocation: Invocation, folder: Path) -> ExitCode:
    from eventlog.adoption.adopting import examine_folder
    from eventlog.cli.import_folder import finding_document as document_of
    from eventlog.cli.import_folder import print_findings

    findings = examine_folder(str(folder))
    document = {"path": str(folder), "findings": [document_of(finding) for finding in findings]}

    def tell(terminal: Terminal) -> None:
        if findings:
            print_findings(terminal, findings)
        verdict = counted(len(findings), "finding") if findings else "the folder is sound"
        terminal.line(f"{folder}: {verdict}", "" if findings else "green")

    invocation.answer(document, tell)
    return ExitCode.FINDINGS if findings else ExitCode.OK


def _examine_store(invocation: Invocation, *, rebuild: bool) -> ExitCode:
    installation = examine_installation()
    with invocation.open() as log:
        findings = log.store.check()
        differences = _compare_index(log, findings, rebuild=rebuild)
        document: dict[str, Any] = {
            "eventlog": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "store": public_url(invocation.store or ""),
            "durability": log.durability,
            "settings": log.store.settings(),
            "warnings": [*_warnings(log), *filter(None, [installation.sentence()])],
            "health": _health(log),
            "findings": [finding_document(finding) for finding in findings],
            "installation": installation._asdict(),
            "index": {
                "compared": differences is not None,
                "rebuilt": rebuild and differences is not None,
                "differences": [_difference_document(entry) for entry in differences or ()],
            },
        }
    invocation.answer(document, lambda terminal: _print(terminal, document))
    unmended = differences and not rebuild
    is_wrong = findings or unmended or installation.changed
    return ExitCode.FINDINGS if is_wrong else ExitCode.OK


def _compare_index(
    log: Log, findings: list[Finding], *, rebuild: bool
) -> list[IndexDifference] | None:
    """Compare or rebuild the index; return None if the events cannot be read (a finding)."""
    try:
        return (rebuild_index if rebuild else compare_index)(log.store)
    except CorruptError as error:
        if not findings:
            stream, version = getattr(error, "stream", None), getattr(error, "version", None)
            findings.append(Finding(stream, version, "damaged", str(error)))
        return None


def _warnings(log: Log) -> list[str]:
    warnings: list[str] = []
    sqlite = log.store.settings().get("sqlite")
    if sqlite is not None and tuple(map(int, sqlite.split("."))) < SAFE_SQLITE:
        needed = ".".join(map(str, SAFE_SQLITE))
        warnings.append(
            f"SQLite {sqlite} is older than {needed}, which mended a rare "
            "corruption of files that two connections write to at once; install "
            "'eventlog-sessions[sqlite]', which has a newer one, or let one process at a time write"
        )
    wal = wal_of(log.store)
    if wal is not None and wal.readers:
        warnings.append(
            f"the WAL has {wal.bytes / 1024 / 1024:,.0f} MiB; it begins anew when these processes, which "
            f"read just now, have ended their transactions: {', '.join(wal.readers)}"
        )
    if log.durability != "power":
        warnings.append(
            f"durability is {log.durability!r}: an acknowledged write may be lost when "
            + ("the process ends" if log.durability == "none" else "power fails")
        )
    return warnings


def _difference_document(difference: IndexDifference) -> dict[str, Any]:
    return {
        "key": difference.key,
        "stored": _legible(difference.stored),
        "rebuilt": _legible(difference.rebuilt),
    }


def _legible(value: bytes | None) -> str | None:
    """Return an entry's value as text; bytes that are not UTF-8 become escapes."""
    return None if value is None else value.decode(errors="backslashreplace")


def _health(log: Log) -> dict[str, Any]:
    """Return what the index says of the log's health; nothing if it cannot be read."""
    try:
        return log.health()._asdict()
    except CorruptError:
        return {}


def _amount(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _print(terminal: Terminal, document: dict[str, Any]) -> None:
    without = ("durability", "lag_events", "lag_seconds", "wal_readers")
    health = {
        name: value
        for name, value in document["health"].items()
        if name not in without and value is not None
    }
    terminal.pairs(
        {
            "eventlog": document["eventlog"],
            "python": document["python"],
            "store": document["store"],
            "durability": document["durability"],
            **document["settings"],
            **{name.replace("_", " "): _amount(value) for name, value in health.items()},
        }
    )
    for warning in document["warnings"]:
        terminal.line(f"warning: {warning}", "yellow")
    for finding in document["findings"]:
        terminal.line(f"{finding['kind']}: {finding['detail']}", "bold red")
    _print_index(terminal, document["index"], sound=not document["findings"])
    print_not_looked_at(terminal, NOT_LOOKED_AT)


def _print_index(terminal: Terminal, index: dict[str, Any], *, sound: bool) -> None:
    differences = index["differences"]
    if not index["compared"]:
        terminal.line("the index was not compared, because some events cannot be read")
        return
    if not differences:
        storage = "the storage is sound, and " if sound else ""
        terminal.line(f"{storage}the index agrees with the events", "green" if sound else "")
        return
    for entry in differences[:LISTED]:
        kind = "missing" if entry["stored"] is None else "different"
        terminal.line(f"{'stale' if entry['rebuilt'] is None else kind}: {entry['key']}")
    if len(differences) > LISTED:
        terminal.line(f"… and {len(differences) - LISTED:,} more")
    terminal.line(
        f"index entries rebuilt: {len(differences):,}"
        if index["rebuilt"]
        else f"index entries that differ: {len(differences):,}; `eventlog doctor --rebuild-index` "
        "mends them"
    )
