"""What an event says, in one line for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, cast

from eventlog.cli.output import counted, one_line
from eventlog.errors import CorruptError
from eventlog.recorded import Recorded
from eventlog.session.commit import archive_id

__all__ = ["gist", "message_gist"]

GIST_LENGTH: Final = 110


def gist(recorded: Recorded) -> str:
    """Return the gist of an event; of one that cannot be read here, why it cannot."""
    try:
        event: Any = recorded.event
    except CorruptError as error:
        return one_line(f"unreadable: {error}", GIST_LENGTH)
    describe = _GISTS.get(recorded.type)
    text = _fields(event) if describe is None else describe(event)
    return one_line(text, GIST_LENGTH)


def message_gist(message: dict[str, Any]) -> str:
    """Return who says what in a stored message."""
    said = [_part_gist(part) for part in message["parts"]]
    return f"{message['role']}: {' · '.join(text for text in said if text)}"


def _part_gist(part: dict[str, Any]) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return one_line(text, GIST_LENGTH)
        case {"type": "tool", "tool_output": str(output)}:
            return f"{_tool_name(part)} ← {one_line(output, GIST_LENGTH)}"
        case {"type": "tool"}:
            return f"{_tool_name(part)}({_arguments(part.get('tool_input'))})"
        case _:
            return f"[{part.get('type')}]"


def _tool_name(part: dict[str, Any]) -> str:
    return part.get("tool_name") or part.get("tool_id") or "tool"


def _arguments(given: Any) -> str:
    fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    return ", ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False), 40)


def _fields(event: Any) -> str:
    """Say what is set of an event that has no line of its own."""
    fields = {
        name: value
        for name, value in event.model_dump(mode="json").items()
        if name != "task_id" and value not in (None, "", [], {})
    }
    return _arguments(fields)


def _prepared(event: Any) -> str:
    kept = f"; live stay {event.retained_count}" if event.retained_count else ""
    return f"{archive_id(event.archive)} takes {counted(event.message_count, 'message')}{kept}"


def _claimed(event: Any) -> str:
    return f"attempt {event.attempt} by {event.worker} (process {event.owner['pid']})"


def _finalized(event: Any) -> str:
    return f"{archive_id(event.archive)} has its overview: {event.abstract}"


def _reason(event: Any) -> str:
    return event.reason or ""


def _error(event: Any) -> str:
    return str(event.error)


_GISTS: Final[dict[str, Callable[[Any], str]]] = {
    "message_appended": lambda event: message_gist(event.message),
    "tool_result_recorded": lambda event: f"{event.tool_id} {event.status}: {event.output}",
    "commit_prepared": _prepared,
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
