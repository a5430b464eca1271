"""Event folders of OpenHands.

Each event is a file named by its number. Actions of the user and of the agent become messages and
calls; an observation is the result of the action that it names as its cause. A missing number is a
gap. If the events are in a folder ``events``, the folder above it names the session.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange import tool_parts
from eventlog.exchange.conversation import Conversation, Entry, conversation
from eventlog.exchange.mending import mended, read_json
from eventlog.session.chat.format import Fields, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.exchange.notes import Notes

__all__ = ["is_event_folder", "read_folder"]

FORMAT: Final = "openhands"

_EVENT_FILE: Final = re.compile(r"(\d{1,9})\.json", re.ASCII)
_SPOKEN: Final = ("message", "finish", "system")

EVENT_BYTES: Final = 64 * 1024 * 1024
"""The largest event file that is read, in bytes."""


def is_event_folder(path: Path) -> bool:
    """Return whether a folder, or its subfolder ``events``, holds numbered events."""
    return _events_in(path) is not None


def _events_in(path: Path) -> Path | None:
    for folder in (path, path / "events"):
        if (folder / "messages.jsonl").exists():
            return None
        try:
            if any(_EVENT_FILE.fullmatch(entry.name) for entry in folder.iterdir()):
                return folder
        except OSError:
            continue
    return None


def read_folder(path: Path, notes: Notes) -> Iterator[Conversation]:
    """Yield the conversation of an event folder; raises as the readers of files do."""
    folder = _events_in(path)
    if folder is None:
        return
    events: dict[int, Path] = {}
    for entry in folder.iterdir():
        number = _EVENT_FILE.fullmatch(entry.name)
        if number is not None and entry.is_file() and not entry.is_symlink():
            events[int(number[1])] = entry
    _note_gaps(sorted(events), notes)
    name = (folder.parent if folder.name == "events" else folder).resolve().name
    entries = [
        Entry(number, value)
        for number in sorted(events)
        if (value := _event(events[number], number, notes)) is not None
    ]
    reader = _Reader()
    found = conversation(name, entries, 1, notes, reader.fields, format=FORMAT)
    yield found._replace(findings=tuple(notes.findings))


def _note_gaps(numbers: list[int], notes: Notes) -> None:
    for before, after in pairwise(numbers):
        if after > before + 1:
            detail = f"events {before + 1} to {after - 1} are missing"
            notes.tell("gap", after, detail, "the events that exist are imported")


def _event(path: Path, number: int, notes: Notes) -> Any:
    if path.stat().st_size > EVENT_BYTES:
        error = InvalidMessage(f"{path.name} has more than {EVENT_BYTES:,} bytes", line=number)
        notes.drop("too_large", error, path.name.encode())
        return None
    raw = path.read_bytes()
    try:
        value, replaced = mended(read_json(raw.decode()))
    except (ValueError, RecursionError) as error:
        notes.drop("not_json", InvalidMessage(f"{path.name}: {error}", line=number), raw)
        return None
    if replaced:
        detail = f"{path.name}: {', '.join(replaced[:5])} cannot be stored as it is"
        notes.tell("replaced", number, detail, "written as text", raw)
    return value


class _Reader:
    """Maps the number of an action to the id of its call."""

    def __init__(self) -> None:
        self._calls: dict[Any, tuple[str, str]] = {}

    def fields(self, event: Any) -> Fields | None:
        if not is_object(event):
            raise InvalidMessage("an event must be a JSON object")
        rest = {
            name: value for name, value in event.items() if name not in ("timestamp", "content")
        }
        made = self._action(event) if "action" in event else self._observation(event)
        if made is None:
            return None
        time = written_time(event.get("timestamp"))
        made |= {"created_at": time} if time else {}
        return {**made, "chat_source": {"format": FORMAT, **rest}}

    def _action(self, event: Fields) -> Fields | None:
        kind, given = event["action"], event.get("args")
        arguments = given if is_object(given) else {}
        if kind in _SPOKEN:
            text = (
                arguments.get("content") or arguments.get("final_thought") or event.get("message")
            )
            role = "user" if event.get("source") == "user" else "assistant"
            role = "system" if kind == "system" else role
            return {"role": role, "parts": [{"type": "text", "text": str(text or "")}]}
        metadata = event.get("tool_call_metadata")
        named = metadata if is_object(metadata) else {}
        tool_id = str(named.get("tool_call_id") or f"event-{event.get('id')}")
        name = str(named.get("function_name") or kind)
        self._calls[event.get("id")] = tool_id, name
        thought = arguments.get("thought")
        said = [{"type": "text", "text": thought}] if isinstance(thought, str) and thought else []
        return {"role": "assistant", "parts": [*said, tool_parts.call(tool_id, name, arguments)]}

    def _observation(self, event: Fields) -> Fields | None:
        kind = event.get("observation")
        if not isinstance(kind, str):
            raise InvalidMessage("an event needs an 'action' or an 'observation'", field="action")
        cause = event.get("cause")
        if cause not in self._calls:
            return None if kind in ("agent_state_changed", "null") else _told(event)
        tool_id, name = self._calls[cause]
        extras = event.get("extras")
        code: Any = extras.get("metadata") if is_object(extras) else None
        failed = kind == "error" or (is_object(code) and code.get("exit_code") not in (0, None, -1))
        part = tool_parts.result(tool_id, name, event.get("content") or "", failed=failed)
        return {"role": "tool", "parts": [part]}


def _told(event: Fields) -> Fields:
    text = str(event.get("content") or event.get("message") or "")
    return {"role": "user", "parts": [{"type": "text", "text": text}]}
