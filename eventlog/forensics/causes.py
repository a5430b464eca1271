"""Why an event came about: what caused it, and what it caused in turn.

A cause is named by the event's metadata (``causation_id``), or follows from what it is about: the
end of a lease from its beginning, a result from its call, an archive's overview from its commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.errors import EventLogError
from eventlog.forensics.as_of import checked_version
from eventlog.recorded import Recorded
from eventlog.session.parts import is_plain, readings_of

if TYPE_CHECKING:
    from eventlog.forensics.past import Past
    from eventlog.session.message_data import MessageData

__all__ = ["Cause", "why"]


class Cause(NamedTuple):
    """An event in a chain or tree of causes."""

    version: int
    event: Recorded
    depth: int
    """How many steps it is from where the chain or tree begins, which has 0."""
    reason: str
    """How it follows from the one before it in the chain, or above it in the tree."""
    outside: str | None = None
    """The causation id of an event that is not in this session."""


class _Link(NamedTuple):
    cause: int | None
    reason: str
    outside: str | None = None


def why(past: Past, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
    """Return an event and what led to it, the nearest cause first.

    With ``tree``, the event and all that it led to, each followed by what it led to itself. Raises
    `InvalidArgument` for a version that the session has not reached.
    """
    version = max(1, checked_version(past, version))
    links = _links(past, past.head if tree else version)
    return _down(past, version, links) if tree else _up(past, version, links)


def _up(past: Past, version: int, links: dict[int, _Link]) -> tuple[Cause, ...]:
    causes: list[Cause] = []
    reason, at = "", version
    while True:
        link = links[at]
        causes.append(Cause(at, Recorded(past.record(at)), len(causes), reason, link.outside))
        if link.cause is None:
            return tuple(causes)
        reason, at = link.reason, link.cause


def _down(past: Past, version: int, links: dict[int, _Link]) -> tuple[Cause, ...]:
    effects: dict[int, list[int]] = {}
    for at, link in links.items():
        if link.cause is not None:
            effects.setdefault(link.cause, []).append(at)
    found: list[Cause] = []
    left = [(version, 0)]
    while left:
        at, depth = left.pop()
        link = links[at]
        reason = link.reason if depth else ""
        found.append(Cause(at, Recorded(past.record(at)), depth, reason, link.outside))
        left += [(effect, depth + 1) for effect in reversed(effects.get(at, []))]
    return tuple(found)


def _links(past: Past, until: int) -> dict[int, _Link]:
    """Return the cause of each event up to a version; it always has an earlier version."""
    known = _Known()
    return {record.version: known.link(Recorded(record)) for record in past.records(0, until)}


class _Known:
    """What the events so far were about."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._tasks: dict[str, int] = {}
        """The last event of each task."""
        self._messages: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        """The last message that made each call."""

    def link(self, recorded: Recorded) -> _Link:
        """Return why an event came about, and take note of it."""
        try:
            event: Any = recorded.event
        except EventLogError:
            event = None  # Of an application's type; its metadata can be read all the same.
        link = self._named(recorded) or self._derived(recorded, event)
        self._note(recorded, event)
        return link

    def _named(self, recorded: Recorded) -> _Link | None:
        try:
            cause = recorded.metadata.causation_id
        except EventLogError:
            return None
        if cause is None:
            return None
        version = self._versions.get(cause)
        if version is None:
            return _Link(None, "", cause)
        return _Link(version, "its causation id")

    def _derived(self, recorded: Recorded, event: Any) -> _Link:
        task = getattr(event, "task_id", None)
        if isinstance(task, str) and task in self._tasks:
            return _Link(self._tasks[task], "the step of the task before it")
        if recorded.type == "tool_result_recorded" and event is not None:
            version = self._messages.get(event.message_id)
            if version is not None:
                return _Link(version, f"the message that made the call {event.tool_id}")
        if recorded.type == "message_appended" and event is not None:
            return self._answered(event.message)
        return _Link(None, "")

    def _answered(self, message: MessageData) -> _Link:
        """Return the message that made a call which a message answers."""
        if not is_plain(message):
            for found in readings_of(message):
                if found.call is None and found.result is not None:
                    version = self._calls.get(found.result.id)
                    if version is not None:
                        return _Link(version, f"the message that made the call {found.result.id}")
        return _Link(None, "")

    def _note(self, recorded: Recorded, event: Any) -> None:
        version = recorded.version
        self._versions[recorded.event_id] = version
        task = getattr(event, "task_id", None)
        if isinstance(task, str):
            self._tasks[task] = version
        if recorded.type == "message_appended" and event is not None:
            self._messages[event.message["id"]] = version
            if not is_plain(event.message):
                made = [found.call.id for found in readings_of(event.message) if found.call]
                self._calls.update((call, version) for call in made)
        elif recorded.type == "archive_finalized" and event is not None:
            for follow_up in event.follow_ups:
                self._tasks[follow_up["task_id"]] = version
