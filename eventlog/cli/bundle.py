"""``eventlog bundle``: sessions in one file, to hand on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.output import counted, say

if TYPE_CHECKING:
    from eventlog.exchange.bundle.format import Redaction

__all__ = ["bundle"]


@command("bundle")
@click.argument(
    "session_ids", metavar="SESSION...", nargs=-1, required=True, shell_complete=session_ids
)
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
    with invocation.open(*session_ids) as log:
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
