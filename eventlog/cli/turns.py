"""``eventlog turns``: list the turns of sessions with their states, or show one with its result."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, get_args

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.exits import ExitCode
from eventlog.cli.output import one_line, say, visible_json
from eventlog.cli.tasks import belonging
from eventlog.engine.turn_listing import TurnLine, list_turns
from eventlog.errors import SessionNotFound
from eventlog.log import engine_of
from eventlog.session.turns.machine import TurnState

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["turns"]


@command("turns")
@click.argument("session_id", metavar="[SESSION]", required=False, shell_complete=session_ids)
@click.option(
    "--state",
    type=click.Choice(get_args(TurnState)),
    metavar="STATE",
    help=f"One of {', '.join(get_args(TurnState))}.",
)
@click.option("--turn", "turn_id", metavar="ID", help="Show this turn of SESSION with its result.")
def turns(
    invocation: Invocation, session_id: str | None, state: TurnState | None, turn_id: str | None
) -> ExitCode:
    """Lists the turns of all sessions, or those of SESSION, in the order in which they began.

    The state `open` means that a process has the turn, or had it when it ended: the turn goes on once
    it is begun again. With --turn, exits with 3 where the session has no such turn.
    """
    if turn_id is not None and (session_id is None or state is not None):
        raise click.UsageError("--turn goes with SESSION, and without --state")
    with invocation.open(session_id) as log:
        if session_id is not None and not log.exists(session_id):
            raise SessionNotFound(session_id)
        if session_id is not None and turn_id is not None:
            return _show(invocation, log, session_id, turn_id)
        belongs = belonging(log, invocation.owner)
        found = [
            line
            for line in list_turns(engine_of(log), session_id, state)
            if belongs(line.session_id)
        ]
    chosen = session_id is not None or state is not None
    documents = [_document(line) for line in found]
    invocation.answer(documents, lambda terminal: _print(terminal, found, is_choice=chosen))
    return ExitCode.OK


def _document(line: TurnLine) -> dict[str, Any]:
    fields = line.turn._asdict()
    del fields["result"]
    return {"session_id": line.session_id, **fields}


def _print(terminal: Terminal, found: list[TurnLine], *, is_choice: bool) -> None:
    if not found:
        none = "no such turns" if is_choice else "no turns"
        terminal.line(f"{none}; `eventlog docs turns` says what they are")
        return
    terminal.table(
        ("session", "turn", "state", "attempt", "begun (UTC)", "ended (UTC)", "what"),
        [
            (
                line.session_id,
                line.turn.turn_id,
                line.turn.state,
                line.turn.attempt,
                _time(line.turn.begun_at),
                _time(line.turn.ended_at),
                _what(line),
            )
            for line in found
        ],
        prose=["what"],
    )


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _what(line: TurnLine) -> str:
    """Return what went wrong; of an open turn who has it; else the steps that are finished."""
    turn = line.turn
    if turn.state == "open":
        return f"{turn.owner or 'an unknown process'}, lease until {turn.lease_until[:19]}Z"
    if turn.error:
        return one_line(turn.error)
    return one_line(f"steps: {', '.join(turn.steps)}") if turn.steps else ""


def _show(invocation: Invocation, log: Log, session_id: str, turn_id: str) -> ExitCode:
    found = log.session(session_id, follow_folder=False).turns(turn_id)
    if not found:
        say(f"no turn {turn_id!r:.100}; `eventlog turns {shlex.quote(session_id)}` lists them")
        if invocation.json:
            invocation.answer(None, lambda _: None)
        return ExitCode.NOT_FOUND
    turn = found[0]
    document = {"session_id": session_id, **turn._asdict()}
    invocation.answer(document, lambda terminal: _print_one(terminal, document))
    return ExitCode.OK


def _print_one(terminal: Terminal, document: dict[str, Any]) -> None:
    result = document["result"]
    shown = {**document, "steps": ", ".join(document["steps"])}
    if document["state"] == "completed":
        shown["result"] = visible_json(json.dumps(result, ensure_ascii=False))
    terminal.pairs(
        {
            name.replace("_", " "): value
            for name, value in shown.items()
            if value not in (None, "") or name == "result"
        }
    )
