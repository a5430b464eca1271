"""The commands ``/save``, ``/session`` and ``/resume`` of a program that chats at a terminal (R8)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventlog.argument_checks import checked_path
from eventlog.errors import EventLogError, InvalidArgument
from eventlog.exchange.bundle.saved import latest_saved
from eventlog.identifiers import key_part

if TYPE_CHECKING:
    from os import PathLike

    from eventlog.log import Log
    from eventlog.session_face import Session

__all__ = ["ChatCommands", "ChatReply"]

HELP = "/save [NAME], /session, /resume [NAME]"


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a command answers, and the session that the chat goes on with."""

    text: str
    session: Session


class ChatCommands:
    """Handles the lines of a chat that are commands; ``folder`` has the saved sessions.

    ``/save`` writes the session to a file of the folder, by default named after the session.
    ``/session`` says which session it is. ``/resume`` brings a saved session back, by default the
    newest of the session's workspace, and the chat goes on with it.
    """

    def __init__(self, log: Log, folder: str | PathLike[str]) -> None:
        self._log = log
        self._folder = checked_path("the folder", folder)

    def handle(self, line: str, session: Session) -> ChatReply | None:
        """Carry out a line that is one of the commands; None for any other line.

        What goes wrong is said in the reply, and the chat goes on with the same session.
        """
        name, _, given = line.strip().partition(" ")
        if name not in ("/save", "/session", "/resume"):
            return None
        try:
            if name == "/save":
                return self._save(given.strip(), session)
            if name == "/resume":
                return self._resume(given.strip(), session)
            return ChatReply(_described(session), session)
        except (EventLogError, OSError) as error:
            return ChatReply(f"{name}: {error}", session)

    def _save(self, name: str, session: Session) -> ChatReply:
        path = self._path(name or key_part(session.id).replace("\\", "_"))
        self._log.save(session.id, path)
        return ChatReply(f"saved version {session.version} to {path}", session)

    def _resume(self, name: str, session: Session) -> ChatReply:
        found = self._path(name) if name else latest_saved(self._folder, session.meta.workspace)
        if found is None:
            raise InvalidArgument(f"nothing is saved in {self._folder}; /save writes there")
        resumed = self._log.resume(found)
        return ChatReply(f"resumed {_described(resumed)}", resumed)

    def _path(self, name: str) -> str:
        """Return the path of a saved session by its name, which cannot lead out of the folder."""
        if os.path.basename(name) != name or name in ("", ".", ".."):  # noqa: PTH119 - no file yet
            raise InvalidArgument(f"{name!r} is not the name of a file; leave out the folder")
        ended = name if name.endswith(".zip") else f"{name}.zip"
        return os.path.join(self._folder, ended)  # noqa: PTH118 - as it was given


def _described(session: Session) -> str:
    meta = session.refresh()
    return (
        f"session {session.id}, version {session.version}: {meta.total_message_count} messages, "
        f"{meta.commit_count} archives, {meta.status}"
    )
