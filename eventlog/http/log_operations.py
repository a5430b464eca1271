"""The operations on tasks and on the log itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response

from eventlog import TaskView
from eventlog.http.bodies import TasksQuery
from eventlog.http.call import Call, json_response
from eventlog.http.principal import ANY
from eventlog.http.routing import Operation
from eventlog.http.session_operations import page_of
from eventlog.http.wire_errors import RequestRefused

__all__ = ["LOG_OPERATIONS"]


async def get_task(call: Call) -> Response:
    task = await call.own_task(call.path["task_id"])
    return json_response(task._asdict())


async def list_tasks(call: Call) -> Response:
    query: TasksQuery = call.query
    found, more = await page_of(_own_tasks(call, query), query.after, query.limit, _id_of)
    return json_response({"tasks": [task._asdict() for task in found], "next": more})


def _id_of(task: TaskView) -> str:
    return task.task_id


async def _own_tasks(call: Call, query: TasksQuery) -> AsyncIterator[TaskView]:
    """Yield the tasks of the principal's sessions, the oldest first."""
    owned: dict[str, bool] = {}
    if query.session is not None:
        owned[query.session] = await call.owns(query.session)
        if not owned[query.session]:
            return  # As of a session that does not exist.
    async for task in call.log.tasks(query.session, query.state, query.kind):
        session = task.session_id
        if session not in owned:
            owned[session] = call.principal.owner is ANY or await call.owns(session)
        if owned[session]:
            yield task


async def get_health(call: Call) -> Response:
    if call.principal.owner is not ANY:
        raise RequestRefused("forbidden", "the health of the whole log is for an operator alone")
    health = await call.log.health()
    return json_response(health._asdict())


LOG_OPERATIONS = (
    Operation(
        "GET", "/tasks/{task_id}", "get_task", "Return a task.", "read", get_task,
        answers={200: "Task"}, refusals=(404,),
    ),
    Operation(
        "GET", "/tasks", "list_tasks", "List tasks, the oldest first.", "read", list_tasks,
        query=TasksQuery, answers={200: "Tasks"},
    ),
    Operation(
        "GET", "/health", "get_health", "Return what waits in the log, and what is stuck.",
        "operate", get_health, answers={200: "Health"},
    ),
)  # fmt: skip
