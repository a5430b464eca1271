"""The operations on runs: messages that are queued for agents, what became of them, and stopping one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response

from eventlog import RunView
from eventlog.http.bodies import MessageBody, RunsQuery, SoundMessage, StopRun
from eventlog.http.call import Call, json_response
from eventlog.http.principal import ANY
from eventlog.http.routing import Operation
from eventlog.http.session_operations import page_of

__all__ = ["RUN_OPERATIONS"]


async def enqueue(call: Call) -> Response:
    body: MessageBody | SoundMessage = call.body
    session = await call.session(create=True)
    run_id = await session.enqueue(body.message, **call.by)
    document = {"session_id": session.id, "version": session.version, "run_id": run_id}
    return json_response(document, 202, session=session)


async def stop_run(call: Call) -> Response:
    body: StopRun = call.body
    session = await call.session()
    stopped = await session.stop_run(body.run_id, reason=body.reason, **call.by_origin)
    document = {"session_id": session.id, "version": session.version, "run_id": stopped}
    return json_response(document, session=session)


async def list_runs(call: Call) -> Response:
    query: RunsQuery = call.query
    found, more = await page_of(_own_runs(call, query), query.after, query.limit, _id_of)
    return json_response({"runs": [run._asdict() for run in found], "next": more})


def _id_of(run: RunView) -> str:
    return run.run_id


async def _own_runs(call: Call, query: RunsQuery) -> AsyncIterator[RunView]:
    """Yield the runs of the principal's sessions."""
    owned: dict[str, bool] = {}
    if query.session is not None and not await call.owns(query.session):
        return  # As of a session that does not exist.
    async for run in call.log.runs(query.session, query.state):
        if run.session_id not in owned:
            is_any = call.principal.owner is ANY
            owned[run.session_id] = is_any or await call.owns(run.session_id)
        if owned[run.session_id]:
            yield run


_SESSION = "/sessions/{session_id}"

RUN_OPERATIONS = (
    Operation(
        "POST", f"{_SESSION}/inbound", "enqueue",
        "Queue a message for a run; the session is created if need be.", "write", enqueue,
        body=MessageBody, body_required=True, keyed=True, answers={202: "Queued"},
        refusals=(409, 410),
    ),
    Operation(
        "GET", "/runs", "list_runs", "List runs, by session and as they were queued.", "read",
        list_runs, query=RunsQuery, answers={200: "Runs"},
    ),
    Operation(
        "POST", f"{_SESSION}/stop", "stop_run",
        "Cancel a run, by default the one that is executed or waits for its restart.", "write",
        stop_run, body=StopRun, answers={200: "Stopped"}, refusals=(404, 409, 410),
    ),
)  # fmt: skip
