"""Sessions and events as JSON documents, for ``show --json`` and for the demo's comparison."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from eventlog.clock import format_time
from eventlog.engine.queries import archived_messages, find_archive
from eventlog.forensics.moment import Moment, core_of
from eventlog.log import Log, engine_of
from eventlog.recorded import Recorded
from eventlog.session.messages import Message, message_data
from eventlog.session.views import turn_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.engine.core import Core
    from eventlog.forensics.diff import Change
    from eventlog.session.context import Context
    from eventlog.session.tasks.events import ArchiveFinalized
    from eventlog.session.views import ArchiveView
    from eventlog.session_face import Session

__all__ = [
    "change_document",
    "context_document",
    "event_document",
    "moment_document",
    "session_document",
]


def session_document(
    log: Log, session_id: str, *, last: int | None = None, archived: bool = True
) -> dict[str, Any]:
    """Return a session: its metadata, live messages, archives and latest overview.

    Messages are as stored, with the tool results known now. Every archive has its messages, and a
    completed one its overview. ``last`` limits the live messages to the newest; ``archived=False``
    leaves out the messages of archives.
    """
    session = log.session(session_id, follow_folder=False)
    return _seen(session, engine_of(log).core(session_id), last=last, archived=archived)


def moment_document(moment: Moment, *, archived: bool = True) -> dict[str, Any]:
    """Return what `session_document` returns of a session as it was, and where in its history."""
    event = moment.event
    return {
        **_seen(moment, core_of(moment), last=None, archived=archived),
        "was_live": moment.was_live,
        "time": moment.time,
        "event": None if event is None else event_document(event),
        "tasks": [task._asdict() for task in moment.tasks()],
        "given": [
            {**given._asdict(), "messages": _messages(given.messages)} for given in moment.given
        ],
    }


def change_document(change: Change) -> dict[str, Any]:
    """Return a change with its values in full."""
    return {
        "path": change.path,
        "before": change.before,
        "after": change.after,
        "version": change.version,
        "event": change.event.type,
        "time": change.event.time,
    }


def _seen(
    session: Session | Moment, core: Core, *, last: int | None, archived: bool
) -> dict[str, Any]:
    tail = session.tail(last)
    archives = [_archive_document(core, view, archived=archived) for view in session.archives()]
    context = session.context()
    return {
        "session_id": session.id,
        "version": session.version,
        "meta": session.meta._asdict(),
        "turn": _open_turn(core),
        "overview": context.latest_archive_overview,
        "tail": _messages(tail),
        "archives": archives,
        "context": {
            "messages": [message.id for message in context.messages],
            "estimated_tokens": context.estimated_tokens,
            **context.stats._asdict(),
        },
    }


def _open_turn(core: Core) -> dict[str, Any] | None:
    turn = core.state.turn
    return None if turn is None else turn_view(turn)._asdict()


def _archive_document(core: Core, view: ArchiveView, *, archived: bool) -> dict[str, Any]:
    archive = find_archive(core, view.archive_id)
    document: dict[str, Any] = {**view._asdict(), "abstract": None, "overview": None}
    recorded = None if archive.finalized is None else core.reader.record(archive.finalized)
    if recorded is not None:
        event = cast("ArchiveFinalized", recorded.event)
        document["abstract"] = event.abstract
        document["overview"] = event.overview
        document["covers"] = list(event.covers)
    if archived:
        document["messages"] = _messages(archived_messages(core, archive))
    return document


def _messages(messages: Iterable[Message]) -> list[Any]:
    return [message_data(message) for message in messages]


def context_document(context: Context) -> dict[str, Any]:
    """Return a context with its messages in full."""
    return {
        **context._asdict(),
        "messages": _messages(context.messages),
        "stats": context.stats._asdict(),
    }


def event_document(recorded: Recorded) -> dict[str, Any]:
    """Return a record with its data as stored, also one of an unknown type."""
    record = recorded.record
    return {
        "version": record.version,
        "time": format_time(record.time),
        "type": record.type,
        "schema": record.schema,
        "event_id": recorded.event_id,
        "position": record.position,
        "data": json.loads(record.data),
        "metadata": json.loads(record.metadata),
        "hash": record.hash.hex(),
    }
