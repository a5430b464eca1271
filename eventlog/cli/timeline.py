"""``eventlog timeline``: the events of a session, filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.documents import event_document
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted, say
from eventlog.errors import CorruptError
from eventlog.forensics.event_lines import gist, time_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.recorded import Recorded

__all__ = ["timeline"]


@command("timeline")
@click.argument("session_id", metavar="SESSION")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type.")
@click.option("--actor", metavar="NAME", help="Only events that this actor caused.")
@click.option("--since", metavar="TIME", help="Only events at or after a time (ISO 8601).")
@click.option("--until", metavar="TIME", help="Only events at or before a time.")
@click.option("--grep", "text", metavar="TEXT", help="Only events that say this, in any case.")
def timeline(
    invocation: Invocation,
    session_id: str,
    types: tuple[str, ...],
    actor: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
) -> ExitCode:
    """Filters choose what is shown; they change no state. Exits with 3 where nothing is left."""
    filters: dict[str, Any] = {"actor": actor, "since": since, "until": until, "text": text}
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        events = session.timeline(types=types or None, **filters)
        total = session.version
    invocation.answer(
        [event_document(recorded) for recorded in events],
        lambda terminal: terminal.table(
            ("version", "time (UTC)", "type", "actor", "what"), _rows(events)
        ),
    )
    if not invocation.json:
        say(f"{len(events):,} of {counted(total, 'event')}")
    return ExitCode.OK if events else ExitCode.NOT_FOUND


def _rows(events: Sequence[Recorded]) -> Iterator[tuple[object, ...]]:
    for recorded in events:
        yield recorded.version, time_cell(recorded), recorded.type, _actor(recorded), gist(recorded)


def _actor(recorded: Recorded) -> str:
    try:
        return recorded.metadata.actor or ""
    except CorruptError:
        return ""
