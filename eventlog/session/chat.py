"""Chat messages in the OpenAI format to messages, and back (A7).

The law: ``chat_from_message(message_from_chat(x)) == x`` for every valid chat message ``x``. Its
text, calls and results become parts that the rest of the library understands; all other fields
stay extra fields of the message under their own names. What neither can hold is kept in extra
fields of one prefix, only where it is needed:

==================== ========= =================================================================
field                on        holds
==================== ========= =================================================================
``chat_role``        message   ``developer`` (here ``system``) or ``function`` (here ``tool``)
``chat_content``     message   ``missing``, or ``list`` where the parts alone would give a string
``chat_tool_calls``  message   ``null`` or ``[]``, where the calls are given but are none
``chat_fields``      message   fields whose names are taken here: ``id``, ``created_at``, …
``chat_output``      tool part a tool's content that is not a string, verbatim
``chat_arguments``   tool part arguments that compact JSON of ``tool_input`` would not give back
``chat_call``        tool part a call that is more or less than id, type, name and arguments;
                               its arguments are left out of it
``chat_part``        part      a content part that no part here can hold, verbatim
==================== ========= =================================================================
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, NoReturn, TypeAlias

from typing_extensions import TypeIs

from eventlog.clock import format_time, parse_time
from eventlog.errors import InvalidArgument, InvalidMessage
from eventlog.identifiers import check_session_id, derived_id, format_id
from eventlog.session.messages import Message, OtherPart, Part, TextPart, ToolPart, as_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "Conversation",
    "chat_from_message",
    "chat_from_messages",
    "message_from_chat",
    "read_conversations",
]

_Fields: TypeAlias = dict[str, Any]

_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TAKEN_NAMES: Final = {"id", "parts", "created_at"}
_PREFIX: Final = "chat_"
_MISSING: Final = "missing"
_LIST: Final = "list"
_BOM: Final = b"\xef\xbb\xbf"

MESSAGE_ID_CHARACTERS: Final = 512
"""The longest id of its own that a message keeps: what `Message` accepts."""

NESTING_LEVELS: Final = 100
"""The deepest arguments that are parsed: stored JSON deeper than about 190 cannot be read back."""

UNIX_SECONDS_FROM: Final = 1_000_000_000
"""A smaller number as time (before 2001) is an offset, or counts something else."""

UNIX_MILLISECONDS_FROM: Final = 100_000_000_000
"""A number as time counts milliseconds from here on: in seconds it would be the year 5138."""


# ---- chat to message --------------------------------------------------------------------------


def message_from_chat(
    data: dict[str, Any], *, line: int | None = None, index: int | None = None
) -> Message:
    """Return a chat message as a message; `chat_from_message` gives it back as it was.

    Its own id is kept if it is text of 1 to 512 characters, and its own time (``created_at`` or
    ``timestamp``: ISO 8601 with a zone, or Unix time) if it has one; else both are drawn. Raises
    `InvalidMessage`, which names the field and repeats ``line`` and ``index``.
    """
    try:
        return as_message(_message_fields(data))
    except InvalidMessage as error:
        raise _at(error, line, index) from error


def _at(error: InvalidMessage, line: int | None, index: int | None) -> InvalidMessage:
    return InvalidMessage(error.reason, field=error.field, line=line, index=index)


def _message_fields(data: Any) -> _Fields:
    if not _is_object(data):
        raise InvalidMessage(f"a chat message is a JSON object, not {_kind(data)}")
    role = _role(data)
    fields: _Fields = {"role": role, **_kept_fields(data, _consumed(data, role))}
    if data["role"] != role:
        fields["chat_role"] = data["role"]
    if "content" not in data:
        fields["chat_content"] = _MISSING
    if role == "tool":
        fields["parts"] = [_result_part(data)]
        return fields
    content = _content_parts(data.get("content"))
    if isinstance(data.get("content"), list) and _reads_as_string(content):
        fields["chat_content"] = _LIST
    calls = data.get("tool_calls") if role == "assistant" else None
    if "tool_calls" in data and role == "assistant" and not calls:
        fields["chat_tool_calls"] = calls
    fields["parts"] = [*content, *_call_parts(calls)]
    return fields


def _role(data: _Fields) -> str:
    role = data.get("role")
    if isinstance(role, str) and role in _ROLES:
        return _ROLES[role]
    found = f"role {role!r} is unknown" if "role" in data else "the role is missing"
    raise InvalidMessage(f"{found}; a chat message has one of {', '.join(_ROLES)}", field="role")


def _consumed(data: _Fields, role: str) -> set[str]:
    """Return the names of the fields that parts stand for, so that they need no extra field."""
    names = {"role", "content"}
    if role == "assistant":
        names.add("tool_calls")
    if role == "tool":
        names.update(name for name in ("tool_call_id", "name") if data.get(name))
    return names


def _kept_fields(data: _Fields, consumed: set[str]) -> _Fields:
    kept: _Fields = {}
    taken: _Fields = {}
    for name, value in data.items():
        if name in _TAKEN_NAMES or name.startswith(_PREFIX):
            taken[name] = value
        elif name not in consumed:
            kept[name] = value
    if taken:
        kept["chat_fields"] = taken
    return {**kept, **_own_id(data), **_own_time(data)}


def _own_id(data: _Fields) -> _Fields:
    own = data.get("id")
    usable = isinstance(own, str) and 1 <= len(own) <= MESSAGE_ID_CHARACTERS and _is_printed(own)
    return {"id": own} if usable else {}


def _is_printed(text: str) -> bool:
    return not any(character < " " or character == "\x7f" for character in text)


def _own_time(data: _Fields) -> _Fields:
    for name in ("created_at", "timestamp"):
        written = _written_time(data.get(name))
        if written is not None:
            return {"created_at": written}
    return {}


def _written_time(value: Any) -> str | None:
    try:
        if isinstance(value, str):
            parse_time(value)
            return value
        if isinstance(value, int | float) and value >= UNIX_SECONDS_FROM:
            scale = 1_000 if value >= UNIX_MILLISECONDS_FROM else 1_000_000
            return format_time(round(value * scale))
    except (ValueError, OverflowError):
        pass  # no time that can be read: the message draws one, the field itself is kept
    return None


def _content_parts(content: Any) -> list[_Fields]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if _is_list(content):
        return [_content_part(part, f"content.{place}") for place, part in enumerate(content)]
    raise InvalidMessage(
        f"content is a string, null or a list of parts, not {_kind(content)}", field="content"
    )


def _reads_as_string(parts: list[_Fields]) -> bool:
    """Tell whether these parts alone, without a note, would come back as a string or null."""
    return not parts or (len(parts) == 1 and parts[0].keys() == {"type", "text"})


def _content_part(part: Any, field: str) -> _Fields:
    if not _is_object(part) or not isinstance(part.get("type"), str):
        raise InvalidMessage(
            f"a content part is an object with a 'type', not {_kind(part)}", field=field
        )
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidMessage("the text of a text part is a string", field=f"{field}.text")
    return part if _holdable(part) else {"type": "chat_part", "chat_part": part}


def _holdable(part: _Fields) -> bool:
    """Tell whether a part here can be this content part and give it back.

    Tool parts stand for calls and results, so a content part that calls itself so is not one.
    """
    match part["type"]:
        case "tool" | "chat_part":
            return False
        case "image_url":
            return isinstance(part.get("image_url"), dict)
        case "context":
            fields = (part.get("uri"), part.get("context_type", ""), part.get("abstract", ""))
            return all(isinstance(field, str) for field in fields)
        case _:
            return True


def _call_parts(calls: Any) -> list[_Fields]:
    if calls is None:
        return []
    if not _is_list(calls):
        raise InvalidMessage(
            f"tool_calls is a list of calls, not {_kind(calls)}", field="tool_calls"
        )
    return [_call_part(call, f"tool_calls.{place}") for place, call in enumerate(calls)]


def _call_part(call: Any, field: str) -> _Fields:
    if not _is_object(call):
        raise InvalidMessage(f"a tool call is an object, not {_kind(call)}", field=field)
    function = _object(call, "function", field)
    named = function if function is not None else (_object(call, "custom", field) or {})
    part: _Fields = {
        "type": "tool",
        "tool_id": _text(call, "id", f"{field}.id"),
        "tool_name": _text(named, "name", f"{field}.name"),
        "tool_status": "pending",
    }
    if function is not None and "arguments" in function:
        part.update(_arguments_fields(function["arguments"]))
    elif function is None and isinstance(named.get("input"), str):
        part["tool_input"] = {"input": named["input"]}
    outline = _without_arguments(call, function)
    if outline != _usual_call(part) or "arguments" not in (function or {}):
        part["chat_call"] = outline
    return part


def _usual_call(part: _Fields) -> _Fields:
    return {
        "id": part["tool_id"],
        "type": "function",
        "function": {"name": part["tool_name"]},
    }


def _without_arguments(call: _Fields, function: _Fields | None) -> _Fields:
    if function is None:
        return call
    kept = {name: value for name, value in function.items() if name != "arguments"}
    return {**call, "function": kept}


def _arguments_fields(arguments: Any) -> _Fields:
    parsed = _parsed_arguments(arguments)
    fields: _Fields = {} if parsed is None else {"tool_input": parsed}
    if parsed is None or _compact(parsed) != arguments:
        fields["chat_arguments"] = arguments
    return fields


def _parsed_arguments(arguments: Any) -> _Fields | None:
    """Return the arguments as an object that can be stored, ``None`` if they are not one."""
    if _is_object(arguments):
        return arguments if _is_storable(arguments) else None
    if not isinstance(arguments, str):
        return None
    try:
        parsed = _parse_json(arguments)
    except (ValueError, RecursionError):
        return None
    return parsed if _is_object(parsed) and _is_storable(parsed) else None


def _is_storable(value: _Fields) -> bool:
    try:
        _compact(value).encode()
    except (ValueError, RecursionError):
        return False  # infinite, a lone surrogate, or far too deep
    return not _is_deeper(value, NESTING_LEVELS)


def _is_deeper(value: Any, levels: int) -> bool:
    if _is_object(value):
        value = value.values()
    elif not _is_list(value):
        return False
    return levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value)


def _result_part(data: _Fields) -> _Fields:
    content = data.get("content")
    part: _Fields = {
        "type": "tool",
        "tool_id": _text(data, "tool_call_id", "tool_call_id"),
        "tool_name": _text(data, "name", "name"),
        "tool_status": "completed",
    }
    if isinstance(content, str):
        part["tool_output"] = content
    elif content is not None:
        part |= {"tool_output": _output_text(content), "chat_output": content}
    return part


def _output_text(content: Any) -> str:
    """Return what a reader sees of a content that is no string: its texts, else its JSON."""
    if _is_list(content):
        texts = [part.get("text") for part in content if _is_object(part)]
        found = [text for text in texts if isinstance(text, str)]
        if found:
            return "\n".join(found)
    return json.dumps(content, ensure_ascii=False)


def _text(data: _Fields, name: str, field: str) -> str:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidMessage(f"{name} is a string, not {_kind(value)}", field=field)
    return value or ""


def _object(data: _Fields, name: str, field: str) -> _Fields | None:
    value = data.get(name)
    if value is not None and not _is_object(value):
        raise InvalidMessage(f"{name} is an object, not {_kind(value)}", field=f"{field}.{name}")
    return value


def _is_object(value: Any) -> TypeIs[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def _kind(value: Any) -> str:
    """Name a value's type as JSON does."""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "a number")


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (dict, "an object"),
    (list, "a list"),
    (str, "a string"),
    (bool, "a boolean"),
    (type(None), "null"),
)


# ---- message to chat --------------------------------------------------------------------------


def chat_from_message(message: Message) -> dict[str, Any]:
    """Return a message as one chat message: what it was imported from, to the letter.

    Of a message that was built here it holds the role, the parts and the extra fields; the format
    has no place for its id, its time, and the status and cost of a tool. The results that its
    calls hold are messages of their own in this format: `chat_from_messages` adds them.
    """
    extra = dict(message.model_extra or {})
    role, form = extra.pop("chat_role", None), extra.pop("chat_content", None)
    no_calls = extra.pop("chat_tool_calls", _MISSING)
    taken = extra.pop("chat_fields", None)
    is_kept = isinstance(role, str) and _ROLES.get(role) == message.role
    chat: _Fields = {"role": role if is_kept else message.role}
    content, fields = _chat_parts(message, form)
    if form != _MISSING:
        chat["content"] = content
    chat |= fields
    if no_calls != _MISSING:
        chat.setdefault("tool_calls", no_calls)
    others = {name: value for name, value in extra.items() if name not in chat}
    return {**chat, **others, **(taken if _is_object(taken) else {})}


def chat_from_messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Return a conversation as chat messages, each call followed by its result, as the API wants.

    A result that a call part holds, and each of several results in one message, becomes a message
    of its own; a result that follows as a message is not doubled.
    """
    conversation = [single for message in messages for single in _single_results(message)]
    for place, message in enumerate(conversation):
        yield chat_from_message(message)
        if message.role == "assistant":
            answered = _answered_after(conversation, place)
            for part in message.tools:
                if part.tool_output is not None and part.tool_id not in answered:
                    yield {"role": "tool", **_chat_result(part)}


def _single_results(message: Message) -> list[Message]:
    if message.role != "tool" or len(message.tools) < max(2, len(message.parts)):
        return [message]
    return [message.model_copy(update={"parts": (part,)}) for part in message.parts]


def _answered_after(conversation: list[Message], place: int) -> set[str]:
    answered: set[str] = set()
    for message in conversation[place + 1 :]:
        if message.role != "tool":
            break
        answered.update(part.tool_id for part in message.tools)
    return answered


def _chat_parts(message: Message, form: Any) -> tuple[Any, _Fields]:
    """Return the content of a chat message, and the further fields that parts stand for."""
    if message.role == "tool" and len(message.parts) == 1:
        part = message.parts[0]
        if isinstance(part, ToolPart):
            result = _chat_result(part)
            return result.pop("content"), result
    if message.role != "assistant":
        return _chat_content(message.parts, form), {}
    calls = [_chat_call(part) for part in message.tools]
    content = tuple(part for part in message.parts if not isinstance(part, ToolPart))
    return _chat_content(content, form), {"tool_calls": calls} if calls else {}


def _chat_content(parts: tuple[Part, ...], form: Any) -> Any:
    if form != _LIST:
        if not parts:
            return None
        first = parts[0]
        if len(parts) == 1 and isinstance(first, TextPart) and not first.model_extra:
            return first.text
    return [_chat_part(part) for part in parts]


def _chat_part(part: Part) -> _Fields:
    if isinstance(part, OtherPart) and part.type == "chat_part":
        kept = (part.model_extra or {}).get("chat_part")
        if _is_object(kept):
            return kept
    return part.model_dump(mode="json", exclude_unset=True)


def _chat_result(part: ToolPart) -> _Fields:
    extra = part.model_extra or {}
    chat: _Fields = {}
    if part.tool_id:
        chat["tool_call_id"] = part.tool_id
    if part.tool_name:
        chat["name"] = part.tool_name
    return {**chat, "content": extra.get("chat_output", part.tool_output)}


def _chat_call(part: ToolPart) -> _Fields:
    extra = part.model_extra or {}
    outline = extra.get("chat_call")
    is_kept = _is_object(outline)
    call: _Fields = {**outline} if _is_object(outline) else _usual_call(part.model_dump())
    if not _is_object(call.get("function")):
        return call
    if "chat_arguments" in extra:
        call["function"] = {**call["function"], "arguments": extra["chat_arguments"]}
    elif part.tool_input is not None or not is_kept:
        call["function"] = {**call["function"], "arguments": _compact(part.tool_input or {})}
    return call


# ---- files ------------------------------------------------------------------------------------


class Conversation(NamedTuple):
    """The messages of one session in a file; ``line`` is the 1-based line on which it begins."""

    session_id: str | None
    messages: tuple[Message, ...]
    line: int


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Read the conversations of a file, one at a time.

    The file is UTF-8, with or without BOM, and one of: a JSON array of chat messages; a JSON object
    ``{"id", "messages"}`` or an array of them; JSON Lines of chat messages (together one
    conversation); JSON Lines of such objects or arrays. Lines end with a line feed; blank ones are
    passed over. A file without messages has no conversation.

    A message without an id of its own, or with one that its conversation had before, gets one from
    its content and what came before it: the same file gives the same ids, and one that has grown
    gives the same ones for what was there. Raises `InvalidMessage` with the line where it is known.
    """
    with path.open("rb") as file:
        documents = _documents(file)
        for first in documents:
            if _is_message(first.value):
                entries = ((found.exact_line, found.value) for found in chain([first], documents))
                yield _conversation(None, entries, first.line)
            else:
                yield from _conversations(first)


class _Document(NamedTuple):
    """A JSON value of a file; without an exact line if it spans several."""

    value: Any
    line: int
    exact_line: int | None


def _documents(file: BinaryIO) -> Iterator[_Document]:
    """Return the JSON values of a file: one per line, or one in all if its first line is no value.

    A binary file ends its lines at line feeds only, so that no other separator cuts a text in two.
    """
    is_first = True
    for line, raw in enumerate(file, start=1):
        text = _decoded(raw.removeprefix(_BOM) if line == 1 else raw, line)
        if not text.strip():
            continue
        try:
            yield _Document(_parse_json(text.rstrip()), line, line)
        except (ValueError, RecursionError) as error:
            if not is_first:
                raise _not_json(error, line) from error
            yield _spanning_document(text, file, line)
        is_first = False


def _spanning_document(start: str, file: BinaryIO, line: int) -> _Document:
    text = start + _decoded(file.read(), line + 1)
    try:
        return _Document(_parse_json(text), line, None)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, line) from error


def _decoded(raw: bytes, line: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise InvalidMessage(
            f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8", line=line
        ) from error


def _not_json(error: Exception, line: int) -> InvalidMessage:
    if isinstance(error, json.JSONDecodeError):
        problem = f"{error.msg.removesuffix(' at')} at character {error.colno}"
        line += error.lineno - 1
    else:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidMessage(
        f"this is not JSON ({problem}); a file is one JSON document, or has one on each line",
        line=line,
    )


def _parse_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _compact(value: Any, *, sort_keys: bool = False) -> str:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    )


def _is_message(value: Any) -> bool:
    return _is_object(value) and "role" in value and not _has_messages(value)


def _has_messages(value: dict[str, Any]) -> bool:
    return isinstance(value.get("messages"), list)


def _conversations(document: _Document) -> Iterator[Conversation]:
    value = document.value
    if not _is_list(value):
        yield _named_conversation(value, document, "")
    elif value and _is_message(value[0]):
        yield _conversation(None, ((document.exact_line, data) for data in value), document.line)
    else:
        for place, item in enumerate(value):
            yield _named_conversation(item, document, f"{place}.")


def _named_conversation(value: Any, document: _Document, field: str) -> Conversation:
    """Build the conversation of ``{"id", "messages"}``; ``field`` is where that stands."""
    line = document.exact_line
    if not _is_object(value) or not _has_messages(value):
        raise InvalidMessage(
            "this is neither a chat message, which has a 'role', nor a conversation, which has "
            "an 'id' and a list of 'messages'",
            field=field.rstrip(".") or None,
            line=line,
        )
    session_id = _session_id(value, field, line)
    try:
        return _conversation(
            session_id, ((line, data) for data in value["messages"]), document.line
        )
    except InvalidMessage as error:
        inner = f"{field}messages.{error.index}.{error.field or ''}".rstrip(".")
        raise InvalidMessage(error.reason, field=inner, line=line, index=error.index) from error


def _session_id(value: dict[str, Any], field: str, line: int | None) -> str | None:
    session_id = value.get("id")
    if session_id is None:
        return None
    try:
        return check_session_id(session_id)
    except InvalidArgument as error:
        raise InvalidMessage(str(error), field=f"{field}id", line=line) from error


def _conversation(
    session_id: str | None, entries: Iterable[tuple[int | None, Any]], line: int
) -> Conversation:
    """Build a conversation, with ids that its content decides.

    Each id is drawn from the message and from the id before it, so that a prefix keeps its ids
    when the file grows, and equal messages in one conversation have different ones.
    """
    previous, seen = session_id or "", set[str]()
    messages: list[Message] = []
    for index, (place, data) in enumerate(entries):
        try:
            fields = _message_fields(data)
            previous = format_id(derived_id(previous, _canonical(data)))
            if fields.get("id", previous) in seen:
                del fields["id"]
            fields.setdefault("id", previous)
            message = as_message(fields)
        except InvalidMessage as error:
            raise _at(error, place, index) from error
        seen.add(message.id)
        messages.append(message)
    return Conversation(session_id, tuple(messages), line)


def _canonical(data: _Fields) -> str:
    """Return JSON that equal messages share; raise for what could be stored but not read back."""
    try:
        text = _compact(data, sort_keys=True)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"this cannot be stored as JSON in UTF-8 ({error})") from error
    if _is_deeper(data, NESTING_LEVELS):
        raise InvalidMessage(f"it is nested more than {NESTING_LEVELS} levels deep; flatten it")
    return text
