"""Predicates that ship with `bisect`: the promises of the library, and what often goes wrong.

Each is a fold of its own: it is shown every event with the picture after it, in order, and says what
is wrong as soon as something is. They trust the events, not the library's state, where they can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from eventlog.session.commit import archive_id
from eventlog.session.folding import apply
from eventlog.session.parts import answerable, readings_of
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.session.tasks.machine import FINALISE, OPEN_STATES
from eventlog.session.version_ranges import ascending, contains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.forensics.picture import Picture
    from eventlog.recorded import Recorded
    from eventlog.session.events import CommitPrepared, MessageAppended, ToolResultRecorded
    from eventlog.session.message_data import MessageData
    from eventlog.session.version_ranges import VersionRange
    from eventlog.session.withdrawals.events import MessagesWithdrawn

__all__ = ["PREDICATES", "Predicate", "quick_predicates"]

JUMP: Final = 4_000
"""Tokens that one event adds to what is live, from which on it is a jump."""


class Predicate(Protocol):
    """Says what is wrong after an event, or nothing."""

    def __call__(self, recorded: Recorded, picture: Picture, /) -> str: ...


class _Live:
    """The live messages with their versions, as they were before an event.

    Most events add a message or none. So what left is looked for where their number is not what the
    event makes it, and after every commit; all of them are not compared each time.
    """

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def gone(self, recorded: Recorded, picture: Picture) -> dict[str, int]:
        """Return those that are not live any more, and take over those that are."""
        known, live = self.known, picture.versions
        if recorded.type == "message_appended" and _was_folded(recorded, picture):
            id_ = _message(recorded)["id"]
            if id_ in live:
                known[id_] = live[id_]
        if len(known) == len(live) and recorded.type != "commit_prepared":
            return {}
        self.known = dict(live)
        return {id_: version for id_, version in known.items() if id_ not in live}


class _Conservation:
    """P1: a message leaves the live ones only into the archive of a commit that takes it, or by a
    command that withdraws it."""

    def __init__(self) -> None:
        self._live = _Live()

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        gone = self._live.gone(recorded, picture)
        if recorded.type == "message_appended" and _was_folded(recorded, picture):
            id_ = _message(recorded)["id"]
            if id_ not in picture.versions:
                return f"message {id_} was recorded and is not live"
        if not gone:
            return ""
        if recorded.type == "messages_withdrawn":
            taken = ascending(cast("MessagesWithdrawn", recorded.event).ranges)
        elif recorded.type == "commit_prepared":
            taken = ascending(cast("CommitPrepared", recorded.event).takes)
        else:
            return f"{_listed(gone)} left the live messages by a {recorded.type}"
        lost = [id_ for id_, version in gone.items() if not contains(taken, version)]
        where = "is in no archive" if recorded.type == "commit_prepared" else "was not withdrawn"
        return f"{_listed(lost)} left the live messages, and {where}" if lost else ""


class _OnePlace:
    """P2: no message is both live and archived, unless its commit retained it."""

    def __init__(self) -> None:
        self._live = _Live()
        self._archived: set[str] = set()

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        before, live = self._live.known, picture.versions
        self._live.gone(recorded, picture)
        if recorded.type == "message_appended" and _was_folded(recorded, picture):
            id_ = _message(recorded)["id"]
            return f"message {id_} is archived, and live again" if id_ in self._archived else ""
        if recorded.type != "commit_prepared" or not _was_folded(recorded, picture):
            return ""
        event = cast("CommitPrepared", recorded.event)
        taken, retained = ascending(event.takes), ascending(event.retains)
        archived = {id_ for id_, version in before.items() if contains(taken, version)}
        self._archived |= archived
        both = [id_ for id_ in archived & live.keys() if not contains(retained, live[id_])]
        return f"{_listed(both)} is archived, and still live" if both else ""


class _Repeatable:
    """P3: folding record by record, and from a snapshot, comes to the same bytes."""

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._fold = SessionFold()
        self._state = SessionState("")

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        state = self._state
        if not state.session_id:
            state.session_id = recorded.stream
        apply(state, recorded)
        if recorded.version % self._every:
            return ""
        dumped = self._fold.dump(state)
        if dumped != self._fold.dump(picture.session):
            return "two folds of the same records come to other states"
        self._state = self._fold.load(dumped)
        if self._fold.dump(self._state) != dumped:
            return "the state is not what its snapshot says"
        return ""


def _overview_in_time(recorded: Recorded, picture: Picture) -> str:
    """P4: an overview is shown only after its archive was finalised."""
    latest = picture.session.overview
    if latest is None:
        return ""
    task = picture.archives.get(archive_id(latest.archive))
    if task is None or task["state"] != "completed":
        return f"the overview of archive {latest.archive} is shown, which is not finalised"
    return ""


class _InOrder:
    """P5: archives end in order, a task has one owner at a time, and a late one changes nothing."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, Any]] = {}
        self._fences: dict[str, tuple[int, int]] = {}
        """Of each running task: the version of its claim, and when that lapses."""

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        before, self._tasks = self._tasks, dict(picture.tasks)
        event: Any = recorded.event if recorded.type in _OF_TASKS else None
        task_id = getattr(event, "task_id", None)
        if task_id is None or not _was_folded(recorded, picture):
            return ""
        held = self._fences.get(task_id)
        fence = getattr(event, "fence", None)
        if held is not None and fence is not None and fence != held[0]:
            return (
                f"an owner of the claim at version {fence} wrote, version {held[0]} holds the task"
            )
        if recorded.type == "task_claimed":
            self._fences[task_id] = (recorded.version, event.lease_until)
            if held is not None and held[1] > recorded.record.time:
                return f"{event.worker} claimed the task {task_id} while its lease had not lapsed"
        elif recorded.type == "lease_renewed" and held is not None:
            self._fences[task_id] = (held[0], event.lease_until)
        elif recorded.type not in ("step_completed", "lease_renewed"):
            self._fences.pop(task_id, None)
        if recorded.type == "archive_finalized":
            return _overtaken(before, event.archive)
        return ""


def _overtaken(tasks: dict[str, dict[str, Any]], index: int) -> str:
    """Say which earlier archive of those is still to be finalised."""
    name = f"archive_{index:03d}"
    for task in tasks.values():
        is_earlier = task["kind"] == FINALISE and (task["archive_id"] or "") < name
        if (
            is_earlier
            and len(task["archive_id"] or "") == len(name)
            and task["state"] in OPEN_STATES
        ):
            return f"{name} was finalised before {task['archive_id']}"
    return ""


class _Attempts:
    """P6: each claim counts as an attempt, whatever became of the one before."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        type_ = recorded.type
        if type_ not in ("task_claimed", "task_released", "retry_requested"):
            return ""
        event: Any = recorded.event
        before = self._attempts.get(event.task_id, 0)
        if type_ == "retry_requested":
            self._attempts[event.task_id] = 0
        elif type_ == "task_released":
            self._attempts[event.task_id] = max(0, before - 1)
        else:
            self._attempts[event.task_id] = event.attempt
            if event.attempt != before + 1:
                return (
                    f"attempt {event.attempt} of the task {event.task_id} follows attempt {before}"
                )
        return ""


def _illegal_step(recorded: Recorded, picture: Picture) -> str:
    """P7: a step that no machine has, found in the history."""
    findings = picture.session.findings
    return findings[-1][1] if findings and findings[-1][0] == recorded.version else ""


class _TokenJump:
    """An event that makes what is live much longer."""

    def __init__(self) -> None:
        self._tokens = 0

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        before, self._tokens = self._tokens, picture.session.window.tokens
        added = self._tokens - before
        return f"it adds {added:,} tokens to {before:,}" if added >= JUMP else ""


class _DoubledIds:
    """A message whose id an earlier one has that was not withdrawn.

    A turn that is begun again withdraws its messages, and may append them again under their ids.
    """

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        """The first version of each id, without those that were withdrawn."""
        self._ids: list[tuple[int, str]] = []
        """The same by version, in order."""

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        if recorded.type == "messages_withdrawn":
            self._forget(cast("MessagesWithdrawn", recorded.event).ranges)
        if recorded.type != "message_appended":
            return ""
        id_ = _message(recorded)["id"]
        first = self._versions.setdefault(id_, recorded.version)
        if first != recorded.version:
            return f"message {id_} is already at version {first}"
        self._ids.append((first, id_))
        return ""

    def _forget(self, ranges: Sequence[VersionRange]) -> None:
        for first, last in ranges:
            start = bisect_left(self._ids, (first, ""))
            end = bisect_left(self._ids, (last + 1, ""))
            for _, id_ in self._ids[start:end]:
                del self._versions[id_]
            del self._ids[start:end]


class _Orphans:
    """A result without the call that it answers."""

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._of_messages: set[tuple[str, str]] = set()

    def __call__(self, recorded: Recorded, picture: Picture) -> str:
        if recorded.type == "tool_result_recorded":
            event = cast("ToolResultRecorded", recorded.event)
            if (event.message_id, event.tool_id) not in self._of_messages:
                return f"no message {event.message_id} made the call {event.tool_id}"
        if recorded.type != "message_appended":
            return ""
        data = _message(recorded)
        readings = readings_of(data)
        self._of_messages |= {(data["id"], tool_id) for _, tool_id, _ in answerable(readings)}
        self._calls |= {found.call.id for found in readings if found.call is not None}
        for found in readings:
            if (
                found.result is not None
                and found.call is None
                and found.result.id not in self._calls
            ):
                return (
                    f"message {data['id']} has a result of {found.result.id}, which nobody called"
                )
        return ""


def _first_error(recorded: Recorded, picture: Picture) -> str:
    """An event that says of an error: of an attempt, a lease, an archive, a turn, a run or a tool."""
    if recorded.type in _ERRORS or recorded.type == "model_called":
        event: Any = recorded.event
        return f"{recorded.type}: {event.error}" if event.error else ""
    if recorded.type == "turn_abandoned":
        event = recorded.event
        return f"turn {event.turn} was abandoned: {event.reason}"
    if recorded.type == "tool_result_recorded":
        event = recorded.event
        return f"{event.tool_id}: {event.output:.200}" if event.status == "error" else ""
    if recorded.type == "message_appended":
        for part in _message(recorded)["parts"]:
            if part.get("tool_status") == "error" or part.get("is_error") is True:
                return f"{part.get('tool_id', 'a tool')} ended in an error"
    return ""


def _first_retry(recorded: Recorded, picture: Picture) -> str:
    """An event by which something is tried again."""
    event: Any = recorded.event if recorded.type in ("task_claimed", "retry_requested") else None
    if recorded.type == "retry_requested":
        return f"new attempts were asked for: {event.reason or 'no reason given'}"
    if recorded.type == "task_claimed" and event.attempt > 1:
        return f"attempt {event.attempt} by {event.worker}"
    if recorded.type in ("turn_begun", "run_started"):
        begun: Any = recorded.event
        what = f"turn {begun.turn}" if recorded.type == "turn_begun" else f"run {begun.task_id}"
        return f"attempt {begun.attempt} of {what}" if begun.attempt > 1 else ""
    if recorded.type == "model_called":
        call: Any = recorded.event
        return f"try {call.number} of the call {call.call}" if call.number > 1 else ""
    return ""


_ERRORS: Final = frozenset(
    {
        *("attempt_failed", "archive_failed", "task_failed", "lease_expired"),
        *("turn_failed", "run_crashed", "run_failed"),
    }
)
_OF_TASKS: Final = frozenset(
    {
        *_ERRORS,
        "archive_abandoned",
        "archive_finalized",
        "lease_renewed",
        "retry_requested",
        "step_completed",
        "task_abandoned",
        "task_claimed",
        "task_completed",
        "task_released",
    }
)

PREDICATES: Final[dict[str, Callable[[], Predicate]]] = {
    "P1": _Conservation,
    "P2": _OnePlace,
    "P3": _Repeatable,
    "P4": lambda: _overview_in_time,
    "P5": _InOrder,
    "P6": _Attempts,
    "P7": lambda: _illegal_step,
    "token_jump": _TokenJump,
    "doubled_ids": _DoubledIds,
    "orphans": _Orphans,
    "first_error": lambda: _first_error,
    "first_retry": lambda: _first_retry,
}
"""By the names that `bisect` knows; each makes a predicate for one fold."""


def quick_predicates(every: int) -> dict[str, Predicate]:
    """Return a predicate of each name for one fold; those that look at the whole state look at it
    after each ``every``-th event."""
    return {name: make() for name, make in PREDICATES.items()} | {"P3": _Repeatable(every)}


def _was_folded(recorded: Recorded, picture: Picture) -> bool:
    """Return whether the machines allowed an event; what they do not allow changes nothing."""
    findings = picture.session.findings
    return not findings or findings[-1][0] != recorded.version


def _message(recorded: Recorded) -> MessageData:
    return cast("MessageAppended", recorded.event).message


def _listed(ids: Any) -> str:
    names = list(ids)
    return f"message {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
