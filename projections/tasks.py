"""Every task of a session, finished ones included."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from eventlog.projection import Projection
from eventlog.session.folding import apply
from eventlog.session.index import INDEXED_TYPES, TASKS, index_changes, read_task
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.session.tasks.state import Task
from eventlog.session.views import TaskView, task_view

if TYPE_CHECKING:
    from eventlog.recorded import Recorded
    from eventlog.records import IndexEntry

__all__ = ["Tasks", "TasksState", "entries_of"]


@dataclass(slots=True)
class TasksState:
    """The session's state, and each task as its last record left it."""

    session: SessionState
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])


class Tasks(Projection[TasksState, tuple[TaskView, ...]]):
    """The tasks that ``Log.tasks(session)`` yields, from any records: oldest first.

    Messages are not decoded for it. The state grows with the tasks, not with the messages.
    """

    name = "tasks"
    types = INDEXED_TYPES

    def initial(self) -> TasksState:
        return TasksState(SessionState(""))

    def apply(self, state: TasksState, recorded: Recorded) -> TasksState:
        for key, value in entries_of(state.session, recorded):
            if value is not None and key.startswith(TASKS):
                state.tasks[key.removeprefix(TASKS)] = read_task(value)
        return state

    def view(self, state: TasksState) -> tuple[TaskView, ...]:
        return tuple(task_view(task, state.tasks.get) for _, task in sorted(state.tasks.items()))

    def fingerprint(self) -> str:
        return f"{self.schema}-{SessionFold().fingerprint()}"

    def dump(self, state: TasksState) -> bytes:
        return _adapter().dump_json(state)

    def load(self, data: bytes) -> TasksState:
        state: TasksState = _adapter().validate_json(data)
        return state


def entries_of(session: SessionState, recorded: Recorded) -> tuple[IndexEntry, ...]:
    """Fold a record into ``session`` and return the index entries that it makes.

    The states of tasks and archives are defined once, where the index is kept; here they are read.
    """
    if not session.session_id:
        session.session_id = recorded.stream
    before = session.copy()
    apply(session, recorded)
    return index_changes(before, [recorded], session)


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(TasksState)
