"""Where the messages of an imported session stood: the file, and the line in it.

An import records with the session which lines its messages stood on (`ConversationImported`). Since a
session takes only what continues it, the n-th message of the file is the n-th of the session. What was
left out of a line, or replaced in it, is with the findings of the same event, the line as it was;
and what was dropped is in the quarantine file beside the one that was imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.recorded import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.records import Record
    from eventlog.session.events import MessageAppended
    from eventlog.session.import_events import ConversationImported

__all__ = ["Origin", "origins"]


class Origin(NamedTuple):
    """The file from which a message was imported, as it was named then, and its 1-based line."""

    source: str
    line: int


def origins(records: Iterable[Record]) -> dict[str, Origin]:
    """Return the origin of each message, by its id, as far as an import recorded one.

    ``records`` are all those of a session (``log.store.read(session_id)``); of several imports
    the newest counts.
    """
    names: list[str] = []
    found: dict[str, Origin] = {}
    for record in records:
        if record.type == "message_appended":
            names.append(cast("MessageAppended", Recorded(record).event).message["id"])
        elif record.type == "conversation_imported":
            event = cast("ConversationImported", Recorded(record).event)
            lines = list(_lines(event))
            if len(lines) == event.messages:
                places = (Origin(event.source, line) for line in lines)
                found.update(zip(names, places, strict=False))
    return found


def _lines(event: ConversationImported) -> Iterator[int]:
    for first, count in event.lines:
        yield from range(first, first + count)
