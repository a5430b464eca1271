"""``eventlog bisect``: the first event after which something holds."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import event_document
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import say
from eventlog.errors import InvalidArgument
from eventlog.forensics.event_lines import gist
from eventlog.forensics.predicates import PREDICATES

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.forensics.bisect import Found

__all__ = ["bisect"]


@command("bisect")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("expression", metavar="EXPRESSION")
def bisect(invocation: Invocation, session_id: str, expression: str) -> ExitCode:
    """EXPRESSION is over the values of a moment: meta.pending_tokens > 8000, or
    count(tail["*"].role, "tool") > 3; or the name of a predicate: P1 to P7, token_jump, doubled_ids,
    orphans, first_error, first_retry. `eventlog docs forensics` has the language.

    The session is folded once and every event looked at, so the answer is exact. Exits with 3 where
    it never holds.
    """
    with invocation.open(session_id) as log:
        session = log.session(session_id, follow_folder=False)
        try:
            found = session.bisect(expression)
        except InvalidArgument as error:
            raise InvalidArgument(f"{error}{_hint(session_id, expression)}") from error
        document = None if found is None else _document(session_id, found)
    if found is None:
        say("it never holds")
        if invocation.json:
            invocation.answer(None, lambda _: None)
        return ExitCode.NOT_FOUND
    invocation.answer(document, lambda terminal: _print(terminal, session_id, found))
    return ExitCode.OK


def _hint(session_id: str, expression: str) -> str:
    """Return what may have been meant by an expression that is refused, and where the language is."""
    near = get_close_matches(expression.strip(), PREDICATES, 1)
    guess = (
        f"; did you mean `eventlog bisect {shlex.quote(session_id)} {near[0]}`?" if near else ";"
    )
    return f"{guess} `eventlog docs forensics` has the language and the names of predicates"


def _document(session_id: str, found: Found) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "version": found.version,
        "event": event_document(found.event),
        "reason": found.reason,
        "before": {"version": found.version - 1, "meta": found.before.meta._asdict()},
        "after": {
            "version": found.version,
            "was_live": found.after.was_live,
            "meta": found.after.meta._asdict(),
        },
    }


def _print(terminal: Terminal, session_id: str, found: Found) -> None:
    event = found.event
    terminal.line(f"{session_id}@{found.version}: {event.type} at {event.time}", "bold")
    terminal.line(found.reason or gist(event))
    say(
        f"`eventlog diff {session_id}@{found.version - 1} {found.version}` shows what it changed, "
        f"`eventlog why {session_id}@{found.version}` what led to it"
    )
