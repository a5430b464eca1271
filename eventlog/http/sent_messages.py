"""Messages as requests say them: with parts, as chat APIs have them, or as items of the Responses API.

The description of a message and what is taken are one thing: a body that fits the schema is a message,
and one that does not is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, cast

import pydantic_core
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from typing_extensions import TypedDict, TypeIs

from eventlog import ContextPart, ImagePart, InvalidMessage, Message, TextPart, ToolPart

__all__ = [
    "ID_CHARACTERS",
    "ITEMS",
    "MESSAGE_ID",
    "VERSION",
    "MessageBody",
    "MessageData",
    "PartData",
    "SoundMessage",
    "checked_message",
    "checked_parts",
    "read_body",
    "whole",
]

ID_CHARACTERS: Final = 512
"""The longest id of a message."""

MESSAGE_ID: Final = r"^[^\x00-\x1f\x7f]+$"

VERSION: Final = 2**53
"""Beyond any version; JSON readers hold integers up to here exactly."""

_MESSAGE_ID: Final = re.compile(MESSAGE_ID)


def whole(value: Any) -> Any:
    """Take a number such as 2.0 for the integer that it is, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# ---- parts ------------------------------------------------------------------------------------

_Whole: TypeAlias = Annotated[int, BeforeValidator(whole)]
_Length: TypeAlias = Annotated[int, Field(ge=0), BeforeValidator(whole)]


class _OfOutputs(TypedDict, total=False):
    """The fields about an output that is stored beside the log; a part that was read may have them."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]  # read by pydantic

    tool_output_ref: str
    tool_output_truncated: bool
    tool_output_original_chars: _Length
    tool_output_preview_chars: _Length
    tool_output_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    tool_output_externalized_reason: str
    tool_output_externalization_error: str
    tool_output_field: Annotated[list[str], Field(min_length=1)]
    tool_output_json: bool


class _OfCalls(TypedDict, total=False):
    """The numbers of a tool part. Beyond these bounds JSON readers round them."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]  # read by pydantic

    duration_ms: Annotated[float, Field(ge=-VERSION, le=VERSION)] | None
    prompt_tokens: _Whole | None
    completion_tokens: _Whole | None


class _Fields:
    """Some fields of a part: their names, their description, and what reads them."""

    def __init__(self, of: Any) -> None:
        adapter: TypeAdapter[Any] = TypeAdapter(of)
        self.described: dict[str, Any] = adapter.json_schema()["properties"]
        self.names = frozenset(self.described)
        self.read: Callable[[Any], dict[str, Any]] = adapter.validator.validate_python


_OF_OUTPUTS: Final = _Fields(_OfOutputs)
_OF_CALLS: Final = _Fields(_OfCalls)


def _tool_part() -> dict[str, Any]:
    schema = ToolPart.model_json_schema()
    return {**schema, "properties": {**schema["properties"], **_OF_CALLS.described}}


_KINDS: Final[dict[str, dict[str, Any]]] = {
    "text": TextPart.model_json_schema(),
    "context": ContextPart.model_json_schema(),
    "image_url": ImagePart.model_json_schema(),
    "tool": _tool_part(),
}
"""The parts of the types that have fields; those of others are kept as they are."""


def _typed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": ["type"], "properties": properties}


def _other(*types: str) -> dict[str, Any]:
    return {"type": "string", "not": {"enum": list(types)}}


_PART: Final[dict[str, Any]] = {
    **_typed(**_OF_OUTPUTS.described),
    "anyOf": [*_KINDS.values(), _typed(type=_other(*_KINDS))],
}

PartData: TypeAlias = Annotated[dict[str, Any], WithJsonSchema(_PART)]


# ---- messages ---------------------------------------------------------------------------------

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}

_ID: Final = {**_TEXT, "minLength": 1, "maxLength": ID_CHARACTERS, "pattern": MESSAGE_ID}

_ROLES: Final = ["system", "developer", "user", "assistant", "tool"]

_OF_RESULTS: Final = ["tool", "function"]
"""The roles of a chat message that is the result of a call."""

_BLOCK: Final[dict[str, Any]] = {
    **_typed(**_OF_OUTPUTS.described),
    "anyOf": [
        {"required": ["text"], "properties": {"type": {"const": "text"}, "text": _TEXT}},
        {"properties": {"type": _other("text")}},
    ],
}

_NAMED: Final = {"type": "object", "properties": {"name": _TEXT_OR_NULL}}

_CALL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"id": _TEXT_OR_NULL},
    "anyOf": [
        {"required": ["function"], "properties": {"function": _NAMED}},
        {
            "properties": {
                "function": {"type": "null"},
                "custom": {"anyOf": [_NAMED, {"type": "null"}]},
            }
        },
    ],
}


def _chat(*roles: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of the chat messages of some roles."""
    return {
        "type": "object",
        "required": ["role"],
        "properties": {"id": _ID, "role": {"enum": list(roles)}, "parts": False, **properties},
        "anyOf": [{"required": ["content"]}, {"required": ["tool_calls"]}],
    }


_CONTENT: Final = {
    "description": "Text or content blocks, as chat APIs have them.",
    "anyOf": [_TEXT_OR_NULL, {"type": "array", "items": _BLOCK}],
}

_CALLS: Final = {"anyOf": [{"type": "null"}, {"type": "array", "items": _CALL}]}

_CALL_ITEMS: Final = (
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
)

_OTHER_ITEMS: Final = (
    "reasoning",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "item_reference",
    "compaction",
)

_PAIRED_ITEMS: Final = (*_CALL_ITEMS, *(f"{name}_output" for name in _CALL_ITEMS))

ITEMS: Final = (*_PAIRED_ITEMS, *_OTHER_ITEMS)
"""The types of the items of the Responses API, other than messages; a test compares them with those
that the library reads."""


def _item(*types: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    named = {"id": _ID, "type": {"enum": list(types)}, "role": False, "parts": False}
    return {
        "type": "object",
        "required": ["type", *required],
        "properties": {**named, **properties},
    }


_FORMS: Final[list[dict[str, Any]]] = [
    {
        "type": "object",
        "required": ["role", "parts"],
        "properties": {
            "id": _ID,
            "role": {"enum": _ROLES},
            "created_at": _TEXT,
            "parts": {"type": "array", "items": _PART},
        },
    },
    _chat("system", "developer", "user", content=_CONTENT),
    _chat("assistant", content=_CONTENT, tool_calls=_CALLS),
    _chat(*_OF_RESULTS, tool_call_id=_TEXT_OR_NULL, name=_TEXT_OR_NULL),
    _item(*_PAIRED_ITEMS, required=("call_id",), call_id=_TEXT),
    _item(*_OTHER_ITEMS, **_OF_OUTPUTS.described),
]

_MESSAGE: Final[dict[str, Any]] = {
    "description": "A message with its parts, a chat message with `content` or `tool_calls`, or an item "
    "of the Responses API. Further fields are kept as they are. The id is the message's idempotency "
    "key; without one it is drawn.",
    "anyOf": _FORMS,
    "example": {"role": "user", "parts": [{"type": "text", "text": "How do I deploy?"}]},
}

MessageData: TypeAlias = Annotated[dict[str, Any], WithJsonSchema(_MESSAGE)]


class MessageBody(BaseModel):
    """A body that is one message: its fields are the sender's."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    @property
    def message(self) -> Message | dict[str, Any]:
        """The message, read strictly; one in the form of a chat API as it is."""
        return checked_message(dict(self.__pydantic_extra__ or {}))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(_MESSAGE)


class SoundMessage(NamedTuple):
    """A body that was read as the message it is."""

    message: Message


# ---- reading ----------------------------------------------------------------------------------


def read_body(model: type[BaseModel], content: bytes) -> Any:
    """Read a body; raises pydantic's `ValidationError`."""
    if model is MessageBody and _is_plain(content):
        # Nearly always it is a sound message, which need not be read twice. If it is none, the way by
        # its fields says why.
        try:
            message = _message_reader()(content, strict=True)
        except ValidationError:
            return model.model_validate_json(content)
        if "parts" in message.model_fields_set:
            return SoundMessage(message)
    return model.model_validate_json(content)


@cache
def _message_reader() -> Callable[..., Message]:
    return TypeAdapter(Message).validator.validate_json


def _is_plain(content: bytes) -> bool:
    """Return whether a body has parts, and none of the fields that `checked_parts` looks at."""
    return (
        b'"parts"' in content
        and b'"tool_output_' not in content
        and b'"duration_ms"' not in content
    )


def checked_message(fields: dict[str, Any], index: int | None = None) -> Message | dict[str, Any]:
    """Return a message of which nothing was converted: a number in place of a text is refused.

    One in the form of a chat API, and an item of the Responses API, is returned as it is, since the
    library reads it. Raises `InvalidMessage`.
    """
    if "parts" not in fields:
        _check_id(fields, index)
        return _checked_chat(fields, index)
    if _is_list(fields["parts"]):
        fields = {**fields, "parts": checked_parts(fields["parts"], index)}
    text = pydantic_core.to_json(fields, inf_nan_mode="constants")
    try:
        return Message.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _invalid(error, index) from error


def _is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def _checked_chat(fields: dict[str, Any], index: int | None) -> dict[str, Any]:
    content = fields.get("content")
    if "role" not in fields:
        is_kept = fields.get("type") in _OTHER_ITEMS
        return _sound_part(fields, _OF_OUTPUTS, "", index) if is_kept else fields
    if fields["role"] in _OF_RESULTS or not _is_list(content):
        return fields
    return {**fields, "content": _sound_parts(content, "content", index)}


def checked_parts(parts: Iterable[Any], index: int | None = None) -> list[Any]:
    """Return parts with the numbers and the outputs of calls as they are stored.

    Raises `InvalidMessage` for a number that JSON readers would round, and for fields about a stored
    output that are none. What else is wrong with a part is for the library to say.
    """
    return _sound_parts(parts, "parts", index, calls=True)


def _sound_parts(
    parts: Iterable[Any], name: str, index: int | None, *, calls: bool = False
) -> list[Any]:
    found: list[Any] = []
    for place, part in enumerate(parts):
        if isinstance(part, dict):
            fields, path = cast("dict[str, Any]", part), f"{name}.{place}"
            fields = _sound_part(fields, _OF_OUTPUTS, path, index)
            if calls and fields.get("type") == "tool":
                fields = _sound_part(fields, _OF_CALLS, path, index)
            found.append(fields)
        else:
            found.append(part)
    return found


def _sound_part(
    fields: dict[str, Any], expected: _Fields, path: str, index: int | None
) -> dict[str, Any]:
    """Return the fields of a part, those that are expected as they are stored."""
    if expected.names.isdisjoint(fields):
        return fields  # Nearly always, and a body may have very many parts.
    try:
        return {**fields, **expected.read(fields)}
    except ValidationError as error:
        raise _invalid(error, index, path) from error


def _invalid(error: ValidationError, index: int | None, path: str = "") -> InvalidMessage:
    first = error.errors(include_url=False, include_input=False)[0]
    places = [path] if path else []
    field = ".".join([*places, *map(str, first["loc"])]) or None
    return InvalidMessage(first["msg"], field=field, index=index)


def _check_id(fields: dict[str, Any], index: int | None) -> None:
    """Refuse an id that is none: the library would keep it beside one that it draws."""
    id_ = fields.get("id", "as good as any")
    if not (isinstance(id_, str) and len(id_) <= ID_CHARACTERS and _MESSAGE_ID.fullmatch(id_)):
        reason = f"it must be a text of 1 to {ID_CHARACTERS} characters without control characters"
        raise InvalidMessage(reason, field="id", index=index)
