"""What answers say: the library's values as JSON documents, and the same documents read back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pydantic_core

from eventlog import (
    ArchivedMessages,
    ArchiveView,
    CommitResult,
    Context,
    ContextStats,
    Health,
    Message,
    Position,
    Record,
    Recorded,
    RecordedStep,
    RunView,
    SessionMeta,
    StoredMessage,
    TaskView,
    ToolOutput,
    TurnView,
)

__all__ = [
    "archive_document",
    "archived_from",
    "archives_from",
    "commit_from",
    "context_document",
    "context_from",
    "event_document",
    "health_from",
    "message_from",
    "meta_from",
    "output_document",
    "output_from",
    "recorded_from",
    "run_from",
    "step_from",
    "stored_from",
    "task_from",
    "turn_from",
]


def message_from(document: dict[str, Any]) -> Message:
    """Read a message."""
    return Message.model_validate(document)


def _messages_from(documents: list[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(message_from(document) for document in documents)


def _known(cls: Any, document: dict[str, Any]) -> Any:
    """Build a view from a document; fields that a newer server adds are passed over."""
    return cls(**{name: document.get(name) for name in cls._fields})


def meta_from(document: dict[str, Any]) -> SessionMeta:
    """Read the metadata of a session."""
    return cast("SessionMeta", _known(SessionMeta, document))


def commit_from(document: dict[str, Any]) -> CommitResult:
    """Read the result of a commit."""
    return cast("CommitResult", _known(CommitResult, document))


def health_from(document: dict[str, Any]) -> Health:
    """Read the health of a log."""
    health = cast("Health", _known(Health, document))
    return health._replace(wal_readers=tuple(health.wal_readers or ()))


def task_from(document: dict[str, Any]) -> TaskView:
    """Read a task."""
    view = cast("TaskView", _known(TaskView, document))
    return view._replace(steps=tuple(view.steps))


def turn_from(document: dict[str, Any]) -> TurnView:
    """Read a turn."""
    view = cast("TurnView", _known(TurnView, document))
    return view._replace(steps=tuple(view.steps))


def run_from(document: dict[str, Any]) -> RunView:
    """Read a run."""
    return cast("RunView", _known(RunView, document))


def step_from(document: dict[str, Any]) -> RecordedStep:
    """Read a step of a turn."""
    messages = _messages_from(document["messages"])
    return RecordedStep(document["step"], document["output"], messages)


def archives_from(documents: list[dict[str, Any]]) -> tuple[ArchiveView, ...]:
    """Read a list of archives."""
    return tuple(cast("ArchiveView", _known(ArchiveView, document)) for document in documents)


def archive_document(archived: ArchivedMessages) -> dict[str, Any]:
    """Return a completed archive with its messages."""
    return {
        **archived._asdict(),
        "messages": [message.as_data() for message in archived.messages],
    }


def archived_from(document: dict[str, Any]) -> ArchivedMessages:
    """Read a completed archive."""
    read = cast("ArchivedMessages", _known(ArchivedMessages, document))
    return read._replace(messages=_messages_from(document["messages"]))


def context_document(context: Context) -> dict[str, Any]:
    """Return a context with its messages."""
    return {
        **context._asdict(),
        "messages": [message.as_data() for message in context.messages],
        "stats": context.stats._asdict(),
    }


def context_from(document: dict[str, Any]) -> Context:
    """Read a context."""
    read = cast("Context", _known(Context, document))
    return read._replace(
        messages=_messages_from(document["messages"]),
        stats=cast("ContextStats", _known(ContextStats, document["stats"])),
    )


def output_document(output: ToolOutput) -> dict[str, Any]:
    """Return a piece of an output, and where the next one begins."""
    return {**output._asdict(), "next_offset": output.next_offset}


def output_from(document: dict[str, Any]) -> ToolOutput:
    """Read a piece of an output."""
    return cast("ToolOutput", _known(ToolOutput, document))


def stored_from(document: dict[str, Any]) -> StoredMessage:
    """Read a message with its version."""
    return StoredMessage(message_from(document["message"]), document["version"])


# ---- events -----------------------------------------------------------------------------------


def event_document(recorded: Recorded) -> dict[str, Any]:
    """Return an event with its data as stored, also one of a type that nobody here knows.

    The position is text: readers of JSON round integers beyond 2**53.
    """
    record = recorded.record
    return {
        "session_id": record.stream,
        "version": record.version,
        "position": str(record.position),
        "event_id": recorded.event_id,
        "type": record.type,
        "schema": record.schema,
        "time": recorded.time,
        "data": pydantic_core.from_json(record.data),
        "metadata": pydantic_core.from_json(record.metadata),
        "hash": record.hash.hex(),
    }


def recorded_from(document: dict[str, Any]) -> Recorded:
    """Read an event as the library's own readers return it.

    The data is encoded anew, so its bytes are not those that the hash covers: a chain is verified
    where the log is.
    """
    return Recorded(
        Record(
            stream=document["session_id"],
            version=document["version"],
            position=cast("Position", int(document["position"])),
            event_id=cast("Any", UUID(document["event_id"]).bytes),
            type=document["type"],
            schema=document["schema"],
            time=_microseconds(document["time"]),
            data=pydantic_core.to_json(document["data"]),
            metadata=pydantic_core.to_json(document["metadata"]),
            hash=bytes.fromhex(document["hash"]),
        )
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(time: str) -> int:
    since = datetime.fromisoformat(time) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
