"""``eventlog find``: the events with an index key."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command, full_option
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import event_document
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import counted, say
from eventlog.forensics.event_lines import EVENT_COLUMNS, event_cells

__all__ = ["find"]


@command("find")
@click.argument("key", metavar="KEY")
@click.option(
    "--session",
    "session_id",
    metavar="SESSION",
    shell_complete=session_ids,
    help="Only events of this session.",
)
@full_option
def find(invocation: Invocation, key: str, session_id: str | None, full: bool) -> ExitCode:
    """KEY is an index key that an application's event class names, such as run/42.

    Without --session, events whose key goes on after KEY and a slash are found as well. Only the
    events that are found are read. Exits with 3 where there is none.
    """
    owner = invocation.owner
    with invocation.open(session_id) as log:
        if session_id is None:
            owned = None if owner is None else set(log.sessions(owner=owner))
            events = [each for each in log.find(key) if owned is None or each.stream in owned]
        else:
            events = list(log.session(session_id, follow_folder=False).find(key))
    invocation.answer(
        [{"session_id": each.stream, **event_document(each)} for each in events],
        lambda terminal: terminal.table(
            ("session", *EVENT_COLUMNS),
            [(each.stream, *event_cells(each, full=full)) for each in events],
            ["what"],
        ),
    )
    if not invocation.json:
        say(counted(len(events), "event"))
    return ExitCode.OK if events else ExitCode.NOT_FOUND
