"""What requests may say: strict models of bodies and queries, which refuse unknown fields."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from eventlog import InvalidMessage, Message
from eventlog.http.limits import BATCH_MESSAGES, PAGE, PAGE_DEFAULT, WAIT_SECONDS

__all__ = [
    "AppendBatch",
    "Commit",
    "ContextQuery",
    "CreateSession",
    "DeleteQuery",
    "EventsQuery",
    "MessageBody",
    "Nothing",
    "OutputQuery",
    "Reason",
    "Replace",
    "SessionQuery",
    "SessionsQuery",
    "TailQuery",
    "TasksQuery",
    "ToolResult",
    "Used",
    "Withdraw",
    "checked_message",
]

_ROLES: Final = ["system", "developer", "user", "assistant", "tool"]

_MESSAGE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A message with its parts, or a chat message with `content`. Further fields are "
    "kept as they are. The id is the message's idempotency key; without one it is drawn.",
    "required": ["role"],
    "properties": {
        "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "pattern": r"^[^\x00-\x1f\x7f]+$",
        },
        "role": {"type": "string", "enum": _ROLES},
        "created_at": {"type": "string"},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"type": "string"}},
            },
        },
        "content": {"description": "Text or content blocks, as chat APIs have them."},
    },
    "anyOf": [{"required": ["parts"]}, {"required": ["content"]}],
    "example": {"role": "user", "parts": [{"type": "text", "text": "How do I deploy?"}]},
}

MessageData: TypeAlias = Annotated[dict[str, Any], WithJsonSchema(_MESSAGE)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Object(BaseModel):
    """A body that is one message: its fields are the sender's."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class MessageBody(_Object):
    """A message."""

    @property
    def fields(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(_MESSAGE)


class AppendBatch(_Strict):
    """Messages to append together: all of them, or none."""

    messages: list[MessageData] = Field(min_length=1, max_length=BATCH_MESSAGES)


class Withdraw(_Strict):
    """Which live messages to take out: exactly one of the three."""

    last: int | None = Field(None, ge=0)
    message_ids: list[str] | None = None
    after: int | None = Field(None, ge=0)


class Replace(_Strict):
    """Messages, and which live ones they take the place of: exactly one of the two."""

    messages: list[MessageData] = Field(max_length=BATCH_MESSAGES)
    message_ids: list[str] | None = None
    after: int | None = Field(None, ge=0)


class Nothing(_Strict):
    """An empty object."""


class CreateSession(_Strict):
    """A session to create; without an id it gets one."""

    session_id: str | None = Field(None, min_length=1, max_length=255)
    project: str | None = None
    workspace: str | None = None
    provider: str | None = None
    model: str | None = None
    failed_archives: Literal["block", "skip"] = "block"


class ToolResult(_Strict):
    """The result of a call that the message made."""

    tool_id: str
    output: str
    status: Literal["running", "completed", "error"] = "completed"
    duration_ms: float | None = Field(None, ge=0)
    occurrence: int | None = Field(None, ge=0)


class Used(_Strict):
    """Contexts and a skill that were used."""

    contexts: list[str] = []
    skill: dict[str, Any] | None = None


class Commit(_Strict):
    """What stays live: the newest messages, or the newest rounds within a number of tokens."""

    keep_recent_count: int = Field(0, ge=0)
    keep_turn_tokens: int | None = Field(None, ge=0)


class Reason(_Strict):
    """Why something is done, for the record."""

    reason: str | None = None


# ---- queries ----------------------------------------------------------------------------------

VERSION: Final = 2**53
"""Beyond any version; JSON readers hold integers up to here exactly."""


class SessionQuery(_Strict):
    """Whether a session that does not exist is created."""

    auto_create: bool = False


class DeleteQuery(_Strict):
    """Why a session is closed."""

    reason: str | None = None


class SessionsQuery(_Strict):
    """Which sessions, and from where."""

    workspace: str | None = None
    updated_after: str | None = None
    newest_first: bool = False
    after: str | None = None
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE)


class TailQuery(_Strict):
    """How many of the newest messages."""

    last: int | None = Field(None, ge=0, le=VERSION)


class ContextQuery(_Strict):
    """How many tokens the context may have."""

    token_budget: int = Field(128_000, ge=0, le=VERSION)


class EventsQuery(_Strict):
    """Which events, and how long to wait for the first of them."""

    after: int | None = Field(None, ge=0, le=VERSION)
    types: str | None = None
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE)
    wait_seconds: int = Field(0, ge=0, le=WAIT_SECONDS)


class TasksQuery(_Strict):
    """Which tasks, and from where."""

    session: str | None = None
    state: (
        Literal[
            "preparing",
            "pending",
            "running",
            "retry",
            "completed",
            "terminal_failed",
            "abandoned",
            "failed",
        ]
        | None
    ) = None
    kind: str | None = None
    after: str | None = None
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE)


class OutputQuery(_Strict):
    """Which piece of an output."""

    offset: int = Field(0, ge=0, le=VERSION)
    limit: int | None = Field(None, ge=1, le=VERSION)
    occurrence: int = Field(0, ge=0, le=VERSION)


# ---- messages ---------------------------------------------------------------------------------


def checked_message(fields: dict[str, Any], index: int | None = None) -> Message | dict[str, Any]:
    """Return a message of which nothing was converted: a number in place of a text is refused.

    One in the form of a chat API is returned as it is, since the library reads it.
    """
    if "parts" not in fields:
        return fields
    text = pydantic_core.to_json(fields, inf_nan_mode="constants")
    try:
        return Message.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(place) for place in first["loc"]) or None
        raise InvalidMessage(first["msg"], field=field, index=index) from error
