"""``eventlog diff``: what changed between two moments of a session, and by which event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import change_document
from eventlog.cli.output import counted, one_line
from eventlog.cli.places import place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.forensics.diff import Change

__all__ = ["diff", "print_changes", "value_text"]

VALUE_LENGTH = 48
"""Characters of a value that people are shown; ``--json`` has all of it."""


@command("diff")
@click.argument("first", metavar="SESSION@VERSION", shell_complete=session_ids)
@click.argument("second", metavar="[SESSION@]VERSION")
def diff(invocation: Invocation, first: str, second: str) -> None:
    """Every path whose value is another one, with the event that changed it last. --json has the
    values in full.
    """
    session_id, low = place_of(first)
    whole = place_of(second)
    high = int(second) if second.isascii() and second.isdigit() else whole.version
    if low is None or high is None:
        raise click.UsageError("name two versions, such as chat-42@12 chat-42@17")
    if not second.isdigit() and whole.session_id != session_id:
        raise click.UsageError("both places are of one session; `at --json` shows each of two")
    with invocation.open(session_id) as log:
        changes = log.session(session_id, follow_folder=False).diff(low, high)
    invocation.answer(
        {
            "session_id": session_id,
            "from": low,
            "to": high,
            "changes": [change_document(change) for change in changes],
        },
        lambda terminal: _print(terminal, changes),
    )


def _print(terminal: Terminal, changes: Sequence[Change]) -> None:
    print_changes(terminal, changes)
    terminal.line(counted(len(changes), "difference"))


def print_changes(terminal: Terminal, changes: Sequence[Change]) -> None:
    """Print a line per change."""
    if changes:
        terminal.table(
            ("path", "before", "after", "version", "event"),
            [
                (
                    change.path,
                    value_text(change.before),
                    value_text(change.after),
                    change.version,
                    change.event.type,
                )
                for change in changes
            ],
            prose=["before", "after"],
        )


def value_text(value: Any) -> str:
    """Return a value on one line."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "none" if value is None else one_line(text, VALUE_LENGTH)
