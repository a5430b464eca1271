"""Writing messages as the chat messages that they were read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.session.chat.blocks import BLOCK, block_of
from eventlog.session.chat.format import (
    LIST,
    MISSING,
    ROLES,
    TEXT_TYPE,
    Fields,
    compact,
    is_object,
    usual_call,
)
from eventlog.session.chat.items import ITEM
from eventlog.session.messages import Message, OtherPart, Part, TextPart, ToolPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["chat_from_message", "chat_from_messages"]


def chat_from_message(message: Message) -> dict[str, Any]:
    """Return a message as one chat message; an imported one comes back exactly as it was.

    For a message that was built here the result has the role, the parts and the extra fields; the
    format has no place for its id, its time, and the status and cost of a tool. In this format
    results are separate messages: `chat_from_messages` adds those that are in the message's calls.
    """
    extra = dict(message.model_extra or {})
    item = _item(message)
    if item is not None:
        return item
    role, form = extra.pop("chat_role", None), extra.pop("chat_content", None)
    no_calls = extra.pop("chat_tool_calls", MISSING)
    taken = extra.pop("chat_fields", None)
    extra.pop("chat_source", None)
    is_kept = isinstance(role, str) and (
        ROLES.get(role) == message.role or (role == "user" and message.role == "tool")
    )
    chat: Fields = {"role": role if is_kept else message.role}
    content, fields = _chat_parts(message, form)
    if form != MISSING:
        chat["content"] = content
    chat |= fields
    if no_calls != MISSING:
        chat.setdefault("tool_calls", no_calls)
    others = {name: value for name, value in extra.items() if name not in chat}
    return {**chat, **others, **(taken if is_object(taken) else {})}


def chat_from_messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Return a conversation as chat messages, each call followed by its result, as the API wants.

    A result in a call part, and each of several results in one message, becomes a separate message;
    a result that follows as a message is not repeated.
    """
    conversation = [single for message in messages for single in _single_results(message)]
    for place, message in enumerate(conversation):
        yield chat_from_message(message)
        if message.role == "assistant":
            answered = _answered_after(conversation, place)
            for part in message.tools:
                held = part.tool_output is not None and not _is_block(part)
                if held and part.tool_id not in answered:
                    yield {"role": "tool", **_chat_result(part)}


def _single_results(message: Message) -> list[Message]:
    tools = message.tools
    if message.role != "tool" or len(tools) < max(2, len(message.parts)) or _is_block(tools[0]):
        return [message]
    return [message.model_copy(update={"parts": (part,)}) for part in message.parts]


def _answered_after(conversation: list[Message], place: int) -> set[str]:
    answered: set[str] = set()
    for message in conversation[place + 1 :]:
        if message.role != "tool":
            break
        answered.update(part.tool_id for part in message.tools)
    return answered


def _chat_parts(message: Message, form: Any) -> tuple[Any, Fields]:
    """Return the content of a chat message, and the further fields that its parts represent."""
    if message.role == "tool" and len(message.parts) == 1:
        part = message.parts[0]
        if isinstance(part, ToolPart) and not _is_block(part):
            result = _chat_result(part)
            return result.pop("content"), result
    if message.role != "assistant":
        return _chat_content(message.parts, form), {}
    calls = [_chat_call(part) for part in message.tools if not _is_block(part)]
    content = tuple(
        part for part in message.parts if not isinstance(part, ToolPart) or _is_block(part)
    )
    return _chat_content(content, form), {"tool_calls": calls} if calls else {}


def _chat_content(parts: tuple[Part, ...], form: Any) -> Any:
    if form != LIST:
        if not parts:
            return None
        first = parts[0]
        if len(parts) == 1 and isinstance(first, TextPart) and not first.model_extra:
            return first.text
    return [_chat_part(part) for part in parts]


def _chat_part(part: Part) -> Fields:
    if isinstance(part, OtherPart) and part.type == "chat_part":
        kept = (part.model_extra or {}).get("chat_part")
        if is_object(kept):
            return kept
    fields = part.model_dump(mode="json", exclude_unset=True)
    if isinstance(part, TextPart) and TEXT_TYPE in fields:
        fields["type"] = fields.pop(TEXT_TYPE)
    return block_of(fields) or fields


def _is_block(part: ToolPart) -> bool:
    return BLOCK in (part.model_extra or {})


def _item(message: Message) -> Fields | None:
    """Return the item of the Responses API that a message was read from."""
    rest = (message.model_extra or {}).get(ITEM)
    if not is_object(rest) or len(message.parts) != 1:
        return None
    part = message.parts[0]
    if not isinstance(part, ToolPart):
        return part.model_dump(mode="json", exclude_unset=True)
    item = {**rest, "call_id": part.tool_id}
    if message.role == "tool":
        return {**item, "output": (part.model_extra or {}).get("chat_output", part.tool_output)}
    return item


def _chat_result(part: ToolPart) -> Fields:
    extra = part.model_extra or {}
    chat: Fields = {}
    if part.tool_id:
        chat["tool_call_id"] = part.tool_id
    if part.tool_name:
        chat["name"] = part.tool_name
    return {**chat, "content": extra.get("chat_output", part.tool_output)}


def _chat_call(part: ToolPart) -> Fields:
    extra = part.model_extra or {}
    outline = extra.get("chat_call")
    is_kept = is_object(outline)
    call: Fields = {**outline} if is_object(outline) else usual_call(part.model_dump())
    if not is_object(call.get("function")):
        return call
    if "chat_arguments" in extra:
        call["function"] = {**call["function"], "arguments": extra["chat_arguments"]}
    elif part.tool_input is not None or not is_kept:
        call["function"] = {**call["function"], "arguments": compact(part.tool_input or {})}
    return call
