"""Recognise chat messages and Responses API items in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.session.chat.format import Fields
from eventlog.session.chat.items import is_item
from eventlog.session.chat.reading import message_fields

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Convert

__all__ = ["convert", "recognises"]


def recognises(record: Fields) -> bool:
    """Return whether a record has a role, or is an item of the Responses API."""
    return ("role" in record and not isinstance(record.get("messages"), list)) or is_item(record)


def convert() -> Convert:
    """Return the reader of chat messages; it keeps no state."""
    return message_fields
