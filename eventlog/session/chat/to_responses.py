"""Writing messages of any origin as input items of the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.session.chat.pieces import (
    Piece,
    arguments_of,
    origin_of,
    pieces_of,
    results_after,
)
from eventlog.session.chat.provider_messages import ProviderMessages
from eventlog.session.chat.writing import chat_from_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.session.chat.format import Fields
    from eventlog.session.messages import Message

__all__ = ["to_responses"]


def to_responses(messages: Iterable[Message], overview: str = "") -> ProviderMessages:
    """Return messages as items: texts in messages, each call and each output as a separate item.

    An item that was imported comes back unchanged. Whatever the format has no place for is left out
    and listed in ``losses``.
    """
    written = ProviderMessages()
    if overview:
        written.append({"role": "system", "content": overview})
    for message in messages:
        if origin_of(message) == "responses" and _is_one_item(message):
            written.append(chat_from_message(message))
        else:
            _write(message, written)
    return written


def _is_one_item(message: Message) -> bool:
    """Return whether a message is an item as it is: no call or result stands beside a text."""
    if "chat_item" in (message.model_extra or {}):
        return not results_after(message)
    return all(piece.kind not in ("call", "result") for piece in pieces_of(message))


def _write(message: Message, written: ProviderMessages) -> None:
    written.lose_fields(message.id, message.model_extra)
    said: list[Fields] = []
    before = len(written)
    for piece in pieces_of(message):
        if piece.kind == "call":
            _flush(message, said, written)
            written.append(_call(piece.fields))
        elif piece.kind == "result":
            _flush(message, said, written)
            written.append(_output(piece))
            written.lose_media(message.id, piece.fields["tool_id"], piece.media)
            if piece.fields.get("tool_name"):
                name = piece.fields["tool_name"]
                written.lose(
                    message.id, f"the tool's name {name!r} beside its result; its call has it"
                )
        else:
            said.extend(_content(piece, message, written))
    _flush(message, said, written)
    if len(written) == before:
        written.lose(message.id, f"a message of role {message.role!r} without content")
    elif len(written) > before + 1:
        written.lose(message.id, f"that its {len(written) - before} items are one message")
    for piece in results_after(message):
        written.append(_output(piece))
        written.lose_media(message.id, piece.fields["tool_id"], piece.media)


def _flush(message: Message, said: list[Fields], written: ProviderMessages) -> None:
    """Write the texts so far as a message, if any: calls are items beside messages, not in them."""
    if not said:
        return
    extra = message.model_extra or {}
    role: str = "user" if message.role == "tool" else message.role
    role = "developer" if extra.get("chat_role") == "developer" else role
    only = said[0] if len(said) == 1 else {}
    is_text = only.keys() == {"type", "text"} and "chat_content" not in extra
    written.append({"role": role, "content": only["text"] if is_text else list(said)})
    said.clear()


def _content(piece: Piece, message: Message, written: ProviderMessages) -> list[Fields]:
    fields = piece.fields
    match piece.kind:
        case "text":
            if fields["type"] == "context":
                written.lose(message.id, f"the source of its text, {fields.get('uri')!r}")
            type_ = "output_text" if message.role == "assistant" else "input_text"
            return [{"type": type_, "text": piece.text}]
        case "image":
            return [{"type": "input_image", "image_url": piece.text}]
        case _:
            if fields["type"] == "input_audio":
                return [fields]
            written.lose(message.id, f"a part of type {fields['type']!r}")
            return []


def _call(fields: Fields) -> Fields:
    return {
        "type": "function_call",
        "call_id": fields["tool_id"],
        "name": fields.get("tool_name", ""),
        "arguments": arguments_of(fields),
    }


def _output(piece: Piece) -> Fields:
    return {
        "type": "function_call_output",
        "call_id": piece.fields["tool_id"],
        "output": piece.text,
    }
