"""From the arguments of a session's methods to commands: checked and built once for both twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from eventlog.errors import ArchiveNotFound, InvalidArgument, InvalidMessage
from eventlog.identifiers import derived_id, format_id
from eventlog.records import Metadata
from eventlog.session.command import Command
from eventlog.session.commands import (
    AppendMessages,
    AssignMemorySession,
    AssignProject,
    CloseSession,
    DeleteSession,
    RecordEvents,
    RecordToolResult,
    RecordUsage,
)
from eventlog.session.commit import Commit, CommitResult, archive_index
from eventlog.session.messages import Message, as_message, message_data, message_text
from eventlog.tasks.commands import AbandonTask, QueueTask, RetryStatus, RetryTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.events import Event
    from eventlog.records import Recorded
    from eventlog.session.tokens import TokenEstimator

__all__ = ["Wish"]

Result = TypeVar("Result")
_NO_METADATA = Metadata()


class Wish(NamedTuple, Generic[Result]):
    """A command and who wants it; no metadata where there is none to be stored."""

    command: Any
    metadata: Metadata | None


def _wish(command: Command[Result], about: Metadata) -> Wish[Result]:
    return Wish(command, None if about == _NO_METADATA else about)


def append(
    estimate: TokenEstimator,
    session: str,
    values: tuple[Message | dict[str, Any], ...],
    about: Metadata,
) -> Wish[tuple[Message, ...]]:
    """Check all messages before any is stored; give those without an id one from the key."""
    messages = tuple(
        [as_message(value, index=place) for place, value in enumerate(values)]
        if len(values) != 1
        else [as_message(values[0])]
    )
    if about.idempotency_key is not None:
        messages = _keyed(session, messages, about.idempotency_key)
        about = about._replace(idempotency_key=None)
    data = tuple([message_data(message) for message in messages])
    ids = {entry["id"] for entry in data}
    if len(ids) < len(data):
        raise InvalidMessage("two messages of one batch have the same id", field="id")
    tokens = tuple([_tokens(estimate, message_text(entry)) for entry in data])
    return _wish(AppendMessages(messages, data, tokens), about)


def _keyed(session: str, messages: tuple[Message, ...], key: str) -> tuple[Message, ...]:
    """Derive the ids of messages from an idempotency key, since a message's id is its key (M3)."""
    for message in messages:
        if "id" in message.model_fields_set:
            raise InvalidArgument(
                f"message {message.id!r} has an id, which is its idempotency key; "
                "leave out one of the two"
            )
    return tuple(
        message.model_copy(update={"id": format_id(derived_id(session, key, number))})
        for number, message in enumerate(messages)
    )


def _tokens(estimate: TokenEstimator, text: str) -> int:
    tokens = estimate(text)
    if tokens < 0:
        raise InvalidArgument(f"the token estimator said {tokens} for a text; it must not be < 0")
    return tokens


def tool_result(
    estimate: TokenEstimator,
    message_id: str,
    tool_id: str,
    output: str,
    status: Literal["running", "completed", "error"],
    duration_ms: float | None,
    about: Metadata,
) -> Wish[None]:
    if status not in ("running", "completed", "error"):
        raise InvalidMessage(
            f"{status!r} is no status of a result; it is 'running', 'completed' or 'error'",
            field="status",
        )
    tokens = _tokens(estimate, output)
    return _wish(
        RecordToolResult(message_id, tool_id, output, status, tokens, duration_ms), about
    )


def usage(
    contexts: Sequence[str], skill: dict[str, Any] | None, about: Metadata
) -> Wish[None]:
    if isinstance(contexts, str):
        raise InvalidArgument("contexts is a list of URIs, not one text")
    return _wish(RecordUsage(tuple(contexts), skill), about)


def commit(
    keep_recent: int, keep_turn_tokens: int | None, about: Metadata
) -> Wish[CommitResult]:
    return _wish(Commit(keep_recent, keep_turn_tokens), about)


def retry(
    session: str, archive: str, actor: str | None, reason: str | None
) -> Wish[RetryStatus]:
    command = RetryTask(archive=_index(session, archive), reason=reason)
    return _wish(command, Metadata(actor=actor))


def abandon(session: str, archive: str, actor: str | None, reason: str | None) -> Wish[None]:
    command = AbandonTask(archive=_index(session, archive), reason=reason)
    return _wish(command, Metadata(actor=actor))


def _index(session: str, archive: str) -> int:
    index = archive_index(archive)
    if index is None:
        raise ArchiveNotFound(session, archive, 0)
    return index


def queue_task(kind: str, payload: dict[str, Any] | None, about: Metadata) -> Wish[str]:
    return _wish(QueueTask(kind, payload or {}), about)


def events(recorded: tuple[Event, ...], about: Metadata) -> Wish[tuple[Recorded, ...]]:
    return _wish(RecordEvents(recorded), about)


def project(name: str, actor: str | None) -> Wish[bool]:
    return _wish(AssignProject(name), Metadata(actor=actor))


def memory_session(provider: str, actor: str | None) -> Wish[str]:
    return _wish(AssignMemorySession(provider), Metadata(actor=actor))


def close(actor: str | None, reason: str | None) -> Wish[None]:
    return _wish(CloseSession(reason), Metadata(actor=actor))


def delete(actor: str | None, reason: str | None) -> Wish[None]:
    return _wish(DeleteSession(reason), Metadata(actor=actor))
