"""``eventlog enqueue``: queue a message for a run, which a supervisor executes."""

from __future__ import annotations

import click

from eventlog.cli.append import text_or_stdin
from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.session.messages import as_message

__all__ = ["enqueue"]


@command("enqueue")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("text")
@click.option(
    "--id", "message_id", metavar="ID", help="The message's id; one is drawn if this is left out."
)
@click.option("--actor", help="Who does this; recorded with the event.")
@click.option("--create", is_flag=True, help="Create the session and the log if they do not exist.")
def enqueue(
    invocation: Invocation,
    session_id: str,
    text: str,
    message_id: str | None,
    actor: str | None,
    create: bool,
) -> None:
    """TEXT is a message of the user; '-' reads it from stdin.

    The message is in the session once its run begins. One with an --id can safely be sent again: it
    is queued once.
    """
    own_id = {} if message_id is None else {"id": message_id}
    parts = [{"type": "text", "text": text_or_stdin(text)}]
    message = as_message({"role": "user", "parts": parts, **own_id})
    with invocation.open(session_id, create=create) as log:
        session = log.session(session_id, create=create, owner=invocation.owner)
        run_id = session.enqueue(message, actor=actor)
    document = {"session_id": session_id, "run_id": run_id, "message_id": message.id}
    invocation.answer(
        document, lambda terminal: terminal.line(f"{session_id}: run {run_id} is queued")
    )
