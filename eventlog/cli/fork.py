"""``eventlog fork``: a session as it would have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.output import counted
from eventlog.cli.places import place_of, version_option
from eventlog.errors import InvalidArgument
from eventlog.session.messages import Message

if TYPE_CHECKING:
    from eventlog.recorded import Recorded

__all__ = ["fork"]


@command("fork")
@click.argument("place", metavar="SESSION[@VERSION]", shell_complete=session_ids)
@click.argument("into", metavar="NEW")
@version_option
@click.option("--drop", type=int, multiple=True, metavar="V", help="Leave the event at V out.")
@click.option(
    "--edit",
    "edits",
    type=(int, click.Path(path_type=Path, dir_okay=False)),
    multiple=True,
    metavar="V FILE",
    help="Put the message in a JSON file in the place of the event at V.",
)
@click.option(
    "--insert",
    "inserts",
    type=(int, click.Path(path_type=Path, dir_okay=False)),
    multiple=True,
    metavar="V FILE",
    help="Put the message in a JSON file behind the event at V.",
)
@click.option("--actor", metavar="NAME", help="Who forks, for the record.")
def fork(
    invocation: Invocation,
    place: str,
    into: str,
    version: int | None,
    drop: tuple[int, ...],
    edits: tuple[tuple[int, Path], ...],
    inserts: tuple[tuple[int, Path], ...],
    actor: str | None,
) -> None:
    """Makes the session NEW of the events up to VERSION, changed on the way; SESSION stays as it is.

    A message is an object with role and content, or as `show --json` prints it; without an id it
    keeps that of the message whose place it takes.
    """
    session_id, version = place_of(place, version)
    replaced = {at: _read(path) for at, path in edits}
    put_in: dict[int, list[dict[str, Any]]] = {}
    for at, path in inserts:
        put_in.setdefault(at, []).append(_read(path))

    def edit(recorded: Recorded) -> list[Any]:
        at = recorded.version
        kept: list[Any] = [] if at in drop else [recorded]
        if at in replaced:
            kept = [_message(replaced[at], recorded)]
        return kept + [_message(each, None) for each in put_in.get(at, [])]

    with invocation.open(session_id, into) as log:
        session = log.session(session_id, follow_folder=False)
        forked = session.fork(into, version=version, edit=edit, actor=actor)
        document: dict[str, Any] = {
            "session_id": into,
            "version": forked.version,
            "origin": session_id,
            "origin_version": session.version if version is None else version,
        }
    invocation.answer(
        document,
        lambda terminal: terminal.line(
            f"{into} has {counted(document['version'], 'event')}, made of {session_id} up to version "
            f"{document['origin_version']}"
        ),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InvalidArgument(f"{path} is not JSON ({error}); write one message") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"{path} is not a JSON object; write one message")
    return cast("dict[str, Any]", value)


def _message(fields: dict[str, Any], place: Recorded | None) -> Message:
    """Return a message; in the place of another one it has that one's id and time."""
    given = dict(fields)
    if place is not None and place.type == "message_appended":
        stored: Any = place.event
        for name in ("id", "created_at"):
            given.setdefault(name, stored.message[name])
    return Message.model_validate(given) if "parts" in given else Message.from_chat(given)
