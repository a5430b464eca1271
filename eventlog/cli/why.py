"""``eventlog why``: what led to an event, or what it led to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import event_document
from eventlog.cli.places import place_of, version_option
from eventlog.forensics.event_lines import gist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.forensics.causes import Cause

__all__ = ["why"]


@command("why")
@click.argument("place", metavar="SESSION@VERSION", shell_complete=session_ids)
@version_option
@click.option("--tree", is_flag=True, help="Show what the event led to instead.")
def why(invocation: Invocation, place: str, version: int | None, tree: bool) -> None:
    """A cause is what the metadata of an event name, or follows from what it is about: the message
    that made a call, the attempt at a turn, the message that waited for a run, the step of the task
    before it.
    """
    session_id, version = place_of(place, version)
    if version is None:
        raise click.UsageError("name the version of an event, such as chat-42@17")
    with invocation.open(session_id) as log:
        causes = log.session(session_id, follow_folder=False).why(version, tree=tree)
    document = [
        {
            "version": cause.version,
            "depth": cause.depth,
            "reason": cause.reason,
            "outside": cause.outside,
            "event": event_document(cause.event),
        }
        for cause in causes
    ]
    invocation.answer(document, lambda terminal: _print(terminal, causes, tree=tree))


def _print(terminal: Terminal, causes: Sequence[Cause], *, tree: bool) -> None:
    terminal.table(
        ("version", "type", "because of" if not tree else "follows as", "what"),
        [
            (
                cause.version,
                f"{'  ' * cause.depth if tree else ''}{cause.event.type}",
                cause.reason or (f"event {cause.outside}" if cause.outside else ""),
                gist(cause.event),
            )
            for cause in causes
        ],
        prose=["what"],
    )
