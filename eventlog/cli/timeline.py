"""``eventlog timeline``: the events of a session, filtered."""

from __future__ import annotations

from typing import Any

import click

from eventlog.cli.command import Invocation, command, filter_options, full_option
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import event_document
from eventlog.cli.event_types import check_event_types
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted, say
from eventlog.forensics.event_lines import EVENT_COLUMNS, event_cells

__all__ = ["timeline"]


@command("timeline")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@filter_options
@full_option
def timeline(invocation: Invocation, session_id: str, full: bool, **given: Any) -> ExitCode:
    """Filters choose what is shown; they change no state. Exits with 3 where nothing is left."""
    types = given.pop("types") or None
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        check_event_types(log, types or ())
        events = session.timeline(types=types, **given)
        total = session.version
    rows = (event_cells(recorded, full=full) for recorded in events)
    invocation.answer(
        [event_document(recorded) for recorded in events],
        lambda terminal: terminal.table(EVENT_COLUMNS, rows, ["what"]),
    )
    if not invocation.json:
        say(f"{len(events):,} of {counted(total, 'event')}")
    return ExitCode.OK if events else ExitCode.NOT_FOUND
