"""``eventlog show``: one session, as a conversation or as its events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.documents import event_document, session_document
from eventlog.cli.gists import gist
from eventlog.clock import format_time

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.records import Recorded

__all__ = ["show"]

_META = (
    "status",
    "created_at",
    "updated_at",
    "total_message_count",
    "message_count",
    "commit_count",
    "pending_tokens",
    "owner",
    "project",
    "workspace",
    "provider",
    "model",
)
"""The metadata that people are shown, where it is set; JSON has all of it."""


@command("show")
@click.argument("session_id", metavar="SESSION")
@click.option("--events", "as_events", is_flag=True, help="List the events instead.")
@click.option("--history", is_flag=True, help="Show archived messages too, not only live ones.")
@click.option("--last", type=click.IntRange(min=0), metavar="N", help="Only the newest N.")
@click.option("--full", is_flag=True, help="Cut no long text.")
def show(
    invocation: Invocation,
    session_id: str,
    as_events: bool,
    history: bool,
    last: int | None,
    full: bool,
) -> None:
    """Live messages, metadata and archives; --json has every message of every archive.

    --last counts live messages, or events with --events.
    """
    if as_events:
        _show_events(invocation, session_id, last)
        return
    with invocation.open() as log:
        archived = history or invocation.json
        document = session_document(log, session_id, last=last, archived=archived)
    invocation.answer(
        document,
        lambda terminal: _print_session(terminal, document, history=history, full=full),
    )


# ---- events -----------------------------------------------------------------------------------


def _show_events(invocation: Invocation, session_id: str, last: int | None) -> None:
    with invocation.open() as log:
        after = 0
        version = log.session(session_id, follow_folder=False).version
        if last is not None:
            after = max(0, version - last)
        events = list(log.read(session_id, after=after, until=version))
    invocation.answer(
        [event_document(recorded) for recorded in events],
        lambda terminal: terminal.table(("version", "time (UTC)", "type", "what"), _rows(events)),
    )


def _rows(events: list[Recorded]) -> Iterator[tuple[object, ...]]:
    for recorded in events:
        time = format_time(recorded.time)[:23].replace("T", " ")
        yield recorded.version, time, recorded.type, gist(recorded)


# ---- the conversation -------------------------------------------------------------------------


def _print_session(
    terminal: Terminal, document: dict[str, Any], *, history: bool, full: bool
) -> None:
    meta = document["meta"]
    terminal.line(f"session {document['session_id']}, version {document['version']}", "bold")
    terminal.pairs(
        {name.replace("_", " "): meta[name] for name in _META if meta[name] not in (None, "")}
    )
    _print_archives(terminal, document["archives"])
    if document["overview"]:
        terminal.heading("overview")
        terminal.print(terminal.markdown(document["overview"]))
    if history:
        for archive in document["archives"]:
            _print_messages(terminal, archive["archive_id"], archive["messages"], full=full)
    _print_messages(terminal, "live messages", document["tail"], full=full)


def _print_archives(terminal: Terminal, archives: list[dict[str, Any]]) -> None:
    if not archives:
        return
    terminal.heading("archives")
    terminal.table(
        ("archive", "state", "attempts", "messages", "tokens", "abstract"),
        [
            (
                archive["archive_id"],
                archive["state"],
                archive["attempts"],
                archive["message_count"],
                archive["tokens"],
                archive["error"] or archive["abstract"],
            )
            for archive in archives
        ],
    )


def _print_messages(
    terminal: Terminal, title: str, messages: list[dict[str, Any]], *, full: bool
) -> None:
    from eventlog.cli.conversation import conversation

    terminal.heading(title)
    if not messages:
        terminal.line("none")
    for renderable in conversation(messages, full=full):
        terminal.print(renderable)
