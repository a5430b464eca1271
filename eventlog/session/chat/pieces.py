"""The parts of a message as kinds that all providers share: text, image, call, result, other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from eventlog.session.chat.format import Fields, compact, is_object
from eventlog.session.messages import Message, ToolPart, message_data
from eventlog.session.parts import THINKING, media_url, read_part, readings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.session.messages import Part
    from eventlog.session.parts import Call, Reading, Result

__all__ = ["Piece", "arguments_of", "data_of", "origin_of", "pieces_of", "results_after"]


class Piece(NamedTuple):
    """One part: its kind, its text (or for an image its URL), and the part itself."""

    kind: Literal["text", "image", "call", "result", "thinking", "other"]
    text: str
    fields: Fields
    media: int = 0
    """The images and recordings in an output, beside its text."""


def pieces_of(message: Message) -> Iterator[Piece]:
    """Yield the pieces of a message in order; for a call with its result, only the call.

    Behind its parts come the fields of the message that reach a model, such as a call without id.
    """
    for part in message.parts:
        yield _piece(part, message.role)
    for found in readings_of(message_data(message))[len(message.parts) :]:
        if found.call is not None or found.said:
            yield _foreign({"type": "field"}, found)


def results_after(message: Message) -> list[Piece]:
    """Return the results in the calls of a message, which providers want after the message."""
    if message.role == "tool":
        return []
    held: list[Piece] = []
    for part in message.parts:
        fields = part.model_dump(mode="json", exclude_unset=True)
        if isinstance(part, ToolPart):
            if part.tool_output is not None and _is_call(part, message.role):
                held.append(Piece("result", part.tool_output, fields, len(read_part(fields).media)))
            continue
        found = read_part(fields)
        if found.call is not None and found.result is not None:
            held.append(_result(found.result, len(found.media)))
    return held


def _is_call(part: ToolPart, role: str) -> bool:
    block = (part.model_extra or {}).get("chat_block")
    if is_object(block):
        return block.get("type") != "tool_result"
    return role == "assistant"


def _piece(part: Part, role: str) -> Piece:
    fields = part.model_dump(mode="json", exclude_unset=True)
    found = read_part(fields)
    if not isinstance(part, ToolPart):
        return _foreign(fields, found)
    fields.setdefault("tool_id", "")
    if not part.tool_id:  # A provider without ids pairs by name.
        fields["tool_id"] = part.tool_name
    if _is_call(part, role):
        return Piece("call", part.tool_id, fields)
    return Piece("result", part.tool_output or "", fields, len(found.media))


def _foreign(fields: Fields, found: Reading) -> Piece:
    """Return what a part of any shape but ours is, as it was read."""
    if found.call is not None:
        return Piece("call", found.call.id, _call_fields(found.call))
    if found.result is not None:
        return _result(found.result, len(found.media))
    if found.context is not None:
        return Piece("text", found.beside or found.context.uri, fields)
    if found.media:
        url = media_url(fields) if found.media[0].kind == "image" else None
        return Piece("other", "", fields) if url is None else Piece("image", url, fields)
    if found.label == THINKING:
        return Piece("thinking", found.beside, fields)
    if found.is_unknown or found.label:
        return Piece("other", "", fields)
    return Piece("text", found.said, fields)


def _call_fields(call: Call) -> Fields:
    fields: Fields = {"type": "tool", "tool_id": call.id, "tool_name": call.name}
    fields["tool_status"] = "pending"
    if is_object(call.input):
        fields["tool_input"] = call.input
    elif call.input is not None:
        fields["chat_arguments"] = call.arguments
    return fields


def _result(result: Result, media: int) -> Piece:
    fields: Fields = {"type": "tool", "tool_id": result.id, "tool_name": result.name}
    fields |= {"tool_status": result.status, "tool_output": result.output or ""}
    return Piece("result", result.output or "", fields, media)


def arguments_of(call: Fields) -> str:
    """Return the arguments of a call as JSON text, in their original form if it is known."""
    given = call.get("chat_arguments")
    return given if isinstance(given, str) else compact(call.get("tool_input") or {})


def data_of(url: str) -> tuple[str, str] | None:
    """Return the media type and the base64 data of a ``data:`` URL; None for any other."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return head.removeprefix("data:").removesuffix(";base64"), data


def origin_of(message: Message) -> str:
    """Return where a message came from: ``anthropic``, ``responses``, ``chat``, or another name."""
    extra: dict[str, Any] = message.model_extra or {}
    source = extra.get("chat_source")
    if is_object(source):
        return str(source.get("format"))
    if "chat_item" in extra or extra.get("type") == "message":
        return "responses"
    for part in message.parts:
        fields = part.model_extra or {}
        if "chat_block" in fields or part.type in _ANTHROPIC:
            return "anthropic"
        if "chat_type" in fields or part.type in _RESPONSES:
            return "responses"
    return "chat"


_ANTHROPIC = ("tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document")
_RESPONSES = (
    "input_text",
    "output_text",
    "input_image",
    "input_file",
    "function_call",
    "reasoning",
)
