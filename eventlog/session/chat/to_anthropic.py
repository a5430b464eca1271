"""Writing messages of any origin for Anthropic's messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.session.chat.format import is_object
from eventlog.session.chat.pieces import Piece, data_of, origin_of, pieces_of, results_after
from eventlog.session.chat.provider_messages import ProviderMessages
from eventlog.session.chat.writing import chat_from_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.session.chat.format import Fields
    from eventlog.session.messages import Message

__all__ = ["to_anthropic"]


def to_anthropic(messages: Iterable[Message], overview: str = "") -> ProviderMessages:
    """Return messages with content blocks; ``system`` has the overview and the system messages.

    Results are in a user's message right after their calls, those of one message together. An
    Anthropic message that was imported comes back unchanged. Whatever the format has no place for
    is left out and listed in ``losses``.
    """
    written = ProviderMessages()
    instructions = [overview] if overview else []
    for message in messages:
        if message.role == "system":
            if written:
                written.lose(message.id, "the place of the system message: it is in `system` now")
            instructions.append(message.text)
        else:
            _write(message, written)
    written.system = "\n\n".join(instructions)
    return written


def _write(message: Message, written: ProviderMessages) -> None:
    if origin_of(message) == "anthropic" and not results_after(message):
        written.append(chat_from_message(message))
        return
    written.lose_fields(message.id, message.model_extra)
    pieces = list(pieces_of(message))
    results = [piece for piece in pieces if piece.kind == "result"]
    for name in {str(piece.fields.get("tool_name") or "") for piece in results} - {""}:
        written.lose(message.id, f"the tool's name {name!r} beside its result; its call has it")
    if results:
        _add_results(results, message, written)
    content = [
        block
        for piece in pieces
        if piece.kind != "result" and (block := _block(piece, message, written))
    ]
    if content:
        role = "assistant" if message.role == "assistant" else "user"
        only = content[0] if len(content) == 1 else {}
        is_text = only.keys() == {"type", "text"}
        as_string = is_text and "chat_content" not in (message.model_extra or {})
        written.append({"role": role, "content": only["text"] if as_string else content})
    elif not results:
        written.lose(message.id, f"a message of role {message.role!r} without content")
    held = results_after(message)
    if held:
        _add_results(held, message, written)


def _add_results(results: Sequence[Piece], message: Message, written: ProviderMessages) -> None:
    for piece in results:
        written.lose_media(message.id, piece.fields["tool_id"], piece.media)
    blocks = [_result_block(piece) for piece in results]
    last = written[-1] if written else {}
    content = last.get("content")
    if last.get("role") == "user" and isinstance(content, list) and _are_results(content):  # pyright: ignore[reportUnknownArgumentType]
        content.extend(blocks)  # pyright: ignore[reportUnknownMemberType]
    else:
        written.append({"role": "user", "content": blocks})


def _are_results(content: list[Any]) -> bool:
    return all(is_object(block) and block.get("type") == "tool_result" for block in content)


def _result_block(piece: Piece) -> Fields:
    block: Fields = {
        "type": "tool_result",
        "tool_use_id": piece.fields["tool_id"],
        "content": piece.text,
    }
    return {**block, "is_error": True} if piece.fields.get("tool_status") == "error" else block


def _block(piece: Piece, message: Message, written: ProviderMessages) -> Fields | None:
    fields = piece.fields
    match piece.kind:
        case "text" if not piece.text:
            written.lose(message.id, "an empty text")
            return None
        case "text":
            if fields["type"] == "context":
                written.lose(message.id, f"the source of its text, {fields.get('uri')!r}")
            return {"type": "text", "text": piece.text}
        case "call":
            return _call_block(fields, message, written)
        case "image":
            data = data_of(piece.text)
            source: Fields = {"type": "url", "url": piece.text}
            if data is not None:
                source = {"type": "base64", "media_type": data[0], "data": data[1]}
            return {"type": "image", "source": source}
        case "thinking" if "signature" in fields or fields["type"] == "redacted_thinking":
            return {name: value for name, value in fields.items() if name != "source"}
        case _:
            written.lose(message.id, f"a part of type {fields['type']!r}")
            return None


def _call_block(fields: Fields, message: Message, written: ProviderMessages) -> Fields:
    given = fields.get("tool_input")
    if given is None and "chat_arguments" in fields:
        given = {"arguments": fields["chat_arguments"]}
        written.lose(message.id, "the arguments of its call, which are not a JSON object")
    elif "chat_arguments" in fields:
        written.lose(message.id, "how the arguments of its call were spelled as JSON")
    return {
        "type": "tool_use",
        "id": fields["tool_id"],
        "name": fields.get("tool_name", ""),
        "input": given or {},
    }
