"""Write a session as a file in another program's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from eventlog.session.chat.provider_messages import Loss
from eventlog.session.chat.to_anthropic import to_anthropic
from eventlog.session.chat.to_chat import to_chat
from eventlog.session.chat.to_responses import to_responses
from eventlog.session.messages import message_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.session.messages import Message

__all__ = ["FORMATS", "Exported", "Format", "export"]

Format = Literal["chat", "anthropic", "responses", "jsonl"]

FORMATS: Final[tuple[Format, ...]] = ("chat", "anthropic", "responses", "jsonl")


class Exported(NamedTuple):
    """The JSON values to write, one per line, and what the format could not carry."""

    values: list[dict[str, Any]]
    losses: tuple[Loss, ...]


def export(session_id: str, messages: Sequence[Message], format: Format) -> Exported:
    """Return messages in a format: a value per message in ``jsonl``, otherwise one conversation.

    ``jsonl`` is this library's own format and loses nothing. The others give one object with the
    session's ``id`` and its ``messages``, which `read_conversations` can read.
    """
    if format == "jsonl":
        return Exported([dict(message_data(message)) for message in messages], ())
    write = {"chat": to_chat, "anthropic": to_anthropic, "responses": to_responses}[format]
    written = write(messages)
    document: dict[str, Any] = {"id": session_id}
    if written.system:
        document["system"] = written.system
    return Exported([{**document, "messages": list(written)}], tuple(written.losses))
