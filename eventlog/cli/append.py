"""``eventlog append``: append one message, from the command line or from stdin."""

from __future__ import annotations

import sys
from typing import Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.errors import InvalidMessage
from eventlog.session.messages import Message, as_message, message_data

__all__ = ["append", "text_or_stdin"]


@command("append")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.argument("text")
@click.option(
    "--role",
    type=click.Choice(["user", "assistant", "system", "tool"]),
    default="user",
    show_default=True,
    help="The message's role.",
)
@click.option(
    "--tool-id", metavar="ID", help="With --role tool: the id of the call that TEXT answers."
)
@click.option(
    "--id", "message_id", metavar="ID", help="The message's id; one is drawn if this is left out."
)
@click.option("--create", is_flag=True, help="Create the session and the log if they do not exist.")
def append(
    invocation: Invocation,
    session_id: str,
    text: str,
    role: str,
    tool_id: str | None,
    message_id: str | None,
    create: bool,
) -> None:
    """TEXT is the message's text; '-' reads it from stdin.

    A message with an --id can safely be sent again: it is stored once.
    """
    message = _message(role, text_or_stdin(text), tool_id, message_id)
    with invocation.open(session_id, create=create) as log:
        session = log.session(session_id, create=create, owner=invocation.owner)
        message = session.append(message)
        version = session.version
    document = {
        "session_id": session_id,
        "version": version,
        "message": message_data(message),
    }
    invocation.answer(
        document,
        lambda terminal: terminal.line(
            f"{session_id} is at version {version}, message {message.id}"
        ),
    )


def text_or_stdin(text: str) -> str:
    """Return a text, or what stdin has in place of a dash."""
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidMessage(f"stdin is not UTF-8 ({error})") from error


def _message(role: str, text: str, tool_id: str | None, message_id: str | None) -> Message:
    if (role == "tool") != (tool_id is not None):
        raise click.UsageError("--role tool and --tool-id ID go together")
    part: dict[str, Any] = {"type": "text", "text": text}
    if tool_id is not None:
        part = {
            "type": "tool",
            "tool_id": tool_id,
            "tool_output": text,
            "tool_status": "completed",
        }
    own_id = {} if message_id is None else {"id": message_id}
    return as_message({"role": role, "parts": [part], **own_id})
