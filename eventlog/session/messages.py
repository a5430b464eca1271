"""Messages and their parts (M2).

A message keeps exactly what it was given: unknown fields and unknown part types survive verbatim,
and no field is added except the id and the time, which are drawn when the message is built.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    cast,
)

import pydantic_core
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from eventlog.clock import format_time, system_clock
from eventlog.error_text import printable
from eventlog.errors import InvalidMessage
from eventlog.identifiers import new_id
from eventlog.session.chat.reading import looks_like_chat, message_fields
from eventlog.session.message_data import MessageData
from eventlog.session.parts import message_text, said_in
from eventlog.session.tool_output import same_part
from eventlog.storable import is_nested_too_deeply, problem_in

__all__ = [
    "ContextPart",
    "ImagePart",
    "Message",
    "OtherPart",
    "Part",
    "Role",
    "TextPart",
    "ToolPart",
    "ToolStatus",
    "as_message",
    "check_text",
    "message_data",
    "message_text",
    "same_message",
]

ROLES: Final = ("system", "developer", "user", "assistant", "tool")

MESSAGE_ID_CHARACTERS: Final = 512
"""The longest id of a message."""

_ID_LAW: Final = (
    f"it must be a text of 1 to {MESSAGE_ID_CHARACTERS} characters without control characters and "
    "halves of surrogate pairs; choose another id, or leave it out to have one drawn"
)

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
ToolStatus: TypeAlias = Literal["pending", "running", "completed", "error"]


Text: TypeAlias = Annotated[str, Field(strict=True)]
"""Text that was given as text: pydantic would make some of bytes and of members of an enumeration."""


def _refuse_a_change(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Return the number that was given; pydantic would also read one from a text, or round it."""
    number = read(value)
    if number == value:
        return number
    raise PydanticCustomError("number", "Input should be a number that can be stored as it is")


_UNCHANGED: Final = WrapValidator(_refuse_a_change)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    type: Any
    """Narrowed by each kind of part."""


class TextPart(_Part):
    """Plain text."""

    type: Literal["text"]
    text: Text


class ContextPart(_Part):
    """A reference to something that was put into a model's context."""

    type: Literal["context"]
    uri: Text
    context_type: Text = "memory"
    abstract: Text = ""


class ImagePart(_Part):
    """An image by its URL, in the form ``{"url": …, "detail": …}``."""

    type: Literal["image_url"]
    image_url: dict[str, Any]


class ToolPart(_Part):
    """A call of a tool, its result, or both.

    A call without a result is ``pending`` or ``running``. The result comes with
    `Session.record_tool_result`, or as a message of role ``tool`` with the same ``tool_id``.
    """

    type: Literal["tool"]
    tool_id: Text
    tool_name: Text = ""
    tool_uri: Text = ""
    skill_uri: Text = ""
    tool_status: ToolStatus = "pending"
    tool_input: dict[str, Any] | None = None
    tool_output: Text | None = None
    duration_ms: Annotated[float, _UNCHANGED] | None = None
    prompt_tokens: Annotated[int, _UNCHANGED] | None = None
    completion_tokens: Annotated[int, _UNCHANGED] | None = None


class OtherPart(_Part):
    """A part of a type that the library does not know; it is kept as it is."""

    type: Text


_KNOWN_PARTS = {"text", "context", "image_url", "tool"}


def _part_tag(part: Any) -> str:
    if isinstance(part, dict):
        type_ = cast("dict[str, Any]", part).get("type")
    else:
        type_ = part.type if isinstance(part, _Part) else None
    return type_ if isinstance(type_, str) and type_ in _KNOWN_PARTS else "other"


Part: TypeAlias = Annotated[
    Annotated[TextPart, Tag("text")]
    | Annotated[ContextPart, Tag("context")]
    | Annotated[ImagePart, Tag("image_url")]
    | Annotated[ToolPart, Tag("tool")]
    | Annotated[OtherPart, Tag("other")],
    Discriminator(_part_tag),
]


_OF_A_TEXT: Final = {"type", "text"}
"""The fields that are set in a part that is a text and nothing else."""

_FINISHED: Final = frozenset({TextPart, ContextPart, ImagePart})


class Message(BaseModel):
    """One message of a conversation. It is frozen; its id is its idempotency key."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    id: str = Field(
        default_factory=new_id,
        strict=True,
        min_length=1,
        max_length=MESSAGE_ID_CHARACTERS,
        pattern=r"\A[^\x00-\x1f\x7f]+\z",
    )
    role: Role
    parts: tuple[Part, ...]
    created_at: str = Field(default_factory=lambda: format_time(system_clock()), strict=True)
    """ISO 8601 text; kept verbatim if the caller gives it."""

    @classmethod
    def system(cls, text: str, **fields: Any) -> Message:
        """Build a system message of one text part; ``fields`` are further fields of the message."""
        return cls(role="system", parts=_text_parts(text), **fields)

    @classmethod
    def user(cls, text: str, **fields: Any) -> Message:
        """Build a user message of one text part; it begins a round."""
        return cls(role="user", parts=_text_parts(text), **fields)

    @classmethod
    def assistant(
        cls, text: str | None = None, *, tools: tuple[ToolPart, ...] = (), **fields: Any
    ) -> Message:
        """Build an assistant message from a text, tool calls, or both."""
        parts: tuple[Any, ...] = _text_parts(text) if text is not None else ()
        return cls(role="assistant", parts=(*parts, *tools), **fields)

    @classmethod
    def tool(
        cls,
        tool_id: str,
        output: str,
        *,
        name: str = "",
        status: ToolStatus = "completed",
        **fields: Any,
    ) -> Message:
        """Build a message of role ``tool``: the result of the call ``tool_id``."""
        part = ToolPart(
            type="tool", tool_id=tool_id, tool_name=name, tool_status=status, tool_output=output
        )
        return cls(role="tool", parts=(part,), **fields)

    @classmethod
    def call(
        cls, tool_name: str, tool_input: dict[str, Any], *, tool_id: str | None = None
    ) -> ToolPart:
        """Build the part of a tool call that awaits its result."""
        return ToolPart(
            type="tool",
            tool_id=tool_id or f"call_{new_id()}",
            tool_name=tool_name,
            tool_input=tool_input,
            tool_status="pending",
        )

    @classmethod
    def from_chat(cls, data: dict[str, Any]) -> Message:
        """Build a message from a chat message: ``{"role", "content"}``, calls and results included.

        Its fields are kept, so that `eventlog.exchange.openai_chat.chat_from_message` returns it
        unchanged. Content blocks of Anthropic and items of the Responses API are accepted too:
        their calls and results become tool parts. Raises `InvalidMessage` naming the first wrong
        field.
        """
        return _validated(message_fields(data), None)

    @property
    def text(self) -> str:
        """The text of the message, joined by line feeds: texts, refusals, transcripts."""
        if not self.__pydantic_extra__ and all(type(part) is TextPart for part in self.parts):
            return "\n".join(cast("TextPart", part).text for part in self.parts)
        return said_in(self.as_data())

    @property
    def is_only_text(self) -> bool:
        """Whether the message is text and has no fields but its own, as nearly all have."""
        return not self.__pydantic_extra__ and all(
            type(part) is TextPart and not part.__pydantic_extra__ for part in self.parts
        )

    @property
    def is_finished(self) -> bool:
        """Whether no later record changes the message: it has neither a call nor its result."""
        return not self.__pydantic_extra__ and all(type(part) in _FINISHED for part in self.parts)

    @property
    def tools(self) -> tuple[ToolPart, ...]:
        """The parts of type ``tool``; calls in the shapes of providers are not among them."""
        return tuple(part for part in self.parts if isinstance(part, ToolPart))

    def as_data(self) -> dict[str, Any]:
        """Return the message as the dictionary that it was built from, with its id and time."""
        parts = self.parts
        if type(parts) is tuple and len(parts) == 1 and not self.__pydantic_extra__:
            part = parts[0]
            if type(part) is TextPart and part.model_fields_set == _OF_A_TEXT:
                # Nearly all messages; the serializer takes ten times as long.
                return {
                    "id": self.id,
                    "role": self.role,
                    "parts": ({"type": part.type, "text": part.text},),
                    "created_at": self.created_at,
                }
        given = self.model_dump(exclude_unset=True)
        return {"id": self.id, **given, "created_at": self.created_at}


def _text_parts(text: str) -> tuple[TextPart]:
    return (TextPart(type="text", text=text),)


def as_message(value: Message | dict[str, Any], *, index: int | None = None) -> Message:
    """Return ``value``, which may be a chat message, as a message.

    Raises `InvalidMessage` naming the first wrong field.
    """
    if type(value) is Message:
        return value
    if isinstance(value, dict) and looks_like_chat(value):  # pyright: ignore[reportUnnecessaryIsInstance]
        try:
            value = message_fields(value)
        except InvalidMessage as error:
            raise InvalidMessage(error.reason, field=error.field, index=index) from error
        except Exception as error:  # a value of a user's own type may raise anything
            raise InvalidMessage(
                f"it cannot be read as a message ({type(error).__name__})", index=index
            ) from error
    return _validated(value, index)


def _validated(value: Message | dict[str, Any], index: int | None) -> Message:
    try:
        if isinstance(value, Message):  # Of a subclass, which could not be read back.
            fields = value.model_dump(exclude_unset=True, warnings=False)
            value = {**fields, "id": value.id, "created_at": value.created_at}
        return Message.model_validate(value)
    except ValidationError as error:
        raise _refused(error, index) from error
    except Exception as error:  # a value of a user's own type may raise anything
        raise InvalidMessage(
            f"it cannot be read as a message ({type(error).__name__})", index=index
        ) from error


def message_data(message: Message, *, index: int | None = None) -> MessageData:
    """Return a message's data as it is stored: what was given, the id and the time.

    Reading it back gives an equal message. Raises `InvalidMessage` if it would not, with the path
    of the first value that differs.
    """
    parts = message.parts
    if type(parts) is tuple and len(parts) == 1 and not message.__pydantic_extra__:
        part = parts[0]
        if type(part) is TextPart and not part.__pydantic_extra__ and _is_plain(message, part.text):
            # Nearly all messages: worth bypassing the serializer, which takes ten times as long.
            return {
                "id": message.id,
                "role": message.role,
                "parts": [{"type": "text", "text": part.text}],
                "created_at": message.created_at,
            }
    return _checked_data(message, index)


def _refused(error: ValidationError, index: int | None) -> InvalidMessage:
    """Return the error that names the first field which validation refuses."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(place) for place in first["loc"]) or None
    return InvalidMessage(
        _ID_LAW if field == "id" else printable(first["msg"]), field=field, index=index
    )


def _is_plain(message: Message, text: object) -> bool:
    """Return whether a message of one text was certainly built by validation: not all are."""
    id_ = message.id
    return (
        type(text) is str
        and type(id_) is str
        and id_.isprintable()
        and 0 < len(id_) <= MESSAGE_ID_CHARACTERS
        and type(message.created_at) is str
        and message.role in ROLES
    )


def _checked_data(message: Message, index: int | None) -> MessageData:
    try:
        encoded = message.__pydantic_serializer__.to_json(
            message, exclude_unset=True, warnings=False
        )
        given = pydantic_core.from_json(encoded, allow_inf_nan=False)
        given.pop("created_at", None)
        whole = {"id": message.id, **given, "created_at": message.created_at}
        same = Message.model_validate(whole) == message
    except Exception as error:  # a value of a user's own type may raise anything
        raise _unstorable(message, error, index) from error
    if not same or is_nested_too_deeply(given, encoded):
        raise _unstorable(message, None, index)
    return cast("MessageData", whole)  # The serializer's output has the model's form.


def _unstorable(message: Message, error: Exception | None, index: int | None) -> InvalidMessage:
    """Return the error that names the first value of a message which cannot be read back."""
    try:
        fields = {**_fields(message), "parts": [_fields(part) for part in message.parts]}
    except Exception as broken:  # noqa: BLE001 - a message that was built without validation
        fields, error = {}, error or broken
    found = problem_in(fields)
    if found is not None:
        return InvalidMessage(found.reason, field=found.path or None, index=index)
    if isinstance(error, ValidationError):
        return _refused(error, index)
    reason = "it cannot be stored as JSON: it would be read back as something else"
    return InvalidMessage(reason, index=index)


def _fields(model: BaseModel) -> dict[str, Any]:
    return {**model.__dict__, **(model.__pydantic_extra__ or {})}


def check_text(text: str, field: str, index: int | None = None) -> None:
    """Raise `InvalidMessage` for text that UTF-8 cannot hold."""
    found = problem_in(text)
    if found is not None:
        raise InvalidMessage(found.reason, field=field, index=index)


def same_message(stored: MessageData, data: MessageData, message: Message) -> bool:
    """Return whether a repeated message has the content of the stored one (L3).

    A time that the caller did not give was drawn again for the repetition, so it does not count;
    nor does it matter whether a large output was stored within the message.
    """
    if "created_at" not in message.model_fields_set:
        data = {**data, "created_at": stored["created_at"]}
    if stored == data:
        return True
    parts, given = stored["parts"], data["parts"]
    return (
        len(parts) == len(given)
        and {**stored, "parts": given} == data
        and all(map(same_part, parts, given))
    )
