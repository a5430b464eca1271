"""``eventlog import`` of whole sessions, with their versions and hashes: bundles and CloudEvents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eventlog.cli.output import counted
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from eventlog.cli.command import Invocation
    from eventlog.cli.terminal import Terminal
    from eventlog.exchange.bundle.reading import Bundle
    from eventlog.exchange.copying import CopyReport

__all__ = ["import_bundle", "import_cloud_events", "whole_sessions_in"]


def whole_sessions_in(path: Path) -> Callable[..., None] | None:
    """Return what imports a file of whole sessions; None for any other file, and for a folder."""
    from eventlog.exchange.bundle.reading import is_bundle
    from eventlog.exchange.opening import open_file

    if not path.is_file():
        return None
    with open_file(path) as file:
        start = file.readline(1 << 20)
    if is_bundle(start[:4]):
        return import_bundle
    return import_cloud_events if b'"eventloghash"' in start else None


def import_bundle(
    invocation: Invocation, path: Path, *, new_chain: bool, max_bytes: int | None
) -> None:
    """Bring the sessions of a bundle into the log."""
    from eventlog.exchange.bundle import importing
    from eventlog.exchange.bundle.format import Limits
    from eventlog.exchange.bundle.reading import read_bundle
    from eventlog.log import engine_of

    limits = Limits() if max_bytes is None else Limits(file=max_bytes, content=4 * max_bytes)
    found = read_bundle(path, limits)  # Before a log is created for what cannot be imported.
    with invocation.open(create=True) as log:
        report = importing.import_bundle(found, engine_of(log).store, new_chain=new_chain)
    _answer_import(invocation, path, found, report)


def import_cloud_events(
    invocation: Invocation, path: Path, *, new_chain: bool, max_bytes: int | None
) -> None:
    """Bring the sessions in a file of CloudEvents into the log."""
    from eventlog.exchange.bundle import importing
    from eventlog.exchange.cloudevents import records_of
    from eventlog.exchange.opening import LARGEST_VALUE, open_file
    from eventlog.log import engine_of

    with open_file(path, max_bytes or LARGEST_VALUE) as file:
        found = importing.bundle_of(records_of(_documents(file)))
    with invocation.open(create=True) as log:
        report = importing.import_bundle(found, engine_of(log).store)
    _answer_import(invocation, path, found, report)


def _documents(lines: Iterable[bytes]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"line {number} is not JSON ({error})") from error


def _answer_import(invocation: Invocation, path: Path, found: Bundle, report: CopyReport) -> None:
    document: dict[str, Any] = {
        "path": str(path),
        "imported": report.records,
        "already_there": report.already_there,
        "values": report.values,
        "redaction": found.redaction,
        "sessions": [
            {"session_id": each.session_id, "version": each.records[-1].version}
            for each in found.sessions.values()
        ],
    }
    invocation.answer(document, lambda terminal: _print_import(terminal, document))


def _print_import(terminal: Terminal, document: dict[str, Any]) -> None:
    for each in document["sessions"]:
        terminal.line(f"{each['session_id']}, version {each['version']}")
    terminal.line(
        f"{counted(document['imported'], 'event')} of "
        f"{counted(len(document['sessions']), 'session')} imported, "
        f"{document['already_there']:,} already there"
    )
