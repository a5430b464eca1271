"""Whether the messages of a session can be given back: the replay looks at less of them (A1).

Nearly all are one text in the very form in which this library writes it; that is seen from the bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from eventlog.codec import decode_event
from eventlog.errors import CorruptError
from eventlog.finding import Finding
from eventlog.session.events import MessageAppended
from eventlog.session.reading import message_of

if TYPE_CHECKING:
    from eventlog.records import Record

__all__ = ["problem_of_message"]

_PLAIN: Final = re.compile(
    rb'\{"message":\{"id":"[!#-\[\]-~]{1,255}",'
    rb'"role":"(?:system|developer|user|assistant|tool)",'
    rb'"parts":\[\{"type":"text","text":"[^"\\]*(?:\\.[^"\\]*)*"\}\],"created_at":"[!#-\[\]-~]*"\}'
)
"""How the data of a message of one text begins; the replay has read it as JSON."""


def problem_of_message(record: Record) -> Finding | None:
    """Return what is wrong with a recorded message that can be folded, but not given back."""
    if _PLAIN.match(record.data) is not None:
        return None
    try:
        event = decode_event(record)
        if isinstance(event, MessageAppended):
            message_of(event.message, record.version)
    except CorruptError as error:
        return Finding(record.stream, record.version, "unreadable", str(error))
    return None
