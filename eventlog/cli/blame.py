"""``eventlog blame``: the last event that changed a value."""

from __future__ import annotations

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.diff import print_changes
from eventlog.cli.documents import change_document
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import say
from eventlog.cli.places import place_of, version_option
from eventlog.forensics.event_lines import gist

__all__ = ["blame"]


@command("blame")
@click.argument("place", metavar="SESSION[@VERSION]", shell_complete=session_ids)
@click.argument("path", metavar="PATH")
@version_option
def blame(invocation: Invocation, place: str, path: str, version: int | None) -> ExitCode:
    """PATH is what `diff` prints, such as meta.pending_tokens or archives[archive_001].state.

    Exits with 3 where there never was a value.
    """
    session_id, version = place_of(place, version)
    with invocation.open(session_id) as log:
        change = log.session(session_id, follow_folder=False).blame(path, version)
    if change is None:
        say(f"{path} never had a value")
        if invocation.json:
            invocation.answer(None, lambda _: None)
        return ExitCode.NOT_FOUND
    invocation.answer(change_document(change), lambda terminal: print_changes(terminal, [change]))
    if not invocation.json:
        say(gist(change.event))
    return ExitCode.OK
