"""``eventlog export``: write a session as a provider's chat messages, or as JSON Lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.output import counted, say, visible_json
from eventlog.exchange.exporting import FORMATS, Exported, Format, export

if TYPE_CHECKING:
    from eventlog.session.chat.provider_messages import Loss

__all__ = ["export_"]

LISTED = 20
"""Losses that are printed for people; ``--json`` has all of them."""


@command("export")
@click.argument("session_id", metavar="SESSION")
@click.option(
    "--format",
    "format",
    type=click.Choice(FORMATS),
    default="chat",
    show_default=True,
    help="The format of the messages.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a new file instead of stdout.",
)
def export_(invocation: Invocation, session_id: str, format: str, output: Path | None) -> None:
    """Writes all messages of SESSION, archived ones included, with large tool outputs in full.

    The formats chat, anthropic and responses are one JSON object with the session's id and its
    messages. The format jsonl has one message per line and loses nothing. What a format cannot
    carry is listed on stderr, or, with --json, in the same document as the messages.
    """
    with invocation.open() as log:
        messages = log.session(session_id, follow_folder=False).history(hydrate=True)
    exported = export(session_id, messages, cast("Format", format))
    text = "".join(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
        for value in exported.values
    )
    if output is not None:
        _write(output, text.encode())
    if invocation.json:
        invocation.answer(_document(session_id, format, exported, output), lambda _: None)
        return
    if output is None:
        # Hidden characters become JSON escapes: the same JSON, and safe on a terminal.
        click.echo(visible_json(text).encode(), nl=False)
    for loss in exported.losses[:LISTED]:
        say(f"not in {format}: {_line(loss)}")
    if len(exported.losses) > LISTED:
        say(f"… and {counted(len(exported.losses) - LISTED, 'more loss')}; --json lists all")


def _line(loss: Loss) -> str:
    return f"{loss.what} (message {loss.message_id})"


def _document(
    session_id: str, format: str, exported: Exported, output: Path | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "session_id": session_id,
        "format": format,
        "losses": [loss._asdict() for loss in exported.losses],
    }
    if output is not None:
        return {**document, "path": str(output)}
    if format == "jsonl":
        return {**document, "messages": exported.values}
    return {**document, **exported.values[0]}


def _write(path: Path, data: bytes) -> None:
    """Write a new file; an existing one is never replaced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{path} already exists; name another file") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
