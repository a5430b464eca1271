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

_BEGINNING: Final = (
    rb'\{"message":\{"id":"[!#-\[\]-~]{1,255}",'
    rb'"role":"(?:system|developer|user|assistant|tool)",'
    rb'"parts":\[\{"type":"text","text":"'
)
_END: Final = rb'"\}\],"created_at":"[!#-\[\]-~]*"\}'

_begins: Final = re.compile(_BEGINNING).match
_ends: Final = re.compile(_END).match
_is_plain: Final = re.compile(rb'%b[^"\\]*(?:\\.[^"\\]*)*%b' % (_BEGINNING, _END)).match
"""How the data of a message of one text begins; the replay has read it as JSON."""

_BACKSLASH: Final = ord("\\")


def problem_of_message(record: Record) -> Finding | None:
    """Return what is wrong with a recorded message that can be folded, but not given back."""
    data = record.data
    beginning = _begins(data)
    if beginning is not None:
        # The text of most messages has no quotation mark: then the first one ends it.
        end = data.find(b'"', beginning.end())
        if data[end - 1] != _BACKSLASH and _ends(data, end) is not None:
            return None
        if _is_plain(data) is not None:
            return None
    try:
        event = decode_event(record)
        if isinstance(event, MessageAppended):
            message_of(event.message, record.version)
    except CorruptError as error:
        return Finding(record.stream, record.version, "unreadable", str(error))
    return None
