"""``eventlog ls``: list the sessions of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.cli.command import Invocation, command

if TYPE_CHECKING:
    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["ls"]


@command("ls")
def ls(invocation: Invocation) -> None:
    """Lists closed and deleted sessions too: their records stay in the log."""
    with invocation.open() as log:
        documents = [_document(log, session_id) for session_id in log.sessions()]
    invocation.answer(documents, lambda terminal: _print(terminal, documents))


def _document(log: Log, session_id: str) -> dict[str, Any]:
    session = log.session(session_id, follow_folder=False)
    meta = session.meta._asdict()
    return {"session_id": session_id, "version": session.version, **meta}


def _print(terminal: Terminal, documents: list[dict[str, Any]]) -> None:
    if not documents:
        terminal.line("no sessions yet; `eventlog import` or `eventlog append --create` begin one")
        return
    terminal.table(
        ("session", "state", "version", "live", "total", "commits", "last message (UTC)"),
        [
            (
                document["session_id"],
                document["status"],
                document["version"],
                document["message_count"],
                document["total_message_count"],
                document["commit_count"],
                document["last_message_at"][:19].replace("T", " "),
            )
            for document in documents
        ],
    )
