"""Chat messages to `Message`; errors name the place of what is wrong."""

from __future__ import annotations

from typing import Any

from eventlog.errors import InvalidMessage
from eventlog.session.chat.reading import message_fields
from eventlog.session.messages import Message, as_message

__all__ = ["located", "message_from_chat"]


def message_from_chat(
    data: dict[str, Any], *, line: int | None = None, index: int | None = None
) -> Message:
    """Return a chat message as a `Message`; `chat_from_message` gives it back unchanged.

    Its own id is kept if it is text of 1 to 512 characters, and its own time (``created_at`` or
    ``timestamp``: ISO 8601 with a zone, or Unix time) if it has one; else both are drawn. Raises
    `InvalidMessage`, which names the field and repeats ``line`` and ``index``.
    """
    try:
        return as_message(message_fields(data))
    except InvalidMessage as error:
        raise located(error, line, index) from error


def located(error: InvalidMessage, line: int | None, index: int | None) -> InvalidMessage:
    """Return the same error with the line of a file and the place in a batch."""
    return InvalidMessage(error.reason, field=error.field, line=line, index=index)
