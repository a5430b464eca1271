"""What requests may say: strict models of bodies and queries, which refuse unknown fields."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from eventlog.http.limits import BATCH_MESSAGES, LEASE_SECONDS, PAGE, PAGE_DEFAULT, WAIT_SECONDS
from eventlog.http.sent_messages import (
    ID_CHARACTERS,
    MESSAGE_ID,
    VERSION,
    MessageData,
    PartData,
    whole,
)

__all__ = [
    "AppendBatch",
    "AppendChunk",
    "BeginMessage",
    "BeginTurn",
    "Commit",
    "ContextQuery",
    "CreateSession",
    "DeleteQuery",
    "EndMessage",
    "EndTurn",
    "EventsQuery",
    "ListQuery",
    "Nothing",
    "OutputQuery",
    "Reason",
    "RecordStep",
    "RenewTurn",
    "Replace",
    "RunsQuery",
    "SessionQuery",
    "SessionsQuery",
    "StepQuery",
    "StopRun",
    "TailQuery",
    "TasksQuery",
    "ToolResult",
    "Used",
    "Withdraw",
]

DIGEST: Final = 512
"""The longest digest of a step's arguments."""


WORKSPACE: Final = 512
"""The longest path of a workspace."""

REASON: Final = 500
"""The longest reason for which a run is stopped."""

SESSION_ID: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"


_RUN_ID: Final = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


# The bounds come first: only so do they reach the schema.
Count: TypeAlias = Annotated[int, Field(ge=0, le=VERSION), BeforeValidator(whole)]
Number: TypeAlias = Annotated[int, Field(ge=1, le=VERSION), BeforeValidator(whole)]
Kept: TypeAlias = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(whole)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class AppendBatch(_Strict):
    """Messages to append together: all of them, or none."""

    messages: list[MessageData] = Field(min_length=1, max_length=BATCH_MESSAGES)


def _one_of(**types: str) -> ConfigDict:
    """Say in the schema that exactly one of some fields is given."""
    branches: list[Any] = [
        {"required": [name], "properties": {name: {"type": type_}}} for name, type_ in types.items()
    ]
    return ConfigDict(json_schema_extra={"oneOf": branches})


class Withdraw(_Strict):
    """Which live messages to take out: exactly one of the three."""

    model_config = _one_of(last="integer", message_ids="array", after="integer")

    last: Count | None = None
    message_ids: list[str] | None = Field(None, min_length=1)
    after: Count | None = None


class Replace(_Strict):
    """Messages, and which live ones they take the place of: exactly one of the two."""

    model_config = _one_of(message_ids="array", after="integer")

    messages: list[MessageData] = Field(max_length=BATCH_MESSAGES)
    message_ids: list[str] | None = Field(None, min_length=1)
    after: Count | None = None


class Nothing(_Strict):
    """An empty object."""


class CreateSession(_Strict):
    """A session to create; without an id it gets one."""

    session_id: str | None = Field(None, min_length=1, max_length=255, pattern=SESSION_ID)
    project: str | None = None
    workspace: str | None = Field(None, max_length=WORKSPACE)
    provider: str | None = None
    model: str | None = None
    failed_archives: Literal["block", "skip"] = "block"


MessageFields: TypeAlias = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "description": "Further fields of the message; its id and role have places of their own.",
            "properties": {
                "id": False,
                "role": False,
                "parts": False,
                "created_at": {"type": "string"},
            },
        }
    ),
]


class BeginMessage(_Strict):
    """A message to write in chunks; its lease is renewed by each of them."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = "assistant"
    message_id: str | None = Field(None, min_length=1, max_length=ID_CHARACTERS, pattern=MESSAGE_ID)
    fields: MessageFields | None = None
    lease_seconds: float = Field(LEASE_SECONDS, ge=1, le=86_400)


class AppendChunk(_Strict):
    """A chunk: a text, or parts. Chunks are numbered from 1; the fence names their producer."""

    fence: Number
    sequence: Number
    content: str | list[PartData]


class EndMessage(_Strict):
    """The end of a message: as its chunks said, as the given one, or interrupted."""

    fence: Number
    message: MessageData | None = None
    interrupted: bool = False
    step: str | None = Field(None, min_length=1)
    """In a turn: the step that the message is."""
    digest: str = Field("", max_length=DIGEST)


class BeginTurn(_Strict):
    """A turn to begin, or to begin again; how long its lease lasts, and how long to wait for it."""

    resume: bool = False
    wait_seconds: float = Field(0, ge=0, le=WAIT_SECONDS)
    lease_seconds: float = Field(LEASE_SECONDS, ge=1, le=86_400)
    stale_seconds: float = Field(600.0, ge=0, le=31_536_000)
    on_error: Literal["keep", "withdraw"] = "keep"


class RenewTurn(_Strict):
    """How long the renewed lease lasts."""

    lease_seconds: float = Field(LEASE_SECONDS, ge=1, le=86_400)


class RecordStep(_Strict):
    """The output of a step and its messages; the digest is that of the step's arguments.

    Without an output, the step that an earlier attempt finished is taken over.
    """

    digest: str = Field("", max_length=DIGEST)
    output: Any = None
    messages: list[MessageData] = Field([], max_length=BATCH_MESSAGES)


class EndTurn(_Strict):
    """How a turn ends: with a result, or with an error."""

    how: Literal["completed", "failed", "cancelled"] = "completed"
    result: Any = None
    error: str | None = None


class ToolResult(_Strict):
    """The result of a call that the message made."""

    tool_id: str
    output: str
    status: Literal["running", "completed", "error"] = "completed"
    duration_ms: float | None = Field(None, ge=0)
    occurrence: Count | None = None


class Used(_Strict):
    """Contexts and a skill that were used."""

    contexts: list[str] = []
    skill: dict[str, Any] | None = None


class Commit(_Strict):
    """What stays live: the newest messages, or the newest rounds within a number of tokens."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"keep_turn_tokens": {"type": "null"}}},
                {"properties": {"keep_recent_count": {"const": 0}}},
            ]
        }
    )

    keep_recent_count: Kept = 0
    keep_turn_tokens: Count | None = None


class StopRun(_Strict):
    """Which run to cancel, and why."""

    run_id: str | None = Field(None, pattern=_RUN_ID)
    reason: str | None = Field(None, max_length=REASON)


class Reason(_Strict):
    """Why something is done, for the record."""

    reason: str | None = None


# ---- queries ----------------------------------------------------------------------------------

_DATE: Final = (
    r"(19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))|((19|20)([2468][048]|[13579][26]|0[48])|2000)-02-29"
)
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = rf"^({_DATE})T{_CLOCK}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_CLOCK})$"
"""A time of these two centuries with its offset, in ISO 8601: whatever fits is a time."""


class SessionQuery(_Strict):
    """Whether a session that does not exist is created."""

    auto_create: bool = False


class DeleteQuery(_Strict):
    """Why a session is closed."""

    reason: str | None = None


class SessionsQuery(_Strict):
    """Which sessions, and from where."""

    workspace: str | None = None
    updated_after: str | None = Field(None, pattern=_TIME)
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

    session: str | None = Field(None, min_length=1, max_length=255, pattern=SESSION_ID)
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


class ListQuery(_Strict):
    """Where a list goes on."""

    after: str | None = None
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE)


class StepQuery(_Strict):
    """The digest of the arguments that the step was done with."""

    digest: str = Field("", max_length=DIGEST)


class RunsQuery(_Strict):
    """Which runs, and from where."""

    session: str | None = Field(None, min_length=1, max_length=255, pattern=SESSION_ID)
    state: (
        Literal[
            "idle",
            "running",
            "backing_off",
            "completed",
            "cancelled",
            "failed",
            "abandoned",
        ]
        | None
    ) = None
    after: str | None = None
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE)


class OutputQuery(_Strict):
    """Which piece of an output."""

    offset: int = Field(0, ge=0, le=VERSION)
    limit: int | None = Field(None, ge=1, le=VERSION)
    occurrence: int = Field(0, ge=0, le=VERSION)
