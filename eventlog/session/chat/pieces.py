"""The parts of a message as kinds that all providers share: text, image, call, result, other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from eventlog.session.chat.blocks import tool_part
from eventlog.session.chat.format import Fields, compact, is_object
from eventlog.session.messages import ContextPart, ImagePart, Message, TextPart, ToolPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.session.messages import Part

__all__ = ["Piece", "arguments_of", "data_of", "origin_of", "pieces_of", "results_after"]


class Piece(NamedTuple):
    """One part: its kind, its text (or for an image its URL), and the part itself."""

    kind: Literal["text", "image", "call", "result", "thinking", "other"]
    text: str
    fields: Fields


def pieces_of(message: Message) -> Iterator[Piece]:
    """Yield the pieces of a message in order; for a call with its result, only the call."""
    for part in message.parts:
        yield _piece(part, message.role)


def results_after(message: Message) -> list[Piece]:
    """Return the results in the calls of a message, which providers want after the message."""
    if message.role == "tool":
        return []
    return [
        Piece("result", part.tool_output or "", part.model_dump(mode="json", exclude_unset=True))
        for part in message.tools
        if part.tool_output is not None and _is_call(part, message.role)
    ]


def _is_call(part: ToolPart, role: str) -> bool:
    block = (part.model_extra or {}).get("chat_block")
    if is_object(block):
        return block.get("type") != "tool_result"
    return role == "assistant"


def _piece(part: Part, role: str) -> Piece:
    fields = part.model_dump(mode="json", exclude_unset=True)
    if isinstance(part, TextPart):
        return Piece("text", part.text, fields)
    if isinstance(part, ContextPart):
        return Piece("text", part.abstract or part.uri, fields)
    if isinstance(part, ImagePart):
        return Piece("image", str(part.image_url.get("url", "")), fields)
    if isinstance(part, ToolPart):
        if _is_call(part, role):
            return Piece("call", part.tool_id, fields)
        return Piece("result", part.tool_output or "", fields)
    return _foreign(fields)


def _foreign(fields: Fields) -> Piece:
    """Return a part of another program as a piece, as far as its type is known."""
    tool = tool_part(fields)
    if tool is not None:
        is_call = tool["tool_status"] == "pending"
        return Piece("call" if is_call else "result", str(tool.get("tool_output", "")), tool)
    text = fields.get("text")
    match fields["type"]:
        case "input_text" | "output_text" if isinstance(text, str):
            return Piece("text", text, fields)
        case "refusal" if isinstance(fields.get("refusal"), str):
            return Piece("text", fields["refusal"], fields)
        case "input_image" if isinstance(fields.get("image_url"), str):
            return Piece("image", fields["image_url"], fields)
        case "image" if is_object(fields.get("source")):
            return Piece("image", _source_url(fields["source"]), fields)
        case "inlineData" | "inline_data" if is_object(fields.get(fields["type"])):
            data = fields[fields["type"]]
            media = data.get("mimeType") or data.get("mime_type") or ""
            if str(media).startswith("image/"):
                return Piece("image", f"data:{media};base64,{data.get('data', '')}", fields)
        case "file" if str(fields.get("mediaType", "")).startswith("image/"):
            return Piece("image", str(fields.get("url", "")), fields)
        case "thinking" | "redacted_thinking" | "reasoning":
            return Piece("thinking", str(fields.get("thinking", "")), fields)
        case _:
            pass
    return Piece("other", "", fields)


def _source_url(source: Fields) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return str(source.get("url", ""))


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
