"""A message as it is stored, and the idempotency keys of messages and of the results of calls."""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Required,  # pydantic cannot read typing's before 3.12
)

from pydantic import ConfigDict, GetPydanticSchema
from pydantic_core import core_schema
from typing_extensions import TypedDict

__all__ = ["MessageData", "inbound_key", "key_again", "message_key", "tool_result_key"]


_PART = GetPydanticSchema(
    lambda _, handler: core_schema.typed_dict_schema(
        {"type": core_schema.typed_dict_field(core_schema.str_schema(), required=True)},
        extra_behavior="allow",
    )
)
"""A part is any object with a type, which folds and readers check before anything else."""


class MessageData(TypedDict, total=False):
    """A message as it is stored: what folds read, and `Message` is built from on access."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # read by pydantic

    id: Required[str]
    role: Required[str]
    parts: Required[list[Annotated[dict[str, Any], _PART]]]
    created_at: Required[str]


def message_key(message_id: str) -> str:
    """Return the idempotency key under which a message is recorded: its id (M3)."""
    return message_id


def tool_result_key(message_id: str, tool_id: str, kind: str, occurrence: int = 0) -> str:
    """Return the idempotency key under which a result is recorded: one of a kind per call (M4).

    The kind is the status of the result, ``abandoned`` or ``interrupted``. ``occurrence`` counts the calls of the
    message that have the same id, from 0.
    """
    key = f"{message_id}\0{tool_id}\0{kind}"
    return f"{key}\0{occurrence}" if occurrence else key


def inbound_key(message_id: str) -> str:
    """Return the key of the event that queues a message for a run (R5)."""
    return f"inbound\0{message_id}"


def key_again(key: str, withdrawn_at: int) -> str:
    """Return the key for what takes the place of a withdrawn message or result: it follows from the
    key of that one and the version of the withdrawal (M13)."""
    return f"{key}\0withdrawn\0{withdrawn_at}"
