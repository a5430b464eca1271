"""Everything that is to be seen of a session as plain values, folded record by record.

It is what paths and expressions lead to. A value that an event does not touch stays the same object,
so that what changed is found without comparing the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.projection import Projection
from eventlog.session.commit import archive_id
from eventlog.session.folding import apply
from eventlog.session.index import (
    INDEXED_TYPES,
    TASKS,
    archive_prefix,
    index_changes,
    read_archive,
    read_run,
    read_task,
    read_turn,
    run_prefix,
    turn_prefix,
)
from eventlog.session.reading import with_result
from eventlog.session.runs.machine import RUN_MACHINE
from eventlog.session.runs.view import run_view
from eventlog.session.state import SessionState
from eventlog.session.turns.machine import TURN_MACHINE
from eventlog.session.version_ranges import ascending, contains, without
from eventlog.session.views import META_FIELDS, archive_view, task_view, turn_view

if TYPE_CHECKING:
    from eventlog.recorded import Recorded
    from eventlog.records import IndexEntry
    from eventlog.session.archive import Archive
    from eventlog.session.events import MessageAppended, ToolResultRecorded
    from eventlog.session.message_data import MessageData
    from eventlog.session.runs.state import Run
    from eventlog.session.tasks.events import ArchiveFinalized
    from eventlog.session.tasks.state import Task
    from eventlog.session.turns.state import Turn
    from eventlog.session.version_ranges import VersionRange
    from eventlog.session.withdrawals.events import MessagesWithdrawn

__all__ = [
    "META_ALONE",
    "MISSING_ROOT",
    "ROOTS",
    "Picture",
    "Pictures",
    "Values",
    "show_entries",
    "take_message",
    "values_of",
]

ROOTS: Final = (
    "version",
    "status",
    "meta",
    "tail",
    "archives",
    "tasks",
    "turns",
    "runs",
    "overview",
    "findings",
)
"""What paths begin with."""

META_ALONE: Final = frozenset({"version", "status", "meta", "findings"})
"""Those that are seen in the session's state, so that no message has to be read."""

MISSING_ROOT: Final = "nothing is called {0!r:.80}; a path begins with one of {1}"


@dataclass(slots=True)
class Picture:
    """What is to be seen, and what the last record touched of it."""

    session: SessionState
    tail: dict[str, MessageData] = field(default_factory=dict[str, "MessageData"])
    versions: dict[str, int] = field(default_factory=dict[str, int])
    """Those of the live messages, by id."""
    appended: dict[str, MessageData] = field(default_factory=dict[str, "MessageData"])
    """The live messages without the results that came later, by id."""
    results: dict[int, ToolResultRecorded] = field(default_factory=dict[int, "ToolResultRecorded"])
    """Those results, by version."""
    archives: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    turns: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    runs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    overview: str = ""
    touched: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Where the last record may have changed something, beside the metadata: root and key."""
    known_archives: dict[int, Archive] = field(default_factory=dict[int, "Archive"])
    known_tasks: dict[str, Task] = field(default_factory=dict[str, "Task"])
    summaries: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])

    def copy(self) -> Picture:
        """Return one that stays as it is while this one is folded further."""
        return Picture(
            self.session.copy(),
            dict(self.tail),
            dict(self.versions),
            dict(self.appended),
            dict(self.results),
            dict(self.archives),
            dict(self.tasks),
            dict(self.turns),
            dict(self.runs),
            self.overview,
            set(self.touched),
            dict(self.known_archives),
            dict(self.known_tasks),
            dict(self.summaries),
        )


class Values(Mapping[str, Any]):
    """The values that paths lead to, in the order of `ROOTS`, of a picture as it is when asked.

    The metadata are computed field by field, since an expression looks at few of them.
    """

    __slots__ = ("_meta", "_picture", "session")

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._meta = _Meta(picture)
        self.session = picture.session
        """The state that the metadata are of: records are folded into it, in place."""

    def __getitem__(self, root: str) -> Any:
        picture = self._picture
        match root:
            case "meta":
                return self._meta
            case "version" | "status":
                return getattr(picture.session, root)
            case "findings":
                return [f"{version}: {why}" for version, why in picture.session.findings]
            case "tail" | "archives" | "tasks" | "turns" | "runs" | "overview":
                return getattr(picture, root)
            case _:
                raise KeyError(root)

    def __iter__(self) -> Iterator[str]:
        return iter(ROOTS)

    def __len__(self) -> int:
        return len(ROOTS)


class _Meta(Mapping[str, Any]):
    """The metadata of a picture."""

    __slots__ = ("_picture",)

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def __getitem__(self, name: str) -> Any:
        return META_FIELDS[name](self._picture.session)

    def __iter__(self) -> Iterator[str]:
        return iter(META_FIELDS)

    def __len__(self) -> int:
        return len(META_FIELDS)


def values_of(picture: Picture) -> dict[str, Any]:
    """Return the values that paths lead to, as plain ones that no later record changes but what is
    in ``tail``, ``archives``, ``tasks``, ``turns`` and ``runs``."""
    values = Values(picture)
    return {**values, "meta": dict(values["meta"])}


class Pictures(Projection[Picture, Picture]):
    """The fold to a `Picture`; a step that no machine has changes nothing but the findings."""

    name = "picture"
    types = None

    def __init__(self, session_id: str = "") -> None:
        self._session_id = session_id

    def initial(self) -> Picture:
        return Picture(SessionState(self._session_id))

    def view(self, state: Picture) -> Picture:
        return state

    def apply(self, state: Picture, recorded: Recorded) -> Picture:
        session, type_ = state.session, recorded.type
        if not session.session_id:
            session.session_id = recorded.stream
        state.touched = set()
        illegal_steps = len(session.findings)
        changes: tuple[IndexEntry, ...] = ()
        if type_ in INDEXED_TYPES or type_ in RUN_MACHINE.events:
            before = session.copy()
            apply(session, recorded)
            changes = index_changes(before, [recorded], session)
        else:
            apply(session, recorded)
        if len(session.findings) > illegal_steps:
            return state
        take_message(state, recorded)
        if type_ in TURN_MACHINE.events:
            _show_turns(state, changes)
        if changes:
            _follow_index(state, recorded, changes)
        return state


def take_message(state: Picture, recorded: Recorded) -> None:
    """Take over what an event that was folded means for the live messages."""
    match recorded.type:
        case "message_appended":
            _append(state, recorded)
        case "tool_result_recorded":
            _complete(state, recorded.version, cast("ToolResultRecorded", recorded.event))
        case "commit_prepared":
            _retain(state, state.session.window.closed)
        case "messages_withdrawn":
            _withdraw(state, cast("MessagesWithdrawn", recorded.event))
        case _:
            pass


def show_entries(
    state: Picture, archives: Iterable[int], turns: Iterable[Turn], runs: Iterable[Run]
) -> None:
    """Show the tasks that are known, some archives, turns beside the open one, and runs."""
    for run in runs:
        state.runs[run.run_id] = _plain(run_view(run)._asdict())
    for task in state.known_tasks.values():
        state.tasks[task.task_id] = _plain(task_view(task, state.known_tasks.get)._asdict())
    for index in archives:
        _show_archive(state, index)
    open_turn = state.session.turn
    for turn in turns if open_turn is None else [*turns, open_turn]:
        state.turns[turn.turn_id] = _plain(turn_view(turn)._asdict())
    state.touched = set()


def _append(state: Picture, recorded: Recorded) -> None:
    data = cast("MessageAppended", recorded.event).message
    id_ = data["id"]
    state.tail[id_] = state.appended[id_] = data
    state.versions[id_] = recorded.version
    state.touched.add(("tail", id_))


def _complete(state: Picture, version: int, result: ToolResultRecorded) -> None:
    id_ = result.message_id
    if id_ in state.tail:
        state.results[version] = result
        state.tail[id_] = with_result(state.tail[id_], result)
        state.touched.add(("tail", id_))


def _withdraw(state: Picture, event: MessagesWithdrawn) -> None:
    """Take out what is withdrawn; a message that stays and loses its result is shown without it."""
    live = [(version, version) for version in state.versions.values()]
    _retain(state, without(ascending(live), ascending(event.ranges)))
    lost = [version for version in state.results if contains(event.ranges, version)]
    for id_ in {state.results.pop(version).message_id for version in lost} & state.tail.keys():
        state.tail[id_] = state.appended[id_]
        for result in state.results.values():
            if result.message_id == id_:
                state.tail[id_] = with_result(state.tail[id_], result)
        state.touched.add(("tail", id_))
    if event.clears:
        state.overview = ""
        state.touched.add(("overview", ""))


def _retain(state: Picture, retained: Sequence[VersionRange]) -> None:
    """Keep the messages within some ranges only."""
    gone = [id_ for id_, version in state.versions.items() if not contains(retained, version)]
    for id_ in gone:
        del state.tail[id_], state.versions[id_], state.appended[id_]
        state.touched.add(("tail", id_))
    if gone:
        left = {at: each for at, each in state.results.items() if each.message_id in state.tail}
        state.results = left


def _follow_index(state: Picture, recorded: Recorded, changes: tuple[IndexEntry, ...]) -> None:
    """Take over what became of tasks, archives and runs."""
    prefix, of_runs = archive_prefix(recorded.stream), run_prefix(recorded.stream)
    moved: set[int] = set()
    for key, value in changes:
        if value is not None and key.startswith(TASKS):
            _take_task(state, read_task(value), moved)
        elif value is not None and key.startswith(prefix):
            archive = read_archive(value)
            state.known_archives[archive.index] = archive
            moved.add(archive.index)
        elif value is not None and key.startswith(of_runs):
            run = read_run(value)
            state.runs[run.run_id] = _plain(run_view(run)._asdict())
            state.touched.add(("runs", run.run_id))
    if recorded.type == "archive_finalized":
        _take_overview(state, recorded)
    for _, task_id in [each for each in state.touched if each[0] == "tasks"]:
        task = state.known_tasks[task_id]
        state.tasks[task_id] = _plain(task_view(task, state.known_tasks.get)._asdict())
    for index in sorted(moved):
        _show_archive(state, index)


def _take_task(state: Picture, task: Task, moved: set[int]) -> None:
    state.known_tasks[task.task_id] = task
    state.touched.add(("tasks", task.task_id))
    if task.archive is None:
        return
    moved.add(task.archive)
    made = state.known_archives.get(task.archive)
    if made is not None and made.task_id in state.known_tasks:
        # Its result has those of what followed it.
        state.touched.add(("tasks", made.task_id))


def _show_turns(state: Picture, changes: Iterable[IndexEntry]) -> None:
    """Show the turn that an event is about: the open one, or the one that it ended."""
    prefix = turn_prefix(state.session.session_id)
    turns = [read_turn(value) for key, value in changes if value and key.startswith(prefix)]
    open_turn = state.session.turn
    for turn in turns if open_turn is None else [*turns, open_turn]:
        state.turns[turn.turn_id] = _plain(turn_view(turn)._asdict())
        state.touched.add(("turns", turn.turn_id))


def _take_overview(state: Picture, recorded: Recorded) -> None:
    event = cast("ArchiveFinalized", recorded.event)
    state.summaries[event.archive] = event.overview, event.abstract
    latest = state.session.overview
    if latest is not None and latest.version == recorded.version:
        state.overview = event.overview
        state.touched.add(("overview", ""))


def _show_archive(state: Picture, index: int) -> None:
    archive = state.known_archives.get(index)
    task = None if archive is None else state.known_tasks.get(archive.task_id)
    if archive is None or task is None:
        return
    overview, abstract = state.summaries.get(index, ("", ""))
    view = archive_view(state.session.session_id, archive, task)
    id_ = archive_id(index)
    state.archives[id_] = {**view._asdict(), "overview": overview, "abstract": abstract}
    state.touched.add(("archives", id_))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(cast("Iterable[Any]", value)) if type(value) is tuple else value
        for name, value in fields.items()
    }
