"""Writing messages of any origin for a chat API of OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.session.chat.format import is_object
from eventlog.session.chat.pieces import Piece, origin_of, pieces_of, results_after
from eventlog.session.chat.provider_messages import ProviderMessages
from eventlog.session.chat.writing import chat_from_messages
from eventlog.session.messages import Message, as_message, message_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eventlog.session.messages import Part

__all__ = ["to_chat"]

_KNOWN = frozenset({"text", "image_url", "tool", "refusal", "chat_part"})
"""The types of parts that a chat message can carry, or was read with."""


def to_chat(messages: Iterable[Message], overview: str = "") -> ProviderMessages:
    """Return messages as chat messages, each call followed by its result; an overview goes first.

    A chat message that was imported comes back unchanged. Whatever the format has no place for
    (reasoning, references, parts of unknown types) is left out and listed in ``losses``.
    """
    written = ProviderMessages()
    if overview:
        written.append({"role": "system", "content": overview})
    written.extend(chat_from_messages(_joined(messages, written)))
    return written


def _joined(messages: Iterable[Message], written: ProviderMessages) -> list[Message]:
    """Return messages as chat messages can say them, each turn of the assistant in one.

    Other formats have an item, or a line, for each text and each call of a turn; here all calls have
    to be in one message, since their results must follow it.
    """
    joined: list[Message] = []
    for message in messages:
        is_item = message.role == "assistant" and origin_of(message) != "chat"
        for single in _plain(message, written):
            before = joined[-1] if joined else None
            if is_item and single.tools and before is not None and before.role == "assistant":
                parts = [data for each in (before, single) for data in message_data(each)["parts"]]
                joined[-1] = _rebuilt(before, "assistant", parts)
            else:
                joined.append(single)
    return joined


def _plain(message: Message, written: ProviderMessages) -> Iterator[Message]:
    """Yield a message as chat messages: one, or its results followed by the rest."""
    if origin_of(message) == "chat" and all(map(_is_known, message.parts)):
        yield message
        return
    pieces = list(pieces_of(message))
    written.lose_fields(message.id, message.model_extra)
    for result in (piece for piece in pieces if piece.kind == "result"):
        written.lose_media(message.id, result.fields["tool_id"], result.media)
        yield _rebuilt(message, "tool", [_without_notes(result)])
    rest = [piece for piece in pieces if piece.kind != "result"]
    parts = [part for piece in rest if (part := _part_or_loss(piece, message, written))]
    if parts or not pieces:
        role = "user" if message.role == "tool" else message.role
        yield _rebuilt(message, role, parts)
    for result in results_after(message):
        if not message.tools:  # Those of our own parts are written with their calls.
            yield _rebuilt(message, "tool", [_without_notes(result)])


def _is_known(part: Part) -> bool:
    return part.type in _KNOWN or _is_media_of_chat(part.model_extra or {}, part.type)


def _is_media_of_chat(fields: Mapping[str, Any], type_: str | None = None) -> bool:
    """Return whether a part is a recording or a file in the chat format: other formats name them so,
    and hold them otherwise."""
    name = type_ or fields["type"]
    return name in ("input_audio", "file") and is_object(fields.get(name))


def _rebuilt(message: Message, role: str, parts: list[dict[str, Any]]) -> Message:
    return as_message({"id": message.id, "role": role, "parts": parts})


def _part_or_loss(
    piece: Piece, message: Message, written: ProviderMessages
) -> dict[str, Any] | None:
    if piece.fields["type"] in ("refusal", "chat_part") or _is_media_of_chat(piece.fields):
        return piece.fields
    part = _part(piece)
    if part is None:
        written.lose(message.id, f"a part of type {piece.fields['type']!r}")
    elif piece.fields["type"] == "context":
        written.lose(message.id, f"the source of its text, {piece.fields.get('uri')!r}")
    return part


def _part(piece: Piece) -> dict[str, Any] | None:
    match piece.kind:
        case "text":
            return {"type": "text", "text": piece.text}
        case "image" if piece.fields["type"] == "image_url":
            return piece.fields
        case "image":
            return {"type": "image_url", "image_url": {"url": piece.text}}
        case "call" | "result":
            return _without_notes(piece)
        case _:
            return None


def _without_notes(piece: Piece) -> dict[str, Any]:
    return {name: value for name, value in piece.fields.items() if name not in _NOTES}


_NOTES = frozenset({"chat_block", "chat_output", "source"})
