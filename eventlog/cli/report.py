"""``eventlog report``: sessions as one page, to look at and to mail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids as complete_sessions
from eventlog.cli.output import counted, say
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from eventlog.exchange.bundle.format import Redaction

__all__ = ["report"]

LARGE = 20_000_000
"""Bytes above which browsers become slow."""


@command("report")
@click.argument(
    "session_ids", metavar="SESSION...", nargs=-1, required=True, shell_complete=complete_sessions
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    required=True,
    metavar="FILE",
    help="The file, such as case.html; - is stdout.",
)
@click.option(
    "--redact",
    type=click.Choice(["secrets", "texts", "nothing"]),
    default="secrets",
    show_default=True,
    help="Take out secrets of known forms, all that was said, or nothing.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Only events after version N.",
)
@click.option(
    "--until", type=click.IntRange(min=1), metavar="N", help="Only events up to version N."
)
def report(
    invocation: Invocation,
    session_ids: tuple[str, ...],
    output: Path,
    redact: str,
    after: int,
    until: int | None,
) -> None:
    """A page in one file, which works offline and asks for nothing: what happened, the state at every
    version, which event changed what, and what is wrong. `eventlog docs report` says how to read it.

    A file of that name is replaced. Texts above 2,000 characters are cut; the page says which command
    shows the rest.
    """
    from eventlog.report import report_pieces, write_report

    redaction = cast("Redaction | None", None if redact == "nothing" else redact)
    if invocation.json and str(output) == "-":
        raise InvalidArgument("with --json the page cannot go to stdout as well; name a file")
    with invocation.open(*session_ids) as log:
        if str(output) == "-":
            pieces, _ = report_pieces(
                log, session_ids, after=after, until=until, redaction=redaction
            )
            for piece in pieces:
                click.echo(piece.encode(), nl=False)
            return
        summary = write_report(
            log, session_ids, output, after=after, until=until, redaction=redaction
        )
    document = {"path": str(output), "redaction": redaction, **summary._asdict()}
    invocation.answer(
        document,
        lambda terminal: terminal.line(
            f"{output}: {counted(summary.sessions, 'session')}, "
            f"{counted(summary.events, 'event')}, {summary.bytes / 1_000_000:,.1f} MB"
        ),
    )
    if not summary.is_sound and not invocation.json:
        say("something is wrong: the page shows it first")
    if summary.bytes > LARGE and not invocation.json:
        say("a browser takes long to open that; --after and --until show a part")
