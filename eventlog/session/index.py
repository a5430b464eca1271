"""The index entries of a session: look-ups across sessions that never scan the log (L14).

========================================= =====================================================
key                                       value
========================================= =====================================================
``session/{session}``                     what the session was created with, and how it ended
``workspace/{workspace}/{session}``       that the session belongs to the workspace
``owner/{owner}/{session}``               that it is the owner's
``task/{task id}``                        the whole task, as `eventlog.session.tasks.state.Task`
``archive/{session}/{index}``             the whole archive, as `eventlog.session.archive.Archive`
``blocked/{session}``                     that commits wait for an archive that failed for good (C5)
``finalizer/{name}/{session}``            that an overview of the session was made by it (F6)
``due/{kind}/{microseconds}/{task id}``   that the task can be moved from then on, and by whom
``stream/{microseconds}/{session}``       that a message is being written in the session, whose
                                          producer is looked at from then on, and the producers
``turn/{session}/{turn id}``              the whole turn, once it has ended, as
                                          `eventlog.session.turns.state.Turn`
``stale/{microseconds}/{session}``        that the open turn may be abandoned from then on
``run/{session}/{run id}``                the whole run, as `eventlog.session.runs.state.Run`
``idle/{microseconds}/{session}``         that the session is committed from then on, unless another
                                          message comes before (C8)
``event/{key}/{session}/{version}``       that the event has the key, which is one of its class (M14)
========================================= =====================================================

A session's id is written by `key_part`, so keys of ``a`` never meet those of ``a/b``. The key of an
event may have slashes of its own; those in its fields are escaped.

Of the inbound messages of a session, which are tasks, too, only the next has a ``due`` entry; that of
a running one has the lease of its turn.

Entries follow from the events alone, so they can be rebuilt (`eventlog doctor --rebuild-index`) and
compared. Of the ordered tasks of a session only the first has a ``due`` entry: a blocked session
has none, and costs a worker nothing (F1). Neither do tasks of kinds that the worker cannot do:
their keys are in other ranges.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, get_args

import pydantic_core
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.codec import keys_of
from eventlog.errors import CorruptLog
from eventlog.events import is_builtin_type
from eventlog.identifiers import from_key_part, key_part
from eventlog.session.archive import Archive, archive_of
from eventlog.session.commit_due import idle_from
from eventlog.session.events import CommitPrepared, MessageAppended
from eventlog.session.folding import apply
from eventlog.session.runs.machine import INBOUND, RUN_MACHINE, RunState
from eventlog.session.runs.state import Run, advanced, enqueued_run
from eventlog.session.streams.machine import STREAM_MACHINE
from eventlog.session.tasks.events import (
    ArchiveFinalized,
    FollowUp,
    OwnerData,
    TaskEvent,
    TaskQueued,
    TokenUsage,
)
from eventlog.session.tasks.machine import POLLER_VIEW, TASK_MACHINE
from eventlog.session.tasks.state import (
    Task,
    advance,
    finalising_task,
    follow_up_task,
    queued_message,
    queued_task,
)
from eventlog.session.turns.folding import ended
from eventlog.session.turns.machine import ENDED_BY, TURN_MACHINE
from eventlog.session.turns.state import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventlog.recorded import Recorded
    from eventlog.records import IndexEntry, Record
    from eventlog.session.runs.events import MessageEnqueued
    from eventlog.session.state import SessionState
    from eventlog.session.turns.events import TurnEvent

__all__ = [
    "EVENTS",
    "INDEXED_TYPES",
    "OWNERS",
    "SHARED_PREFIXES",
    "STREAMS",
    "EventKey",
    "SessionEntry",
    "StreamEntry",
    "archive_key",
    "archive_prefix",
    "blocked_key",
    "changes_index",
    "due_key",
    "due_prefix",
    "event_entries",
    "event_range",
    "finalizer_of_key",
    "finalizer_prefix",
    "idle_key",
    "idle_range",
    "index_changes",
    "keys_under",
    "may_change_index",
    "owner_and_session",
    "owner_prefix",
    "prepare_reading",
    "read_archive",
    "read_blocked",
    "read_event_key",
    "read_run",
    "read_session",
    "read_task",
    "read_turn",
    "run_prefix",
    "session_key",
    "session_of_entry",
    "session_of_idle_key",
    "session_of_stale_key",
    "stale_key",
    "stale_range",
    "stream_entry",
    "task_key",
    "time_of_due_key",
    "turn_key",
    "turn_prefix",
    "without_index_changes",
    "workspace_prefix",
]

SESSION_TYPES: Final = frozenset(
    {"session_created", "adoption_begun", "folder_adopted", "session_closed", "session_deleted"}
)
"""The event types that may change the entries of the session itself."""

STREAM_TYPES: Final = STREAM_MACHINE.events - {"chunk_appended", "result_kept"}
"""The event types that may change the entry of the messages that are being written: a chunk costs
no entry, so whoever finds one looks at the state, too."""

TURN_TYPES: Final = TURN_MACHINE.events - {"turn_step_completed"}
"""The event types that may change the entries of a session's turns."""

INDEXED_TYPES: Final = (
    TASK_MACHINE.events
    | SESSION_TYPES
    | TURN_TYPES
    | STREAM_TYPES
    | frozenset({"messages_withdrawn", "failed_archives_changed"})
)
"""The event types that may change an entry. A message may, too, in a session with an idle limit."""

_BELONGING_TYPES: Final = frozenset({"session_created", "adoption_begun", "folder_adopted"})
"""The event types after which the entries of the workspace and of the owner are written, too."""

_MESSAGE: Final = MessageAppended.event_type

SESSIONS: Final = "session/"
TASKS: Final = "task/"
DUE: Final = "due/"
IDLE: Final = "idle/"
STREAMS: Final = "stream/"
STALE: Final = "stale/"
TURNS: Final = "turn/"
RUNS: Final = "run/"
BLOCKED: Final = "blocked/"
FINALIZER: Final = "finalizer/"
EVENTS: Final = "event/"
SHARED_PREFIXES: Final = (
    "workspace/",
    "owner/",
    FINALIZER,
    TASKS,
    DUE,
    IDLE,
    STALE,
    STREAMS,
    EVENTS,
)
"""The prefixes of the keys that do not begin with their session."""


def keys_under(prefix: str) -> tuple[str, str]:
    """Return the range of the keys with a prefix, which must end with a slash."""
    return prefix, prefix[:-1] + chr(ord("/") + 1)


def session_key(session: str) -> str:
    return f"{SESSIONS}{key_part(session)}"


def blocked_key(session: str) -> str:
    return f"{BLOCKED}{key_part(session)}"


def workspace_prefix(workspace: str) -> str:
    """Return the prefix of the keys of a workspace's sessions.

    Workspaces are often paths, so a slash in one is escaped as in a URL: otherwise the entries of
    ``/home/ada/project`` would be among those of ``/home/ada``.
    """
    return f"workspace/{_without_slash(workspace)}/"


OWNERS: Final = "owner/"


def owner_prefix(owner: str) -> str:
    """Return the prefix of the keys of an owner's sessions; a slash in the name is escaped."""
    return f"{OWNERS}{_without_slash(owner)}/"


def owner_and_session(key: str) -> tuple[str, str]:
    """Return what a key under an owner's prefix names."""
    owner, _, session = key.removeprefix(OWNERS).partition("/")
    return owner.replace("%2F", "/").replace("%25", "%"), from_key_part(session)


def _without_slash(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def finalizer_prefix(name: str) -> str:
    """Return the prefix of the keys of the sessions that have an overview of this maker."""
    return f"{FINALIZER}{_without_slash(name)}/"


def finalizer_of_key(key: str) -> str:
    """Return the name in a key under `FINALIZER`."""
    return key.split("/")[1].replace("%2F", "/").replace("%25", "%")


def task_key(task_id: str) -> str:
    return f"{TASKS}{task_id}"


def archive_prefix(session: str) -> str:
    return f"archive/{key_part(session)}/"


def archive_key(session: str, index: int) -> str:
    return f"{archive_prefix(session)}{index:09d}"


@lru_cache
def due_prefix(kind: str) -> str:
    return f"{DUE}{_without_slash(kind)}/"


def due_key(kind: str, time: int, task_id: str = "") -> str:
    return f"{due_prefix(kind)}{time:017d}/{task_id}"


def time_of_due_key(key: str) -> int | None:
    """Return the time of a ``due/`` key in microseconds; None if the key is damaged."""
    parts = key.rsplit("/", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None


def idle_key(time: int, session: str = "") -> str:
    return f"{IDLE}{time:017d}/{key_part(session)}"


def turn_prefix(session: str) -> str:
    return f"{TURNS}{key_part(session)}/"


def turn_key(session: str, turn_id: str) -> str:
    return f"{turn_prefix(session)}{_without_slash(turn_id)}"


def run_prefix(session: str) -> str:
    return f"{RUNS}{key_part(session)}/"


def stale_key(time: int, session: str = "") -> str:
    return f"{STALE}{time:017d}/{key_part(session)}"


def stale_range(now: int) -> tuple[str, str]:
    """Return the range of the keys of the sessions whose open turn may be abandoned by ``now``."""
    return STALE, stale_key(now + 1)


def session_of_stale_key(key: str) -> str:
    """Return the session that the key of a stale turn is about."""
    return from_key_part(key.removeprefix(STALE).partition("/")[2])


def idle_range(now: int) -> tuple[str, str]:
    """Return the range of the keys of the sessions that are idle by ``now``."""
    return IDLE, idle_key(now + 1)


def session_of_entry(key: str, value: bytes) -> str | None:
    """Return the session that an entry is about; None if it cannot be read or is unknown."""
    family, _, rest = key.partition("/")
    match family:
        case "session" | "blocked":
            return from_key_part(rest)
        case "workspace" | "owner" | "finalizer" | "idle" | "stale" | "stream":
            return from_key_part(rest.partition("/")[2]) or None
        case "event":
            return read_event_key(key).session
        case "archive" | "turn" | "run":
            return from_key_part(rest.rpartition("/")[0]) or None
        case "task" | "due":
            return _session_in(value, "session_id" if family == "task" else "session")
        case _:
            return None


def _session_in(value: bytes, name: str) -> str | None:
    try:
        fields = pydantic_core.from_json(value)
    except ValueError:
        return None
    found = cast("dict[str, Any]", fields).get(name) if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def session_of_idle_key(key: str) -> str:
    """Return the session that an idle key is about."""
    return from_key_part(key.removeprefix(IDLE).partition("/")[2])


class EventKey(NamedTuple):
    """What an ``event/`` entry says."""

    key: str
    session: str | None
    version: int


def event_entries(record: Record) -> list[tuple[str, bytes]]:
    """Return the entries of a record's own index keys; they follow from its metadata alone."""
    if b'"keys"' not in record.metadata:
        return []
    place = f"{key_part(record.stream)}/{record.version:012d}"
    return [(f"{EVENTS}{key}/{place}", b"{}") for key in keys_of(record)]


def event_range(key: str, session: str) -> tuple[str, str]:
    """Return a range with the keys of one session's entries of an event's key.

    Entries of a longer key may be among them.
    """
    place = f"{EVENTS}{key}/{key_part(session)}/"
    return f"{place}0", f"{place}:"


def read_event_key(entry: str) -> EventKey:
    """Read the key of an ``event/`` entry; one that is damaged is of no session."""
    key, _, place = entry.removeprefix(EVENTS).rpartition("/")
    key, _, session = key.rpartition("/")
    if not key or not (place.isascii() and place.isdigit()):
        return EventKey(key, None, 0)
    return EventKey(key, from_key_part(session), int(place))


def changes_index(state: SessionState, record: Record) -> bool:
    """Return whether a record may change an entry of the session."""
    if b'"keys"' in record.metadata:
        return True
    type_ = record.type
    if type_ == _MESSAGE and state.auto_commit is None:  # Nearly all are; a call less for each.
        return False
    return may_change_index(state, type_, record.time)


def without_index_changes(
    state: SessionState, records: Sequence[Record], start: int
) -> Sequence[Record]:
    """Return as many records from a place on as certainly change no entry of the session.

    There are none if each message may change one, which `changes_index` is to be asked then.
    """
    end = start
    if state.auto_commit is None:
        for record in islice(records, start, None):
            if record.type != _MESSAGE or b'"keys"' in record.metadata:
                break
            end += 1
    return records[start:end]


def may_change_index(state: SessionState, type: str, time: int) -> bool:
    """Return whether a record of this type and time may change an entry of the session.

    A message does if the session has an idle limit: it moves the time at which that is reached.
    """
    if type in INDEXED_TYPES:
        return True
    policy = state.auto_commit
    if type != _MESSAGE or policy is None or policy.idle_seconds is None:
        return False
    idle = idle_from(state)
    return idle is None or idle != idle_from(state, last_message_at=time)


def index_changes(
    before: SessionState, recorded: Sequence[Recorded], after: SessionState
) -> tuple[IndexEntry, ...]:
    """Return the index entries that records change, given the states before and after them.

    Steps that a machine does not allow change nothing here, as they change nothing in the state.
    """
    if len(after.findings) > len(before.findings):
        illegal = {version for version, _ in after.findings[len(before.findings) :]}
        recorded = [entry for entry in recorded if entry.version not in illegal]
    changes: dict[str, bytes | None] = {}
    types = {entry.record.type for entry in recorded}
    if not types.isdisjoint(SESSION_TYPES):
        _index_session(changes, types, after)
    touched = _touched_tasks(before, recorded, after)
    for task in touched:
        changes[task_key(task.task_id)] = _json(task)
    _index_archives(changes, before, recorded)
    if not types.isdisjoint(ENDED_BY):
        _index_turns(changes, before, recorded, after)
    if not types.isdisjoint(RUN_MACHINE.events):
        _index_runs(changes, before, recorded, after)
    old = {**_due_entries(before, touched), **_timed_entries(before)}
    new = {**_due_entries(after, touched), **_timed_entries(after)}
    for key in old.keys() - new.keys():
        changes[key] = None
    for key, value in new.items():
        if old.get(key) != value:
            changes[key] = _json(value)
    for entry in recorded:
        changes.update(event_entries(entry.record))
    return tuple(changes.items())


def _json(value: Any) -> bytes:
    return pydantic_core.to_json(value)


def _index_session(changes: dict[str, bytes | None], types: set[str], after: SessionState) -> None:
    value = {"created_at": after.created_at, "status": after.status}
    changes[session_key(after.session_id)] = _json(value)
    if types.isdisjoint(_BELONGING_TYPES):
        return
    if after.workspace is not None:
        changes[workspace_prefix(after.workspace) + key_part(after.session_id)] = _json(value)
    if after.owner is not None:
        changes[owner_prefix(after.owner) + key_part(after.session_id)] = _json(value)


def _touched_tasks(
    before: SessionState, recorded: Sequence[Recorded], after: SessionState
) -> list[Task]:
    """Return the tasks that the records are about, in their state after them."""
    touched: dict[str, Task | None] = {}
    for entry in recorded:
        if entry.type not in TASK_MACHINE.events:
            continue
        event = cast("TaskEvent", entry.event)
        task = after.tasks.get(event.task_id)
        if task is None:  # It is settled, so the state no longer has it.
            task = touched.get(event.task_id) or before.tasks.get(event.task_id)
            task = _advanced(task, entry.record, event)
        touched[event.task_id] = task
        if type(event) is ArchiveFinalized:
            for follow_up in event.follow_ups:
                made = after.tasks.get(follow_up["task_id"])
                made = made or follow_up_task(entry.record, event.archive, follow_up)
                touched[follow_up["task_id"]] = made
    return [task for task in touched.values() if task is not None]


def _advanced(task: Task | None, record: Record, event: TaskEvent | CommitPrepared) -> Task | None:
    """Return the task after an event, which may be the one that began it."""
    if type(event) is CommitPrepared:
        return finalising_task(record, event)
    if type(event) is TaskQueued:
        return queued_task(record, event)
    if record.type == "message_enqueued":
        return queued_message(record, event.task_id)
    return task and (advance(task, record, cast("TaskEvent", event)) or task)


def _index_archives(
    changes: dict[str, bytes | None], before: SessionState, recorded: Sequence[Recorded]
) -> None:
    made: dict[int, Archive] = {}
    for entry in recorded:
        if not is_builtin_type(entry.type):
            continue  # An application's own: its class may be missing here.
        event = entry.event
        if type(event) is CommitPrepared:
            made[event.archive] = archive_of(entry.record, event)
        elif type(event) is ArchiveFinalized:
            known = made.get(event.archive) or before.archives.get(event.archive)
            if known is not None:
                finalized = replace(known, finalized=entry.version, covers=event.covers)
                made[event.archive] = finalized
            if event.finalizer:
                changes[finalizer_prefix(event.finalizer) + key_part(before.session_id)] = b"{}"
    for archive in made.values():
        changes[archive_key(before.session_id, archive.index)] = _json(archive)


def _index_turns(
    changes: dict[str, bytes | None],
    before: SessionState,
    recorded: Sequence[Recorded],
    after: SessionState,
) -> None:
    """Note the turns that records end, as each was right before its end."""
    state = before.copy()
    for entry in recorded:
        turn = state.turn
        if entry.type in ENDED_BY and turn is not None:
            end = ended(turn, entry.record, cast("TurnEvent", entry.event))
            changes[turn_key(after.session_id, turn.turn_id)] = _json(end)
        apply(state, entry)


def _index_runs(
    changes: dict[str, bytes | None],
    before: SessionState,
    recorded: Sequence[Recorded],
    after: SessionState,
) -> None:
    """Note the runs that records are about, in their state after them."""
    touched: dict[str, Run] = {}
    for entry in recorded:
        if entry.type not in RUN_MACHINE.events:
            continue
        event = cast("TaskEvent", entry.event)
        if entry.type == "message_enqueued":
            touched[event.task_id] = enqueued_run(entry.record, cast("MessageEnqueued", event))
            continue
        run = touched.get(event.task_id) or before.runs.get(event.task_id)
        if run is not None:
            touched[run.run_id] = advanced(run, entry.record, event) or run
    for run in touched.values():
        key = f"{run_prefix(after.session_id)}{run.run_id}"
        changes[key] = _json(after.runs.get(run.run_id) or run)


def _stale_entry(state: SessionState) -> dict[str, dict[str, Any]]:
    if state.turn is None or state.status != "open":
        return {}
    return {stale_key(state.turn.stale_at, state.session_id): {}}


def _due_entries(state: SessionState, touched: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Return the due entries of the lane's head and of the unordered tasks that were touched."""
    head = state.lane_head()
    tasks = [] if head is None else [head]
    for task in touched:
        current = state.tasks.get(task.task_id)
        is_open = current is not None and current.is_open
        if current is not None and is_open and not current.ordered and current.kind != INBOUND:
            tasks.append(current)
    entries = {due_key(task.kind, task.due_at, task.task_id): _due_value(task) for task in tasks}
    return {**entries, **_inbound_entry(state)} if state.runs else entries


def _inbound_entry(state: SessionState) -> dict[str, dict[str, Any]]:
    """Return the due entry of the next inbound message: while it runs, its turn's lease."""
    run = state.next_run()
    task = None if run is None else state.tasks.get(run.run_id)
    if run is None or task is None or state.status != "open":
        return {}
    if run.state != "running":
        return {due_key(INBOUND, run.due_at, run.run_id): _due_value(task)}
    turn = state.turn
    own = turn if turn is not None and turn.turn_id == run.run_id else None
    due = run.started_at if own is None else own.lease_until
    value = {**_due_value(task), "owner": None if own is None else own.owner}
    return {due_key(INBOUND, due, run.run_id): value}


def _idle_entry(state: SessionState) -> dict[str, dict[str, Any]]:
    time = idle_from(state)
    return {} if time is None else {idle_key(time, state.session_id): {}}


def _stream_entry(state: SessionState) -> dict[str, dict[str, Any]]:
    """Return the entry of the messages that are being written: one, whatever their number."""
    if not state.streams:
        return {}
    due = min(each.began_at + each.lease for each in state.streams.values())
    owners = {tuple(each.owner.values()): each.owner for each in state.streams.values()}
    return {f"{STREAMS}{due:017d}/{key_part(state.session_id)}": {"owners": list(owners.values())}}


def _blocked_entry(state: SessionState) -> dict[str, dict[str, Any]]:
    failed = state.blocking_failure() if state.status == "open" else None
    return {} if failed is None else {blocked_key(state.session_id): {"archive": failed.archive}}


def _timed_entries(state: SessionState) -> dict[str, dict[str, Any]]:
    """Return the entries that say what the session waits for."""
    if state.auto_commit is None and state.turn is None and not state.failed and not state.streams:
        return {}  # As it is with most.
    return {
        **_idle_entry(state),
        **_stale_entry(state),
        **_blocked_entry(state),
        **_stream_entry(state),
    }


def _due_value(task: Task) -> dict[str, Any]:
    return {
        "session": task.session_id,
        "state": task.state,
        "owner": task.owner,
        "fence": task.fence,
        "attempts": task.attempts,
    }


class StreamEntry(NamedTuple):
    """What a ``stream/`` entry says."""

    session: str
    due: int
    owners: list[OwnerData]


def stream_entry(key: str, value: bytes) -> StreamEntry:
    """Read a ``stream/`` entry; raise `CorruptLog` if it is damaged."""
    due, _, session = key.removeprefix(STREAMS).partition("/")
    try:
        owners = _owners_reader()(value)["owners"]
        return StreamEntry(from_key_part(session), int(due), owners)
    except ValueError as error:
        raise _damaged("stream", error) from error


def read_task(value: bytes) -> Task:
    """Read a ``task/`` entry; raise `CorruptLog` if it is damaged."""
    try:
        task = _task_reader()(value)
        if task.state not in POLLER_VIEW:
            raise ValueError(f"a task cannot be {task.state!r:.40}")
        if task.ordered and task.result is not None:
            _result_reader()(task.result)
    except ValueError as error:
        raise _damaged("task", error) from error
    return task


def read_archive(value: bytes) -> Archive:
    """Read an ``archive/`` entry; raise `CorruptLog` if it is damaged."""
    try:
        archive = _archive_reader()(value)
        versions = [version for span in archive.takes for version in span]
        if not all(0 <= version < 1 << 62 for version in (archive.index, *versions)):
            raise ValueError("it has a number beyond all versions")
    except ValueError as error:
        raise _damaged("archive", error) from error
    return archive


def read_turn(value: bytes) -> Turn:
    """Read a ``turn/`` entry; raise `CorruptLog` if it is damaged."""
    try:
        turn = _turn_reader()(value)
        if turn.state not in ENDED_BY.values():
            raise ValueError(f"a turn that ended cannot be {turn.state!r:.40}")
    except ValueError as error:
        raise _damaged("turn", error) from error
    return turn


def read_run(value: bytes) -> Run:
    """Read a ``run/`` entry; raise `CorruptLog` if it is damaged."""
    try:
        run = _run_reader()(value)
        if run.state not in get_args(RunState):
            raise ValueError(f"a run cannot be {run.state!r:.40}")
    except ValueError as error:
        raise _damaged("run", error) from error
    return run


class SessionEntry(NamedTuple):
    """What a ``session/`` entry says."""

    created_at: int
    status: str


def read_session(value: bytes) -> SessionEntry:
    """Read a ``session/`` entry; raise `CorruptLog` for what is none."""
    try:
        fields = pydantic_core.from_json(value)
        created_at, status = fields["created_at"], fields["status"]
        if type(created_at) is not int or type(status) is not str:
            raise ValueError(f"it says {created_at!r:.40} and {status!r:.40}")
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged("session", ValueError(str(error))) from error
    return SessionEntry(created_at, status)


def read_blocked(value: bytes) -> int:
    """Return the number of the failed archive in a ``blocked/`` entry; raise `CorruptLog`."""
    try:
        archive = pydantic_core.from_json(value)["archive"]
        if type(archive) is not int:
            raise ValueError(f"it says {archive!r:.40}")
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged("blocked session", ValueError(str(error))) from error
    return archive


def _damaged(kind: str, error: ValueError) -> CorruptLog:
    problem = str(error).replace("\n", " ")
    return CorruptLog(
        f"an index entry of a {kind} is damaged ({problem:.200}); run `eventlog doctor "
        "--rebuild-index`"
    )


class _FinalisedResult(TypedDict):
    """The fields of a finalising task's result that views read."""

    follow_ups: list[FollowUp]
    token_usage: TokenUsage
    session_token_usage: TokenUsage


def prepare_reading() -> None:
    """Build the readers of entries now rather than when the first entry is read.

    It takes milliseconds, which neither the import of this module nor an attempt should pay.
    """
    for build in (_task_reader, _archive_reader, _result_reader):
        build()


class _Owners(TypedDict):
    owners: list[OwnerData]


@cache
def _owners_reader() -> Callable[[bytes], _Owners]:
    return TypeAdapter(_Owners).validate_json


@cache
def _task_reader() -> Callable[[bytes], Task]:
    return TypeAdapter(Task).validate_json


@cache
def _turn_reader() -> Callable[[bytes], Turn]:
    return TypeAdapter(Turn).validate_json


@cache
def _run_reader() -> Callable[[bytes], Run]:
    return TypeAdapter(Run).validate_json


@cache
def _archive_reader() -> Callable[[bytes], Archive]:
    return TypeAdapter(Archive).validate_json


@cache
def _result_reader() -> Callable[[Any], _FinalisedResult]:
    return TypeAdapter(_FinalisedResult).validate_python
