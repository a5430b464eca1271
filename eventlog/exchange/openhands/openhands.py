"""Event folders of OpenHands.

Each event is a file named by its number. Actions of the user and of the agent become messages and
calls; an observation is the result of the action that it names as its cause. A missing number is a
gap. If the events are in a folder ``events``, the folder above it names the session.
"""

from __future__ import annotations

import errno
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange import tool_parts
from eventlog.exchange.conversation import Conversation, Entry, conversation, session_id_in
from eventlog.exchange.mending import UNREAD, read_value
from eventlog.filesystem import REFUSED, LocalFiles
from eventlog.session.chat.format import Fields, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventlog.exchange.notes import Notes
    from eventlog.filesystem import FileTree

__all__ = ["is_event_folder", "read_folder"]

FORMAT: Final = "openhands"

_EVENT_FILE: Final = re.compile(r"(\d{1,9})\.json", re.ASCII)
_SPOKEN: Final = ("message", "finish", "system")

EVENT_BYTES: Final = 64 * 1024 * 1024
"""The largest event file that is read, in bytes."""


def is_event_folder(path: Path) -> bool:
    """Return whether a folder, or its subfolder ``events``, holds numbered events."""
    return _events_in(path) is not None


def _events_in(path: Path) -> str | None:
    """Return the folder with the events, by its path below the one that was named; None if none."""
    files = LocalFiles().under(str(path))
    for folder in ("", "events"):
        try:
            names = files.names(folder)
        except OSError:
            continue
        if "messages.jsonl" in names:
            return None
        if any(_EVENT_FILE.fullmatch(name) for name in names):
            return folder
    return None


def read_folder(path: Path, notes: Notes) -> Iterator[Conversation]:
    """Yield the conversation of an event folder; raises as the readers of files do."""
    folder = _events_in(path)
    if folder is None:
        return
    files = LocalFiles(largest=EVENT_BYTES).under(str(path))
    inside = f"{folder}/" if folder else ""
    events = {
        int(found[1]): f"{inside}{name}"
        for name in files.names(folder)
        if (found := _EVENT_FILE.fullmatch(name)) is not None
    }
    _note_gaps(sorted(events), notes)
    named = path.resolve()
    name = named.parent.name if not folder and named.name == "events" else named.name
    entries = list(_entries(files, events, notes))
    reader = _Reader()
    read = conversation(
        session_id_in(name, None, notes), entries, 1, notes, reader.fields, format=FORMAT
    )
    yield read._replace(findings=tuple(notes.findings))


def _entries(files: FileTree, events: dict[int, str], notes: Notes) -> Iterator[Entry]:
    """Yield the events that can be read, in the order of their numbers."""
    left = notes.most
    for number in sorted(events):
        raw = _read(files, events[number], number, notes)
        left -= len(raw or b"")
        if left < 0:
            raise InvalidMessage(
                f"the folder has more than {notes.most:,} bytes, which is the limit (--max-bytes)"
            )
        if raw is None:
            continue
        value = read_value(raw, events[number].rpartition("/")[2], number, notes)
        if value is not UNREAD:
            yield Entry(number, value)


def _note_gaps(numbers: list[int], notes: Notes) -> None:
    for before, after in pairwise(numbers):
        if after > before + 1:
            detail = f"events {before + 1} to {after - 1} are missing"
            notes.tell("gap", after, detail, "the events that exist are imported")


def _read(files: FileTree, path: str, number: int, notes: Notes) -> bytes | None:
    """Read the file of an event; drop what is no regular file, or too large."""
    name = path.rpartition("/")[2]
    try:
        return files.read(path)
    except OSError as error:
        if error.errno not in REFUSED | {errno.EISDIR}:
            raise
        kind = "too_large" if error.errno == errno.EFBIG else "not_a_file"
        notes.drop(kind, InvalidMessage(f"{name}: {error.strerror}", line=number), name.encode())
        return None


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
