"""``eventlog bundle``: sessions in one file, to hand on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.output import counted, say
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.cli.terminal import Terminal
    from eventlog.exchange.bundle.format import Redaction
    from eventlog.exchange.bundle.reading import Bundle
    from eventlog.exchange.copying import CopyReport

__all__ = [
    "bundle",
    "import_bundle_file",
    "import_cloud_events_file",
    "may_be_bundle",
    "may_be_cloud_events",
]


@command("bundle")
@click.argument("session_ids", metavar="SESSION...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The new file, such as case.zip.",
)
@click.option(
    "--redact",
    type=click.Choice(["secrets", "texts"]),
    help="Take out secrets of known forms, or all that was said.",
)
def bundle(
    invocation: Invocation, session_ids: tuple[str, ...], output: Path, redact: str | None
) -> None:
    """Every reading command works on it: `eventlog --store bundle:///case.zip show SESSION`. It needs
    neither this log nor the classes of an application, and `eventlog import case.zip` brings it into
    another log. The same sessions give the same bytes.

    Of redacted events the digests of what was there remain, so that the hash chain still verifies.
    """
    with invocation.open() as log:
        report = log.bundle(session_ids, output, redact=cast("Redaction | None", redact))
    document = {"path": str(output), "redaction": redact, **report._asdict()}
    invocation.answer(
        document,
        lambda terminal: terminal.line(
            f"{output}: {counted(report.sessions, 'session')}, {counted(report.records, 'event')}, "
            f"{counted(report.values, 'large value')}"
        ),
    )
    if redact and not invocation.json:
        say(f"something was taken out of {counted(report.redacted, 'event')}")


def may_be_bundle(path: Path) -> bool:
    """Return whether a path is a file that begins as bundles do."""
    from eventlog.exchange.bundle.reading import is_bundle

    if not path.is_file():
        return False
    with path.open("rb") as file:
        return is_bundle(file.read(4))


def import_bundle_file(
    invocation: Invocation, path: Path, *, new_chain: bool, max_bytes: int | None
) -> None:
    """Bring the sessions of a bundle into the log."""
    from eventlog.exchange.bundle.format import Limits
    from eventlog.exchange.bundle.importing import import_bundle
    from eventlog.exchange.bundle.reading import read_bundle
    from eventlog.log import engine_of

    limits = Limits() if max_bytes is None else Limits(file=max_bytes, content=4 * max_bytes)
    found = read_bundle(path, limits)  # Before a log is created for what cannot be imported.
    with invocation.open(create=True) as log:
        report = import_bundle(found, engine_of(log).store, new_chain=new_chain)
    _answer_import(invocation, path, found, report)


def may_be_cloud_events(path: Path) -> bool:
    """Return whether a path is a file whose first line is a CloudEvent of this library."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"eventloghash"' in file.readline(1 << 20)


def import_cloud_events_file(invocation: Invocation, path: Path) -> None:
    """Bring the sessions in a file of CloudEvents into the log."""
    from eventlog.exchange.bundle.importing import bundle_of, import_bundle
    from eventlog.exchange.cloudevents import records_of
    from eventlog.log import engine_of

    with path.open(encoding="utf-8") as file:
        found = bundle_of(records_of(_documents(file)))
    with invocation.open(create=True) as log:
        report = import_bundle(found, engine_of(log).store)
    _answer_import(invocation, path, found, report)


def _documents(lines: Iterable[str]) -> Iterator[Any]:
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
