"""Checking the arguments of a session's methods and building commands, once for both faces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from pydantic import ValidationError

from eventlog.argument_checks import LARGEST_COUNT, check_count, check_number
from eventlog.codec import refusal
from eventlog.engine.append_request import MessageRequest
from eventlog.error_text import shown
from eventlog.errors import ArchiveNotFound, InvalidArgument, InvalidMessage
from eventlog.event_values import values_in
from eventlog.events import Event
from eventlog.identifiers import derived_id, format_id, parse_id
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.commands import (
    AbandonCall,
    AppendLargeMessages,
    AppendMessages,
    AssignMemorySession,
    AssignProject,
    ChangeFailedArchives,
    CloseSession,
    DeleteSession,
    RecordEvents,
    RecordToolResult,
    RecordUsage,
)
from eventlog.session.commit import archive_index
from eventlog.session.events import SessionCreated
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message, as_message, message_data
from eventlog.session.messages import check_text as check_message_text
from eventlog.session.output_claims import check_claims
from eventlog.session.parts import is_only_text, message_text, weigh
from eventlog.session.tokens import checked_tokens
from eventlog.session.tool_output import SINGLE, has_large
from eventlog.storable import check_text, checked_copy
from eventlog.telemetry import trace_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.engine.core import Core
    from eventlog.session.events import FailedArchives
    from eventlog.session.tasks.commands import AbandonTask, QueueTask, RetryTask
    from eventlog.session.together import RecordTogether
    from eventlog.session.tokens import TokenEstimator
    from eventlog.session.turns.state import TurnFence
    from eventlog.session.withdrawals.commands import ReplaceMessages, WithdrawMessages
    from eventlog.trace_context import TraceContext

__all__ = [
    "abandon",
    "abandoned_call",
    "append",
    "append_one",
    "clearing",
    "closing",
    "creation",
    "deletion",
    "events",
    "expected_version",
    "failed_archives",
    "memory_session",
    "metadata_for",
    "project",
    "replacement",
    "retry",
    "task",
    "tool_result",
    "usage",
    "withdrawal",
]


KEY_CHARACTERS: Final = 512
"""The longest text that becomes part of an index key, such as a workspace or a task's kind: stores
limit the length of keys, which also contain the session's id and the time of the entry."""

_KEY_FIELDS: Final = frozenset({"owner", "workspace"})


def checked_object(name: str, value: Any) -> dict[str, Any]:
    """Return a copy of an argument that is a JSON object; raise `InvalidArgument` otherwise."""
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name} must be a dictionary with text keys, not {shown(value)}")
    return cast("dict[str, Any]", checked_copy(name, value))


def metadata_for(
    actor: str | None,
    correlation_id: str | None,
    causation_id: str | None,
    trace: TraceContext | str | None,
    idempotency_key: str | None = None,
) -> Metadata | None:
    """Build the command's metadata (actor, correlation, cause, trace, key), or None (L13)."""
    if trace is None and trace_sources:
        trace = trace_sources[0]()
    if (
        actor is None
        and correlation_id is None
        and causation_id is None
        and trace is None
        and idempotency_key is None
    ):
        return None
    texts: dict[str, Any] = {
        "actor": actor,
        "correlation_id": correlation_id,
        "causation_id": causation_id,
        "idempotency_key": idempotency_key,
    }
    for name, value in texts.items():
        if value is not None:
            texts[name] = check_text(name, value)
    if trace is None:
        return Metadata(**texts)
    from eventlog.trace_context import as_trace_context  # Most commands are part of no trace.

    traceparent, tracestate = as_trace_context(trace)
    return Metadata(**texts, traceparent=traceparent, tracestate=tracestate)


def creation(**arguments: Any) -> SessionCreated:
    """Check the arguments that a session is created with."""
    for name in ("owner", "project", "workspace", "provider", "model"):
        if isinstance(arguments.get(name), str):  # The event itself refuses anything else.
            longest = KEY_CHARACTERS if name in _KEY_FIELDS else None
            arguments[name] = check_text(name, arguments[name], longest=longest)
    try:
        return SessionCreated(**arguments)
    except ValidationError as error:
        raise refusal(error) from error
    except Exception as error:  # pydantic raises others, too, as for a policy with an unknown name
        raise InvalidArgument(f"these arguments cannot create a session: {error}") from error


def append_one(
    core: Core,
    estimate: TokenEstimator,
    value: Message | dict[str, Any],
    idempotency_key: str | None,
    by: Metadata | None,
    expected: Expected = ANY,
    fence: TurnFence | None = None,
) -> MessageRequest:
    """Check one message before it is stored; give it an id from the key, if there is one."""
    message = value if type(value) is Message else as_message(value)
    if idempotency_key is not None:
        (message,) = _keyed(core.session, (message,), idempotency_key)
    data = message_data(message)
    if fence is None and expected is ANY and is_only_text(data):
        text = data["parts"][0]["text"]
        if len(text) <= core.plain_characters:
            # Nearly all messages: nothing else is to be checked.
            return MessageRequest(core, message, data, checked_tokens(estimate, text), by)
    text = message_text(data)
    is_large = len(text) > core.plain_characters and (
        core.plain_characters < 0 or has_large(data, core.tool_output)
    )
    is_again = fence is not None and fence.attempt > 1
    if check_claims(core.session, data) or is_large or is_again or expected is not ANY:
        request = MessageRequest(core, message, data, 0, by, fence)
        command = _append(core, estimate, (message,), (data,), [text])
        command.reuses = is_again
        request.fall_back(command, expected_version(expected))
        return request
    return MessageRequest(core, message, data, weigh(estimate, data, text), by, fence)


def append(
    core: Core,
    estimate: TokenEstimator,
    values: Iterable[Message | dict[str, Any]],
    idempotency_key: str | None,
    fence: TurnFence | None = None,
) -> AppendMessages:
    """Check all messages before any is stored; derive missing ids from the key."""
    if not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"messages must be a list of messages, not a {type(values).__name__}")
    messages = tuple([as_message(value, index=place) for place, value in enumerate(values)])
    if idempotency_key is not None:
        messages = _keyed(core.session, messages, idempotency_key)
    data = tuple([message_data(message, index=at) for at, message in enumerate(messages)])
    texts = [message_text(entry) for entry in data]
    for index, text in enumerate(texts):
        check_message_text(text, "parts", index)
    if len({entry["id"] for entry in data}) < len(data):
        raise InvalidMessage(
            "two messages of one batch have the same id; give each its own", field="id"
        )
    command = _append(core, estimate, messages, data, texts)
    command.reuses = fence is not None and fence.attempt > 1
    return command


def _append(
    core: Core,
    estimate: TokenEstimator,
    messages: tuple[Message, ...],
    data: tuple[MessageData, ...],
    texts: Sequence[str],
) -> AppendMessages:
    large = {
        place
        for place, text in enumerate(texts)
        if len(text) > core.plain_characters and has_large(data[place], core.tool_output)
    }
    tokens = tuple(
        [
            0 if place in large else weigh(estimate, data[place], text)
            for place, text in enumerate(texts)
        ]
    )
    claiming = frozenset(
        place for place, entry in enumerate(data) if check_claims(core.session, entry, place)
    )
    if not large and not claiming:
        return AppendMessages(messages, data, tokens)
    return AppendLargeMessages(
        messages, data, tokens, estimate=estimate, large=frozenset(large), claiming=claiming
    )


def _keyed(session: str, messages: tuple[Message, ...], key: str) -> tuple[Message, ...]:
    """Derive the ids of messages from an idempotency key, since a message's id is its key (M3)."""
    key = check_text("idempotency_key", key)
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


def tool_result(
    core: Core,
    estimate: TokenEstimator,
    message_id: str,
    tool_id: str,
    output: str,
    status: Literal["running", "completed", "error"],
    duration_ms: float | None,
    occurrence: int | None,
) -> RecordToolResult:
    """Check a result before it is stored."""
    message_id = check_text("message_id", message_id)
    tool_id = check_text("tool_id", tool_id)
    if isinstance(output, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        check_message_text(output, "tool_output")
    output = check_text("output", output)
    if duration_ms is not None:
        duration_ms = check_number("duration_ms", duration_ms)
    if status not in ("running", "completed", "error"):
        raise InvalidMessage(
            f"status is {shown(status)}; it must be 'running', 'completed' or 'error'",
            field="status",
        )
    is_large = len(output) > core.tool_output.inline_characters
    return RecordToolResult(
        message_id,
        tool_id,
        output,
        status,
        duration_ms,
        tokens=None if is_large else checked_tokens(estimate, output),
        estimate=estimate,
        too_large=SINGLE if is_large else None,
        occurrence=_occurrence(occurrence),
    )


def withdrawal(
    last: int | None,
    message_ids: Sequence[str] | None,
    after: int | None,
    expected: Expected,
) -> WithdrawMessages:
    """Check which messages are to be withdrawn; exactly one way of saying it is given."""
    from eventlog.session.withdrawals.commands import Which, WithdrawMessages

    if sum(each is not None for each in (last, message_ids, after)) != 1:
        raise InvalidArgument("give exactly one of last, message_ids and after")
    if last is not None:
        check_count("last", last, "messages")
        return WithdrawMessages(Which(last=last), _expected_number(expected))
    which = Which(message_ids=_ids(message_ids), after=_after(after))
    return WithdrawMessages(which, _expected_number(expected))


def clearing(expected: Expected) -> WithdrawMessages:
    """Build the withdrawal of everything that is live."""
    from eventlog.session.withdrawals.commands import Which, WithdrawMessages

    return WithdrawMessages(Which(everything=True), _expected_number(expected))


def replacement(
    core: Core,
    estimate: TokenEstimator,
    messages: Iterable[Message | dict[str, Any]],
    message_ids: Sequence[str] | None,
    after: int | None,
    expected: Expected,
) -> ReplaceMessages:
    """Check the messages to put in the place of live ones, and which those are."""
    from eventlog.session.withdrawals.commands import ReplaceMessages, Which

    if (message_ids is None) == (after is None):
        raise InvalidArgument("give either message_ids or after")
    which = Which(message_ids=_ids(message_ids), after=_after(after))
    appends = append(core, estimate, messages, None)
    return ReplaceMessages(which, _expected_number(expected), appends=appends)


def _ids(message_ids: Sequence[str] | None) -> tuple[str, ...] | None:
    if message_ids is None:
        return None
    if isinstance(message_ids, str) or not isinstance(message_ids, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"message_ids must be a list of ids, not {shown(message_ids)}")
    ids = tuple([check_text(f"message_ids.{place}", id_) for place, id_ in enumerate(message_ids)])
    if not ids:
        raise InvalidArgument("message_ids is empty; name at least one message")
    return ids


def _after(after: int | None) -> int | None:
    if after is not None:
        check_count("after", after, "records")
    return after


def _expected_number(expected: Expected) -> int | None:
    expected = expected_version(expected)
    return None if expected is ANY else int(expected)


def abandoned_call(
    estimate: TokenEstimator, message_id: str, tool_id: str, reason: str, occurrence: int | None
) -> AbandonCall:
    """Check the call to close, and the text of its result."""
    message_id = check_text("message_id", message_id)
    tool_id = check_text("tool_id", tool_id)
    reason = check_text("reason", reason)
    return AbandonCall(message_id, tool_id, reason, estimate, _occurrence(occurrence))


def _occurrence(value: int | None) -> int | None:
    if value is not None:
        check_count("occurrence", value, "earlier calls with the same id")
    return value


def usage(contexts: Sequence[str], skill: dict[str, Any] | None) -> RecordUsage:
    """Check what was used before it is stored."""
    if isinstance(contexts, str):
        raise InvalidArgument("contexts must be a list of URIs, not a single text")
    try:
        uris = tuple(contexts)
    except TypeError:
        raise InvalidArgument(f"contexts must be a list of URIs, not {shown(contexts)}") from None
    uris = tuple([check_text(f"contexts.{place}", uri) for place, uri in enumerate(uris)])
    return RecordUsage(uris, None if skill is None else checked_object("skill", skill))


def memory_session(provider: str) -> AssignMemorySession:
    """Check the provider before it is looked up."""
    return AssignMemorySession(check_text("provider", provider))


def project(name: str) -> AssignProject:
    """Check the project before it is assigned."""
    return AssignProject(_if_text("project", name))


def failed_archives(policy: FailedArchives) -> ChangeFailedArchives:
    """Check the policy before it is changed."""
    if policy not in ("block", "skip"):
        raise InvalidArgument(f"failed_archives is {shown(policy)}; it must be 'block' or 'skip'")
    return ChangeFailedArchives(policy)


def closing(reason: str | None, estimate: TokenEstimator) -> CloseSession:
    """Check the reason before the session is closed."""
    return CloseSession(_reason(reason), estimate=estimate)


def deletion(reason: str | None, estimate: TokenEstimator) -> DeleteSession:
    """Check the reason before the session is deleted."""
    return DeleteSession(_reason(reason), estimate=estimate)


def _reason(reason: str | None) -> str | None:
    return None if reason is None else _if_text("reason", reason)


def _if_text(name: str, value: str) -> str:
    """Return checked text; the event that it is for refuses anything else."""
    return check_text(name, value) if isinstance(value, str) else value  # pyright: ignore[reportUnnecessaryIsInstance]


def events(
    core: Core,
    estimate: TokenEstimator,
    given: tuple[Event | Message | dict[str, Any], ...],
    idempotency_key: str | None,
    fence: TurnFence | None = None,
) -> RecordEvents | RecordTogether:
    """Check events with a stored type, and messages among them."""
    recorded = tuple([None if _is_message(each) else cast("Event", each) for each in given])
    _check_events([event for event in recorded if event is not None])
    values = tuple([value for event in recorded if event is not None for value in values_in(event)])
    if None not in recorded and not values:
        return RecordEvents(cast("tuple[Event, ...]", recorded))
    from eventlog.session.together import RecordTogether

    messages = [
        _among_events(core.session, cast("Any", each), place, idempotency_key)
        for place, each in enumerate(given)
        if recorded[place] is None
    ]
    appends = append(core, estimate, messages, None, fence) if messages else None
    return RecordTogether(recorded, appends, values)


def _is_message(given: object) -> bool:
    return isinstance(given, (Message, dict))


def _among_events(
    session: str, given: Message | dict[str, Any], place: int, key: str | None
) -> Message:
    """Return a message with an id that follows from the key, unless it has one of its own."""
    message = as_message(given, index=place)
    if key is None or "id" in message.model_fields_set:
        return message
    derived = format_id(derived_id(session, check_text("idempotency_key", key), place))
    return message.model_copy(update={"id": derived})


def _check_events(events: Sequence[Event]) -> None:
    for event in events:
        if not isinstance(event, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(
                f"{shown(event)} is neither an event nor a message; build an event with a subclass "
                "of eventlog.Event"
            )
        if "event_type" not in type(event).__dict__:  # It would be read back as its parent.
            raise InvalidArgument(
                f"{type(event).__name__} has no event type of its own; define the class "
                "with type='acme.something'"
            )


def expected_version(expected: Expected) -> Expected:
    """Check the version that a caller expects."""
    is_version = type(expected) is int and 0 <= expected <= LARGEST_COUNT
    if expected is not ANY and not is_version:
        raise InvalidArgument(
            f"expected is {shown(expected)}; it must be a version, 0 or more, or eventlog.ANY"
        )
    return expected


def task(kind: str, payload: dict[str, Any] | None) -> QueueTask:
    """Check the kind of a task and its payload."""
    kind = check_text("kind", kind, longest=KEY_CHARACTERS)
    if "." not in kind:
        raise InvalidArgument(
            f"task kind {kind!r}: use a prefix of your own, such as 'acme.{kind}'"
        )
    from eventlog.session.tasks.commands import (
        QueueTask,  # Imported here: workers need the module, most sessions do not.
    )

    return QueueTask(kind, {} if payload is None else checked_object("payload", payload))


def retry(session: str, subject: str, reason: str | None) -> RetryTask:
    """Build the retry of an archive, named by its id, or of any task, named by its own."""
    from eventlog.session.tasks.commands import RetryTask

    return RetryTask(**_named(session, subject), reason=_reason(reason))


def abandon(session: str, subject: str, reason: str | None) -> AbandonTask:
    """Build the abandonment of an archive, named by its id, or of any task, named by its own."""
    from eventlog.session.tasks.commands import AbandonTask

    return AbandonTask(**_named(session, subject), reason=_reason(reason))


def _named(session: str, subject: str) -> dict[str, Any]:
    index = archive_index(check_text("archive_id", subject))
    if index is not None:
        return {"archive": index}
    try:
        return {"task_id": format_id(parse_id(subject))}
    except InvalidArgument:
        raise ArchiveNotFound(session, subject, None) from None
