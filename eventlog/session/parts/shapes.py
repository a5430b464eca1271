"""The shapes of parts: one reader per shape, found by the part's type or by the field it is in.

=================== ===============================================================================
of                  shapes
=================== ===============================================================================
eventlog, OpenViking ``text``, ``context``, ``image_url``, ``tool``
OpenAI chat          ``text``, ``image_url``, ``input_audio``, ``file``, ``refusal``; fields of the
                     message: ``function_call``, ``audio``, ``refusal``, ``reasoning_content``
OpenAI Responses     ``input_text``, ``output_text``, ``input_image``, ``input_file``, ``reasoning``,
                     ``…_call`` and ``…_call_output``
Anthropic            ``tool_use``, ``server_tool_use``, ``mcp_tool_use``, ``tool_result``,
                     ``…_tool_result``, ``thinking``, ``redacted_thinking``, ``image``, ``document``
Vercel AI SDK        ``reasoning``, ``file``, ``tool-call``, ``tool-result``, ``tool-invocation``,
                     ``tool-NAME``, ``dynamic-tool``
Gemini, Bedrock      ``functionCall``, ``functionResponse``, ``inlineData``, ``fileData``,
                     ``toolUse``, ``toolResult``: a field instead of a type
=================== ===============================================================================

A part of a known type that lacks what its shape needs is read like one of an unknown type, as JSON.
Readers never raise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.session.parts.contents import first_text, media_from, sole_text, text_list
from eventlog.session.parts.reading import (
    FINAL,
    Call,
    Context,
    Fields,
    Media,
    MediaKind,
    Reading,
    Result,
    as_json,
    is_list,
    is_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from eventlog.session.message_data import MessageData

__all__ = [
    "THINKING",
    "answerable",
    "begins_round",
    "calls_with_id",
    "is_only_text",
    "is_plain",
    "is_text",
    "output_text",
    "read_part",
    "readings_of",
    "said_in",
    "tool_parts",
    "with_fields",
]

THINKING: Final = "thinking"
"""The label of what a model thought, in every shape."""

ARGUMENT_CHARACTERS: Final = 200_000
"""The longest arguments that are parsed; longer ones are read as text."""

_PLAIN_FIELDS: Final = 4
"""The fields that every stored message has: id, role, parts, created_at."""

_TEXT_FIELDS: Final = {"type", "text"}


def is_text(part: Mapping[str, Any]) -> bool:
    """Return whether a part is plain text in this library's shape."""
    return part.get("type") == "text"


def tool_parts(parts: list[Fields]) -> list[Fields]:
    """Return the ``tool`` parts, the only calls and results in the first stored schema."""
    return [part for part in parts if part["type"] == "tool"]


def begins_round(readings: list[Reading]) -> bool:
    """Return whether a user message with these parts begins a round: whether it answers no call."""
    if any(found.result is not None and found.call is None for found in readings):
        return False
    return not readings or any(found.call is None for found in readings)


def is_plain(data: MessageData) -> bool:
    """Return whether a stored message is just one text, as nearly all are."""
    parts = data["parts"]
    return len(parts) == 1 and parts[0]["type"] == "text" and len(data) == _PLAIN_FIELDS


def is_only_text(data: MessageData) -> bool:
    """Return whether a stored message is just one text, whose part has no other fields."""
    return is_plain(data) and data["parts"][0].keys() == _TEXT_FIELDS


def read_part(part: Mapping[str, Any]) -> Reading:
    """Return what a part holds: text, a call, a result or media."""
    reader = _reader_of(part)
    found = None if reader is None else reader(part)
    if found is None:
        return _unknown(part)
    if found.call is not None and found.result is None and "tool_status" in part:
        return _answered(part, found, found.call)
    return found


def readings_of(data: Mapping[str, Any]) -> list[Reading]:
    """Return the readings of a message's parts in order, then those of the message's fields."""
    found = [read_part(part) for part in data["parts"]]
    if len(data) > _PLAIN_FIELDS:
        for name, reader in _MESSAGE_FIELDS.items():
            extra = reader(data[name]) if name in data else None
            if extra is not None:
                found.append(extra)
    return found


def answerable(readings: Iterable[Reading]) -> Iterator[tuple[int, str, int]]:
    """Yield what a later result can answer: its place, its id, and its occurrence among equal ids.

    That is every call, and also a ``tool`` part that has a result: a later one replaces it.
    """
    seen: dict[str, int] = {}
    for place, found in enumerate(readings):
        about = found.call or (found.result if found.slot == ("tool_output",) else None)
        if about is not None:
            occurrence = seen.get(about.id, 0)
            seen[about.id] = occurrence + 1
            yield place, about.id, occurrence


def calls_with_id(data: Mapping[str, Any], tool_id: str) -> list[int]:
    """Return the places, among a message's readings, of calls with an id that can be answered."""
    return [place for place, id_, _ in answerable(readings_of(data)) if id_ == tool_id]


def with_fields(data: MessageData, place: int, fields: Mapping[str, Any]) -> MessageData:
    """Return the message with fields set in the call at a place among its readings."""
    parts = list(data["parts"])
    if place < len(parts):
        parts[place] = {**parts[place], **fields}
        return cast("MessageData", {**data, "parts": parts})
    call = cast("Fields", data.get("function_call"))  # The only call that is not a part.
    return cast("MessageData", {**data, "function_call": {**call, **fields}})


def said_in(data: Mapping[str, Any]) -> str:
    """Return what the speaker of a message said, joined by line feeds."""
    return "\n".join(found.said for found in readings_of(data) if found.said)


# ---- finding the reader -----------------------------------------------------------------------


def _reader_of(part: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Reading | None] | None:
    type_ = part.get("type")
    if isinstance(type_, str):
        reader = _BY_TYPE.get(type_)
        if reader is not None:
            return reader
        if type_.endswith("_tool_result"):
            return _tool_result
        if type_.endswith("_call_output"):
            return _call_output
        if type_.startswith("tool-"):
            return _ui_tool
    for name, by_field in _BY_FIELD.items():
        if name in part:
            return by_field
    return None


def _unknown(part: Mapping[str, Any]) -> Reading:
    """Read a part of an unknown type: its text if it has nothing else, otherwise its JSON."""
    label = str(part.get("type", "part"))
    fields = {name: value for name, value in part.items() if name != "type"}
    text = fields.get("text")
    if isinstance(text, str) and len(fields) == 1:
        return Reading(said=text, label=label, is_unknown=True)
    slot = max(fields, key=lambda name: _length(fields[name]), default="")
    beside = as_json(fields) if fields else label
    return Reading(beside=beside, label=label, is_unknown=True, slot=(slot,) if slot else ())


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(as_json(value))


# ---- texts ------------------------------------------------------------------------------------


def _said(*names: str) -> Callable[[Mapping[str, Any]], Reading | None]:
    def read(part: Mapping[str, Any]) -> Reading | None:
        text = first_text(part, *names)
        return None if text is None else Reading(said=text)

    return read


def _thought(*names: str) -> Callable[[Mapping[str, Any]], Reading | None]:
    def read(part: Mapping[str, Any]) -> Reading | None:
        text = first_text(part, *names)
        return None if text is None else Reading(beside=text, label=THINKING)

    return read


def _reasoning(part: Mapping[str, Any]) -> Reading | None:
    text = first_text(part, "text", "reasoning")
    pieces = [text or "", text_list(part.get("summary")), text_list(part.get("content"))]
    whole = "\n".join(filter(None, pieces)) or first_text(part, "encrypted_content", "data")
    return None if whole is None else Reading(beside=whole, label=THINKING)


def _context(part: Mapping[str, Any]) -> Reading | None:
    uri, abstract = first_text(part, "uri"), first_text(part, "abstract") or ""
    if uri is None:
        return None
    about = Context(uri, first_text(part, "context_type") or "memory")
    return Reading(beside=abstract, label=f"context {uri}", context=about)


def _gemini_text(part: Mapping[str, Any]) -> Reading | None:
    text = first_text(part, "text")
    if text is None or "type" in part:
        return None
    return Reading(beside=text, label=THINKING) if part.get("thought") else Reading(said=text)


def _wrapped(part: Mapping[str, Any]) -> Reading | None:
    """Read a foreign part that is kept whole inside a part of this library."""
    inner = part.get("chat_part")
    if not is_object(inner) or inner.get("type") in _OWN_NAMES:
        return None
    return read_part(inner)._replace(slot=())


def _nested_message(part: Mapping[str, Any]) -> Reading | None:
    text, media = _content(part.get("content"))
    return Reading(said=text, media=media) if text or media else None


# ---- media ------------------------------------------------------------------------------------


def _media(kind: MediaKind) -> Callable[[Mapping[str, Any]], Reading | None]:
    def read(part: Mapping[str, Any]) -> Reading | None:
        media, transcript = media_from(part, kind), _transcript(part)
        if media.size is None and not media.name and not transcript:
            return None
        return Reading(media=(media,), said=transcript)

    return read


def _transcript(part: Mapping[str, Any]) -> str:
    inner = part.get("audio")
    holder = inner if is_object(inner) else part
    return first_text(holder, "transcript") or first_text(part, "transcript") or ""


def _document(part: Mapping[str, Any]) -> Reading | None:
    source = part.get("source")
    about = "\n".join(filter(None, (first_text(part, "title"), first_text(part, "context"))))
    if is_object(source) and first_text(source, "type") in ("text", "content"):
        text, media = _content(source.get("data", source.get("content")))
        return Reading(beside=f"{about}\n{text}" if about else text, media=media, label="document")
    return Reading(beside=about, media=(media_from(part, "file"),), label="document")


def _spoken(value: Any) -> Reading | None:
    """Read the ``audio`` of a message: its transcript, or else the recording itself."""
    if not is_object(value):
        return None
    transcript = first_text(value, "transcript")
    if transcript is not None:
        return Reading(said=transcript)
    return Reading(media=(media_from({"audio": value}, "audio"),))


# ---- calls ------------------------------------------------------------------------------------


def _arguments(value: Any) -> Any:
    """Return arguments as an object, parsed from text if need be; otherwise as text."""
    if isinstance(value, str):
        if value.lstrip()[:1] == "{" and len(value) <= ARGUMENT_CHARACTERS:
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                return value
        return value
    return value if value is None or is_object(value) else as_json(value)


def _call(
    fields: Mapping[str, Any], ids: tuple[str, ...], names: tuple[str, ...], inputs: tuple[str, ...]
) -> Call | None:
    name = first_text(fields, *names) or ""
    id_ = first_text(fields, *ids) or name
    given = next((fields[each] for each in inputs if fields.get(each) is not None), None)
    return Call(id_, name, _arguments(given)) if id_ else None


_CALL_IDS: Final = ("call_id", "toolCallId", "tool_call_id", "toolUseId", "id")
_NAMES: Final = ("name", "toolName", "tool_name")
_INPUTS: Final = ("input", "arguments", "args", "action", "rawInput")


def _tool_call(part: Mapping[str, Any]) -> Reading | None:
    function = part.get("function")  # {"type": "function", "function": {"name", "arguments"}}
    fields = {**part, **function} if is_object(function) else part
    call = _call(fields, _CALL_IDS, _NAMES, _INPUTS)
    return None if call is None else Reading(call=call)


def _named_call(field: str) -> Callable[[Mapping[str, Any]], Reading | None]:
    def read(part: Mapping[str, Any]) -> Reading | None:
        inner = part.get(field)
        return _tool_call(inner) if is_object(inner) else None

    return read


def _function_call(value: Any) -> Reading | None:
    """Read the ``function_call`` of a message: a call without an id."""
    call = _call(value, (), _NAMES, _INPUTS) if is_object(value) else None
    if call is None:
        return None
    found = Reading(call=call)
    return _answered(value, found, call) if "tool_status" in value else found


def _ui_tool(part: Mapping[str, Any]) -> Reading | None:
    """Read a tool part of the AI SDK's UI messages: a call, in some states with its result."""
    type_ = str(part.get("type"))
    name = first_text(part, "toolName") or type_.removeprefix("tool-")
    call = _call({"toolName": name, **part}, ("toolCallId",), _NAMES, _INPUTS)
    if call is None or "toolCallId" not in part:
        return None
    return _with_state(part, call, ())


def _tool_invocation(part: Mapping[str, Any]) -> Reading | None:
    inner = part.get("toolInvocation")
    call = _call(inner, ("toolCallId",), _NAMES, _INPUTS) if is_object(inner) else None
    if call is None:
        return None
    return _with_state(cast("Fields", inner), call, ("toolInvocation",))


def _with_state(fields: Mapping[str, Any], call: Call, path: tuple[str, ...]) -> Reading:
    state = first_text(fields, "state") or ""
    if state in ("output-error", "output-denied"):
        output = first_text(fields, "errorText") or state
        return Reading(call=call, result=Result(call.id, call.name, output, "error"))
    name = "output" if "output" in fields else "result"
    if state not in ("output-available", "result") and name not in fields:
        return Reading(call=call)
    text, media = _content(fields.get(name))
    result = Result(call.id, call.name, text, "completed")
    return Reading(call=call, result=result, media=media, slot=(*path, name))


def _own_tool(part: Mapping[str, Any]) -> Reading | None:
    """Read a ``tool`` part of this library: a call, a result, or both."""
    id_ = first_text(part, "tool_id")
    if id_ is None:
        return None
    name = first_text(part, "tool_name") or ""
    output, given = first_text(part, "tool_output"), part.get("tool_input")
    status = part.get("tool_status", "pending")
    is_final = status in FINAL
    call = None if is_final and given is None else Call(id_ or name, name, given)
    result = None
    if is_final or output is not None:
        result = Result(id_ or name, name, output, status if is_final else "running")
    return Reading(call=call, result=result, media=_media_of_output(part), slot=("tool_output",))


def _media_of_output(part: Mapping[str, Any]) -> tuple[Media, ...]:
    """Return the media in an output that is kept beside its text, as it was given."""
    block = part.get("chat_block")
    outputs = (part.get("chat_output"), block.get("content") if is_object(block) else None)
    return tuple(media for output in outputs for media in _content(output)[1])


def _answered(part: Mapping[str, Any], found: Reading, call: Call) -> Reading:
    """Add the result that was recorded for a call of a foreign shape (M4)."""
    status = part["tool_status"]
    if status not in ("running", *FINAL):
        return found
    result = Result(call.id, call.name, first_text(part, "tool_output"), status)
    return found._replace(result=result, slot=("tool_output",))


# ---- results ----------------------------------------------------------------------------------


def output_text(content: Any) -> str:
    """Return what a reader sees of a tool's output: text, the texts of its parts, else its JSON.

    Of media in it nothing is seen here: they weigh by their estimate.
    """
    if is_list(content) and not all(map(_is_typed, content)):
        return as_json(content)
    if is_object(content) and not _is_typed(content):
        wrapped = sole_text(content)
        return as_json(content) if wrapped is None else wrapped
    return _content(content)[0]


def _is_typed(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("type"), str)


def _content(value: Any) -> tuple[str, tuple[Media, ...]]:
    """Return the text and the media of a content: text, a list of parts, or an object."""
    if isinstance(value, str):
        return value, ()
    if value is None:
        return "", ()
    if is_list(value):
        found = [
            read_part(item) if is_object(item) else Reading(said=_plain(item)) for item in value
        ]
        texts = [text for each in found if (text := each.text)]
        return "\n".join(texts), tuple(media for each in found for media in each.media)
    if is_object(value):
        inner = value.get("value", value.get("content"))
        if is_list(inner) and first_text(value, "type") == "content":
            return _content(inner)
        wrapped = sole_text(value)
        if wrapped is not None:
            return wrapped, ()
        if is_list(inner := value.get("content")) and len(value) == 1:
            return _content(inner)
        if value.get("type") in _BY_TYPE:
            part = read_part(value)
            return part.text, part.media
    return as_json(value), ()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


def _result(
    fields: Mapping[str, Any],
    ids: tuple[str, ...],
    outputs: tuple[str, ...],
    path: tuple[str, ...] = (),
) -> Reading | None:
    name = first_text(fields, *_NAMES) or ""
    id_ = first_text(fields, *ids) or name
    if not id_:
        return None
    place = next((each for each in outputs if each in fields), outputs[0])
    text, media = _content(fields.get(place))
    failed = any(fields.get(each) is True for each in ("is_error", "isError"))
    failed = failed or fields.get("status") in ("error", "failed")
    result = Result(id_, name, text, "error" if failed else "completed")
    return Reading(result=result, media=media, slot=(*path, place))


_RESULT_IDS: Final = ("tool_use_id", "tool_call_id", "toolCallId", "call_id", "toolUseId", "id")


def _tool_result(part: Mapping[str, Any]) -> Reading | None:
    return _result(part, _RESULT_IDS, ("content", "output", "result"))


def _call_output(part: Mapping[str, Any]) -> Reading | None:
    return _result(part, ("call_id", "id"), ("output",))


def _sdk_result(part: Mapping[str, Any]) -> Reading | None:
    found = _result(part, ("toolCallId", "tool_call_id", "id"), ("output", "result", "content"))
    output = part.get("output")
    is_error = is_object(output) and str(output.get("type", "")).startswith("error")
    if found is None or found.result is None or not is_error:
        return found
    return found._replace(result=found.result._replace(status="error"))


def _named_result(field: str, output: str) -> Callable[[Mapping[str, Any]], Reading | None]:
    def read(part: Mapping[str, Any]) -> Reading | None:
        inner = part.get(field)
        return _result(inner, _RESULT_IDS, (output,), (field,)) if is_object(inner) else None

    return read


# ---- the tables -------------------------------------------------------------------------------

_OWN_NAMES: Final = ("tool", "chat_part", "context")
"""Types of this library; in a foreign part they mean something else."""

_BY_TYPE: Final[dict[str, Callable[[Mapping[str, Any]], Reading | None]]] = {
    "text": _said("text"),
    "input_text": _said("text"),
    "output_text": _said("text"),
    "refusal": _said("refusal", "text"),
    "thinking": _thought("thinking", "text"),
    "redacted_thinking": _thought("data"),
    "reasoning": _reasoning,
    "reasoning_text": _thought("text"),
    "summary_text": _thought("text"),
    "context": _context,
    "chat_part": _wrapped,
    "message": _nested_message,
    "image_url": _media("image"),
    "input_image": _media("image"),
    "image": _media("image"),
    "image_generation_call": _media("image"),
    "computer_screenshot": _media("image"),
    "input_audio": _media("audio"),
    "output_audio": _media("audio"),
    "audio": _media("audio"),
    "video": _media("video"),
    "video_url": _media("video"),
    "input_video": _media("video"),
    "file": _media("file"),
    "input_file": _media("file"),
    "document": _document,
    "tool": _own_tool,
    "tool_use": _tool_call,
    "server_tool_use": _tool_call,
    "mcp_tool_use": _tool_call,
    "function": _tool_call,
    "function_call": _tool_call,
    "custom_tool_call": _tool_call,
    "computer_call": _tool_call,
    "local_shell_call": _tool_call,
    "shell_call": _tool_call,
    "apply_patch_call": _tool_call,
    "tool_call": _tool_call,
    "tool-call": _tool_call,
    "tool-invocation": _tool_invocation,
    "dynamic-tool": _ui_tool,
    "tool_result": _tool_result,
    "tool-result": _sdk_result,
    "tool-return": _sdk_result,
}

_BY_FIELD: Final[dict[str, Callable[[Mapping[str, Any]], Reading | None]]] = {
    "functionCall": _named_call("functionCall"),
    "function_call": _named_call("function_call"),
    "toolUse": _named_call("toolUse"),
    "functionResponse": _named_result("functionResponse", "response"),
    "function_response": _named_result("function_response", "response"),
    "toolResult": _named_result("toolResult", "content"),
    "inlineData": _media("file"),
    "inline_data": _media("file"),
    "fileData": _media("file"),
    "text": _gemini_text,
}

_MESSAGE_FIELDS: Final[dict[str, Callable[[Any], Reading | None]]] = {
    "reasoning_content": lambda value: _field_text(value, THINKING),
    "reasoning": lambda value: _field_text(value, THINKING),
    "refusal": lambda value: Reading(said=value) if isinstance(value, str) and value else None,
    "function_call": _function_call,
    "audio": _spoken,
}
"""Fields of a message itself that reach a model beside its parts."""


def _field_text(value: Any, label: str) -> Reading | None:
    return Reading(beside=value, label=label) if isinstance(value, str) and value else None
