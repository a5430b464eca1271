"""Writing messages of any origin for a chat API of OpenAI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.session.chat.pieces import Piece, origin_of, pieces_of
from eventlog.session.chat.provider_messages import ProviderMessages
from eventlog.session.chat.writing import chat_from_messages
from eventlog.session.messages import Message, as_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["to_chat"]

_KNOWN = frozenset({"text", "image_url", "tool", "input_audio", "file", "refusal", "chat_part"})
"""The types of parts that a chat message can carry, or was read with."""


def to_chat(messages: Iterable[Message], overview: str = "") -> ProviderMessages:
    """Return messages as chat messages, each call followed by its result; an overview goes first.

    A chat message that was imported comes back unchanged. Whatever the format has no place for
    (reasoning, references, parts of unknown types) is left out and listed in ``losses``.
    """
    written = ProviderMessages()
    if overview:
        written.append({"role": "system", "content": overview})
    plain = [single for message in messages for single in _plain(message, written)]
    written.extend(chat_from_messages(plain))
    return written


def _plain(message: Message, written: ProviderMessages) -> Iterator[Message]:
    """Yield a message as chat messages: one, or its results followed by the rest."""
    if origin_of(message) == "chat" and all(part.type in _KNOWN for part in message.parts):
        yield message
        return
    pieces = list(pieces_of(message))
    written.lose_fields(message.id, message.model_extra)
    for result in (piece for piece in pieces if piece.kind == "result"):
        yield _rebuilt(message, "tool", [_without_notes(result)])
    rest = [piece for piece in pieces if piece.kind != "result"]
    parts = [part for piece in rest if (part := _part_or_loss(piece, message, written))]
    if parts or not pieces:
        role = "user" if message.role == "tool" else message.role
        yield _rebuilt(message, role, parts)


def _rebuilt(message: Message, role: str, parts: list[dict[str, Any]]) -> Message:
    return as_message({"id": message.id, "role": role, "parts": parts})


def _part_or_loss(
    piece: Piece, message: Message, written: ProviderMessages
) -> dict[str, Any] | None:
    if piece.fields["type"] in ("input_audio", "file", "refusal"):
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
