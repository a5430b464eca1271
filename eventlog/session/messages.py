"""Messages and their parts (M2).

A message keeps what it was given: unknown fields and unknown part types survive verbatim, and what
was not given is not invented, but for the id and the time, which a message draws when it is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    cast,
)

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import PydanticSerializationError

from eventlog.clock import format_time, system_clock
from eventlog.errors import InvalidMessage
from eventlog.identifiers import new_id
from eventlog.session.message_data import MessageData
from eventlog.session.parts import message_text, said_in
from eventlog.session.tool_output import same_part

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

NESTING_LIMIT: Final = 100
"""Levels of objects and lists in one message: half of what JSON parsers commonly take."""

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
ToolStatus: TypeAlias = Literal["pending", "running", "completed", "error"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class TextPart(_Part):
    """Plain text."""

    type: Literal["text"]
    text: str


class ContextPart(_Part):
    """A reference to something that was put into the model's context."""

    type: Literal["context"]
    uri: str
    context_type: str = "memory"
    abstract: str = ""


class ImagePart(_Part):
    """An image by its URL, in the form ``{"url": …, "detail": …}``."""

    type: Literal["image_url"]
    image_url: dict[str, Any]


class ToolPart(_Part):
    """A call of a tool, its result, or both.

    A call without result is ``pending`` or ``running``; the result arrives with
    `record_tool_result`, or as a message of role ``tool`` with the same ``tool_id``.
    """

    type: Literal["tool"]
    tool_id: str
    tool_name: str = ""
    tool_uri: str = ""
    skill_uri: str = ""
    tool_status: ToolStatus = "pending"
    tool_input: dict[str, Any] | None = None
    tool_output: str | None = None
    duration_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class OtherPart(_Part):
    """A part of a type that this version does not know; kept as it is."""

    type: str


_KNOWN_PARTS = {"text", "context", "image_url", "tool"}


def _part_tag(part: Any) -> str:
    if isinstance(part, dict):
        type_ = cast("dict[str, Any]", part).get("type")
    else:
        type_ = getattr(part, "type", None)
    return str(type_) if type_ in _KNOWN_PARTS else "other"


Part: TypeAlias = Annotated[
    Annotated[TextPart, Tag("text")]
    | Annotated[ContextPart, Tag("context")]
    | Annotated[ImagePart, Tag("image_url")]
    | Annotated[ToolPart, Tag("tool")]
    | Annotated[OtherPart, Tag("other")],
    Discriminator(_part_tag),
]


class Message(BaseModel):
    """One message of a conversation: frozen, with an id that is its idempotency key (M3)."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    id: str = Field(
        default_factory=new_id, min_length=1, max_length=512, pattern=r"\A[^\x00-\x1f\x7f]+\z"
    )
    role: Role
    parts: tuple[Part, ...]
    created_at: str = Field(default_factory=lambda: format_time(system_clock()))
    """ISO 8601 text; kept to the letter where the caller gives it."""

    @classmethod
    def system(cls, text: str, **fields: Any) -> Message:
        """Build a system message of one text part; ``fields`` are further fields of it."""
        return cls(role="system", parts=_text_parts(text), **fields)

    @classmethod
    def user(cls, text: str, **fields: Any) -> Message:
        """Build a user message of one text part; it begins a turn."""
        return cls(role="user", parts=_text_parts(text), **fields)

    @classmethod
    def assistant(
        cls, text: str | None = None, *, tools: tuple[ToolPart, ...] = (), **fields: Any
    ) -> Message:
        """Build an assistant message of a text, of tool calls, or of both."""
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

    @property
    def text(self) -> str:
        """What was said, joined by line feeds: text in any shape, refusals, transcripts."""
        if all(type(part) is TextPart for part in self.parts) and not self.__pydantic_extra__:
            return "\n".join(cast("TextPart", part).text for part in self.parts)
        return said_in(self.as_data())

    @property
    def tools(self) -> tuple[ToolPart, ...]:
        """The parts of type ``tool``; calls in the shapes of providers are not among them."""
        return tuple(part for part in self.parts if isinstance(part, ToolPart))

    def as_data(self) -> dict[str, Any]:
        """Return the message as the dictionary that it was built from, with its id and time."""
        given = self.model_dump(exclude_unset=True)
        return {"id": self.id, **given, "created_at": self.created_at}


def _text_parts(text: str) -> tuple[TextPart]:
    return (TextPart(type="text", text=text),)


def as_message(value: Message | dict[str, Any], *, index: int | None = None) -> Message:
    """Return ``value`` as a message; raise `InvalidMessage` naming the first wrong field."""
    if isinstance(value, Message):
        return value
    try:
        return Message.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(place) for place in first["loc"]) or None
        raise InvalidMessage(first["msg"], field=field, index=index) from error


def message_data(message: Message) -> MessageData:
    """Return what is stored of a message: what was given, the id and the time.

    Raises `InvalidMessage` for values that JSON cannot hold.
    """
    parts = message.parts
    if len(parts) == 1 and not message.__pydantic_extra__:
        part = parts[0]
        if type(part) is TextPart and not part.__pydantic_extra__:
            # Nearly all messages: worth not asking the serializer, which takes three times as long.
            return {
                "id": message.id,
                "role": message.role,
                "parts": [{"type": "text", "text": part.text}],
                "created_at": message.created_at,
            }
    try:
        given: dict[str, Any] = message.__pydantic_serializer__.to_python(
            message, mode="json", exclude_unset=True
        )
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidMessage(f"it cannot be stored as JSON ({error}); mend the value") from error
    given.pop("created_at", None)
    _check_storable(given)
    whole = {"id": message.id, **given, "created_at": message.created_at}
    return cast("MessageData", whole)  # The serializer's output has the model's form.


def _check_storable(value: Any, path: str = "", depth: int = 0) -> None:
    """Raise `InvalidMessage` for what JSON cannot give back as it was (M2)."""
    if depth > NESTING_LIMIT:
        raise InvalidMessage(f"it is nested deeper than {NESTING_LIMIT} levels", field=path)
    if isinstance(value, dict):
        for key, entry in cast("dict[str, Any]", value).items():
            _check_storable(key, path, depth)
            _check_storable(entry, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for place, entry in enumerate(cast("Sequence[Any]", value)):
            _check_storable(entry, f"{path}.{place}", depth + 1)
    elif isinstance(value, float):
        if not isfinite(value):
            raise InvalidMessage(f"{value} is no JSON number", field=path)
    elif isinstance(value, str):
        check_text(value, path)


def check_text(text: str, field: str, index: int | None = None) -> None:
    """Raise `InvalidMessage` for text that UTF-8 cannot hold."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(
            f"it has a lone surrogate at character {error.start}", field=field, index=index
        ) from error


def same_message(stored: MessageData, data: MessageData, message: Message) -> bool:
    """Tell whether a repeated message has the content of the stored one (L3).

    A time that the caller did not give was drawn anew by the repetition, so it does not count; nor
    does whether a large output was stored within the message.
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
