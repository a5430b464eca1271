"""``eventlog export``: write a session as a provider's chat messages, or as JSON Lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.output import say, visible_json
from eventlog.exchange.cloudevents import cloud_events
from eventlog.exchange.exporting import FORMATS, Exported, Format, export
from eventlog.exchange.jsonlines import event_lines

if TYPE_CHECKING:
    from eventlog.session.chat.provider_messages import Loss

__all__ = ["export_"]

OF_EVENTS: Final = {"events": event_lines, "cloudevents": cloud_events}
"""Forms in which the events are written, a line each, not the messages."""

LISTED = 20
"""Losses that are printed for people; ``--json`` has all of them."""


@command("export")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.option(
    "--format",
    "format",
    type=click.Choice((*FORMATS, *OF_EVENTS)),
    default="chat",
    show_default=True,
    help="The format of the messages; events and cloudevents are the events themselves.",
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

    The formats events and cloudevents are the events, one per line, from the first on: as JSON Lines
    and as CloudEvents 1.0, which `eventlog import` brings back to the byte.
    """
    if format in OF_EVENTS:
        return _export_events(invocation, session_id, format, output)
    with invocation.open(session_id) as log:
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
        return None
    if output is None:
        # Hidden characters become JSON escapes: the same JSON, and safe on a terminal.
        click.echo(visible_json(text).encode(), nl=False)
    for loss in exported.losses[:LISTED]:
        say(f"not in {format}: {_line(loss)}")
    if len(exported.losses) > LISTED:
        say(f"… and {len(exported.losses) - LISTED:,} more; --json lists all")
    return None


def _export_events(
    invocation: Invocation, session_id: str, format: str, output: Path | None
) -> None:
    """Write the events of a session, a line each."""
    with invocation.open(session_id) as log:
        log.session(session_id, follow_folder=False)  # Or it is not there.
        events = list(OF_EVENTS[format](each.record for each in log.read(session_id)))
    text = "".join(
        json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n" for event in events
    )
    if output is not None:
        _write(output, text.encode())
    if invocation.json:
        document: dict[str, Any] = {"session_id": session_id, "format": format}
        found = {"events": events} if output is None else {"path": str(output)}
        invocation.answer({**document, **found}, lambda _: None)
    elif output is None:
        click.echo(visible_json(text).encode(), nl=False)


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
