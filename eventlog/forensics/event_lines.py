"""One line for people about an event, a message, or a part of one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from eventlog.clock import format_time
from eventlog.errors import CorruptError
from eventlog.recorded import Recorded
from eventlog.session.commit import archive_id
from eventlog.session.parts import Call, Media, Reading, readings_of
from eventlog.visible_text import counted, one_line

__all__ = [
    "EVENT_COLUMNS",
    "actor_of",
    "call_gist",
    "event_cells",
    "gist",
    "media_gist",
    "message_gist",
    "time_cell",
    "tokens_of",
]

GIST_LENGTH: Final = 110


class Lengths(NamedTuple):
    """How many characters are shown of a line, and of a value in it."""

    line: int
    value: int


BRIEF: Final = Lengths(GIST_LENGTH, 40)
WHOLE: Final = Lengths(sys.maxsize, sys.maxsize)

EVENT_COLUMNS: Final = ("version", "time (UTC)", "type", "actor", "tokens", "what")
"""The headings of `event_cells`; the last column has sentences."""


def event_cells(recorded: Recorded, *, full: bool = False) -> tuple[object, ...]:
    """Return an event as a row of the tables of events; with ``full`` nothing in it is cut."""
    return (
        recorded.version,
        time_cell(recorded),
        recorded.type,
        actor_of(recorded),
        tokens_of(recorded),
        gist(recorded, full=full),
    )


def actor_of(recorded: Recorded) -> str | None:
    """Return who caused an event, if that was recorded and can be read."""
    try:
        return recorded.metadata.actor
    except CorruptError:
        return None


def tokens_of(recorded: Recorded) -> int | None:
    """Return the tokens that an event records: the estimate for messages, what model calls cost.

    None if it records none, or cannot be read.
    """
    try:
        event: Any = recorded.event
    except CorruptError:
        return None
    usage = getattr(event, "usage", None)
    found = getattr(usage, "total_tokens", None) if usage else getattr(event, "tokens", None)
    return found if isinstance(found, int) else getattr(event, "estimated_tokens", None)


def time_cell(recorded: Recorded) -> str:
    """Return the time of an event as the tables of events show it: UTC, in milliseconds."""
    return recorded.time[:23].replace("T", " ")


def gist(recorded: Recorded, *, full: bool = False) -> str:
    """Return a line about an event, or why it cannot be read; with ``full`` nothing in it is cut."""
    lengths = WHOLE if full else BRIEF
    try:
        event: Any = recorded.event
    except CorruptError as error:
        return one_line(f"unreadable: {error}", lengths.line)
    if (say := _SAYING.get(recorded.type)) is not None:
        text = say(event, lengths)
    elif (describe := _GISTS.get(recorded.type)) is not None:
        text = describe(event)
    else:
        text = _fields(event, lengths)
    return one_line(text, lengths.line)


def message_gist(message: dict[str, Any], lengths: Lengths = BRIEF) -> str:
    """Return a stored message's role and, in short, its parts."""
    said = [gist for found in readings_of(message) if (gist := reading_gist(found, lengths))]
    return f"{message['role']}: {' · '.join(said)}"


def reading_gist(found: Reading, lengths: Lengths = BRIEF) -> str:
    """Return one line about a part: its text, call, result or medium."""
    length = lengths.line
    pieces = [one_line(found.said, length)] if found.said else []
    if found.result is not None and found.result.output is not None:
        name = found.result.name or found.result.id or "tool"
        pieces.append(f"{name} ← {one_line(found.result.output, length)}")
    elif found.call is not None:
        pieces.append(call_gist(found.call, lengths))
    elif found.result is not None:
        pieces.append(f"{found.result.name or found.result.id or 'tool'} ← no output")
    if found.beside or found.context is not None:
        pieces.append(one_line(f"[{found.label}] {found.beside}".rstrip(), length))
    pieces += map(media_gist, found.media)
    return " ".join(pieces)


def call_gist(call: Call, lengths: Lengths = BRIEF) -> str:
    """Return a call as ``name(argument=value)``."""
    found = call.input
    whole = found is None or isinstance(found, dict)
    given = cast("dict[str, Any] | None", found if whole else {"": found})
    return f"{call.name or call.id or 'tool'}({_arguments(given, lengths).removeprefix('=')})"


def media_gist(media: Media) -> str:
    """Return the name of an image, recording or file, with its size if the message contains it."""
    size = "" if media.size is None else f", {media.size:,} bytes"
    name = f" {one_line(media.name, 80)}" if media.name else ""
    return f"[{media.kind}{name}{size}]"


def _arguments(given: Any, lengths: Lengths) -> str:
    fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    return ", ".join(f"{name}={_value(value, lengths)}" for name, value in fields.items())


def _value(value: Any, lengths: Lengths) -> str:
    return one_line(json.dumps(value, ensure_ascii=False), lengths.value)


def _fields(event: Any, lengths: Lengths) -> str:
    """Return the fields that are set in an event of a type without a line in `_GISTS`."""
    fields = {
        name: value
        for name, value in event.model_dump(mode="json").items()
        if name != "task_id" and value not in (None, "", [], {})
    }
    return _arguments(fields, lengths)


def _prepared(event: Any) -> str:
    kept = f", retains {event.retained_count}" if event.retained_count else ""
    return f"{archive_id(event.archive)} takes {counted(event.message_count, 'message')}{kept}"


def _claimed(event: Any) -> str:
    return f"attempt {event.attempt} by {event.worker} (process {event.owner['pid']})"


def _finalized(event: Any) -> str:
    return f"{archive_id(event.archive)} has its overview: {event.abstract}"


def _reason(event: Any) -> str:
    return event.reason or ""


def _error(event: Any) -> str:
    return str(event.error)


def _given(event: Any) -> str:
    overview = (
        "" if event.overview_archive is None else f"{archive_id(event.overview_archive)} and "
    )
    return f"a model was given {overview}{counted(event.included, 'message')}"


def _forked(event: Any) -> str:
    changes = [
        f"{len(found)} {name}"
        for name in ("edited", "dropped", "inserted")
        if (found := getattr(event, name))
    ]
    changed = f", {', '.join(changes)}" if changes else ""
    return f"made of {event.origin} up to version {event.origin_version}{changed}"


def _appended(event: Any, lengths: Lengths) -> str:
    return message_gist(event.message, lengths)


def _chunk(event: Any, lengths: Lengths) -> str:
    said = message_gist({"role": f"chunk {event.sequence}", "parts": event.parts}, lengths)
    return said if event.parts else f"chunk {event.sequence}: the producer is alive"


def _ended(event: Any) -> str:
    return f"the message is whole after {counted(event.chunks, 'chunk')}"


def _interrupted(event: Any) -> str:
    return f"interrupted after {counted(event.chunks, 'chunk')}: {event.reason}"


def _enqueued(event: Any, lengths: Lengths) -> str:
    return f"waits for a run: {message_gist(event.message, lengths)}"


def _run_started(event: Any) -> str:
    again = ", a restart" if event.is_restart else ""
    on = f" on {event.provider}" if event.provider else ""
    return f"attempt {event.attempt}{on} by {event.supervisor}{again}"


def _run_crashed(event: Any) -> str:
    gone = "; its provider is gone" if event.provider_gone else ""
    return (
        f"attempt {event.attempt}: {event.error}{gone}; again at {format_time(event.next_run_at)}"
    )


def _model_called(event: Any) -> str:
    spent = event.usage.get("total_tokens") or sum(event.usage.values())
    cost = f", {counted(spent, 'token')}" if spent else ""
    again = "" if event.delay_seconds is None else f", again after {event.delay_seconds:g} s"
    error = f": {event.error}" if event.error else ""
    return f"{event.call}, try {event.number} {event.outcome}{cost}{again}{error}"


_SAYING: Final[dict[str, Callable[[Any, Lengths], str]]] = {
    "message_appended": _appended,
    "chunk_appended": _chunk,
    "message_enqueued": _enqueued,
}
"""Lines about the events that contain what somebody said: parts of it are cut one by one."""

_GISTS: Final[dict[str, Callable[[Any], str]]] = {
    "tool_result_recorded": lambda event: f"{event.tool_id} {event.status}: {event.output}",
    "message_begun": lambda event: f"{event.message['role']} begins {event.message['id']}",
    "result_kept": lambda event: f"{event.tool_id} {event.status}: {event.output}",
    "message_ended": _ended,
    "message_interrupted": _interrupted,
    "messages_withdrawn": lambda event: (
        f"{counted(event.count, 'message')}, {counted(event.tokens, 'token')}"
    ),
    "turn_begun": lambda event: f"{event.turn}, attempt {event.attempt}",
    "turn_renewed": lambda event: f"{event.turn}: its owner is alive",
    "turn_step_completed": lambda event: f"{event.turn}: {event.step} is recorded",
    "turn_completed": lambda event: event.turn,
    "turn_failed": lambda event: f"{event.turn}: {event.error}",
    "turn_cancelled": lambda event: f"{event.turn}: {event.error}",
    "turn_abandoned": lambda event: f"{event.turn}: {event.reason}",
    "run_started": _run_started,
    "run_crashed": _run_crashed,
    "run_released": _reason,
    "run_stop_requested": lambda event: f"somebody wants the run to stop: {_reason(event)}",
    "model_called": _model_called,
    "run_completed": lambda event: f"attempt {event.attempt}: the run is done",
    "run_cancelled": _reason,
    "run_failed": _error,
    "run_abandoned": _reason,
    "commit_prepared": _prepared,
    "context_given": _given,
    "session_forked": _forked,
    "commit_published": lambda _: "the archive may be finalised",
    "task_claimed": _claimed,
    "step_completed": lambda event: f"{event.step} is recorded",
    "archive_finalized": _finalized,
    "lease_renewed": lambda _: "the worker is alive",
    "lease_expired": _error,
    "attempt_failed": _error,
    "archive_failed": _error,
    "task_failed": _error,
    "task_released": _reason,
    "retry_requested": _reason,
    "archive_abandoned": _reason,
    "task_abandoned": _reason,
}
