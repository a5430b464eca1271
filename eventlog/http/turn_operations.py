"""The operations on turns: begun, renewed and ended by whoever has their fence; and those on runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response

from eventlog import AsyncSession, AsyncTurn, RecordedStep, RunView, TurnOpen, TurnView
from eventlog.http.bodies import (
    BeginTurn,
    EndTurn,
    ListQuery,
    RecordStep,
    RenewTurn,
    RunsQuery,
    StepQuery,
    StopRun,
)
from eventlog.http.call import Call, json_response
from eventlog.http.principal import ANY
from eventlog.http.routing import Operation
from eventlog.http.sent_messages import MessageBody, SoundMessage, checked_message
from eventlog.http.session_operations import done, page_of
from eventlog.http.wire_errors import RequestRefused

__all__ = ["RUN_OPERATIONS", "TURN_OPERATIONS"]

LOOK_SECONDS = 1.0
"""How long to wait before looking again whether the lease of the open turn has lapsed."""


async def begin_turn(call: Call) -> Response:
    body: BeginTurn = call.body
    session = await call.session(create=True)
    turn = await _begun(call, session, body)
    document = {
        "session_id": session.id,
        "version": session.version,
        "turn_id": turn.turn_id,
        "attempt": turn.attempt,
        "done": turn.done,
        "fence": turn.fence or None,
        "lease_until": turn.lease_until or None,
        "result": turn.result,
    }
    return json_response(document, 200 if turn.done else 201, session=session)


async def _begun(call: Call, session: AsyncSession, body: BeginTurn) -> AsyncTurn:
    """Begin the turn, once no other is open or the time to wait is over.

    Those who wait are woken by the events of the session; they hold no thread.
    """
    options: dict[str, Any] = {
        **body.model_dump(exclude={"wait_seconds"}),
        **call.by,
        "holder": call.holder,
    }
    try:
        return await session.begin_turn(call.path["turn_id"], **options)
    except TurnOpen:
        if not body.wait_seconds:
            raise
    now = asyncio.get_running_loop().time
    deadline = now() + body.wait_seconds
    watch = call.service.watch
    async with watch.subscription(session.id) as subscription:
        while True:
            subscription.look()
            try:
                return await session.begin_turn(call.path["turn_id"], **options)
            except TurnOpen:
                left = deadline - now()
                if left <= 0 or watch.has_ended:
                    raise
            await subscription.wait(min(left, LOOK_SECONDS))


async def _turn(call: Call) -> AsyncTurn:
    """Return the attempt that the request has the fence of."""
    turn = await call.session()
    assert isinstance(turn, AsyncTurn)  # The fence of these operations is required.
    if turn.turn_id != call.path["turn_id"]:
        raise RequestRefused(
            "out_of_order",
            f"the fence is that of turn {turn.turn_id!r}; give the one of the turn in the path",
        )
    return turn


async def renew_turn(call: Call) -> Response:
    body: RenewTurn = call.body
    turn = await _turn(call)
    lease_until = await turn.renew(body.lease_seconds)
    document = {"session_id": turn.id, "version": turn.version, "lease_until": lease_until}
    return json_response(document, session=turn)


async def get_step(call: Call) -> Response:
    query: StepQuery = call.query
    turn = await _turn(call)
    found = await turn.recorded_step(call.path["step"], query.digest)
    return _step(turn, call.path["step"], found)


async def record_step(call: Call) -> Response:
    body: RecordStep = call.body
    turn, name = await _turn(call), call.path["step"]
    by = call.by_origin
    if "output" not in body.model_fields_set:
        return _step(turn, name, await turn.resume_step(name, body.digest, **by))
    messages = [checked_message(fields, index) for index, fields in enumerate(body.messages)]
    await turn.record_step(name, body.output, digest=body.digest, messages=messages, **by)
    return _step(turn, name, await turn.recorded_step(name, body.digest))


def _step(turn: AsyncTurn, name: str, found: RecordedStep | None) -> Response:
    if found is None:
        raise RequestRefused(
            "step_not_found", f"no attempt at turn {turn.turn_id!r} finished step {name!r} so"
        )
    document = {
        "session_id": turn.id,
        "version": turn.version,
        "step": name,
        "output": found.output,
        "messages": [message.as_data() for message in found.messages],
    }
    return json_response(document, session=turn)


async def end_turn(call: Call) -> Response:
    body: EndTurn = call.body
    turn, by = await _turn(call), call.by_origin
    if body.how == "completed":
        await turn.end(body.result, **by)
    else:
        error = body.error or body.how
        await turn.fail(error, cancelled=body.how == "cancelled", **by)
    return done(turn)


async def get_turn(call: Call) -> Response:
    session = await call.session()
    found = await session.turns(call.path["turn_id"])
    if not found:
        raise RequestRefused("turn_not_found", "the session has no turn with this id")
    return json_response(found[0]._asdict(), session=session)


async def list_turns(call: Call) -> Response:
    query: ListQuery = call.query
    session = await call.session()
    turns = await session.turns()

    async def entries() -> AsyncIterator[TurnView]:
        for turn in turns:
            yield turn

    found, more = await page_of(entries(), query.after, query.limit, _id_of)
    return json_response({"turns": [turn._asdict() for turn in found], "next": more})


def _id_of(turn: TurnView) -> str:
    return turn.turn_id


_TURNS = "/sessions/{session_id}/turns"
_TURN = f"{_TURNS}/{{turn_id}}"

TURN_OPERATIONS = (
    Operation(
        "PUT", _TURN, "begin_turn",
        "Begin a turn, or return the result that it ended with; the session is created if need be.",
        "write", begin_turn, body=BeginTurn, keyed=True, answers={200: "BegunTurn", 201: "BegunTurn"},
        refusals=(409, 410),
    ),
    Operation(
        "POST", f"{_TURN}/renew", "renew_turn", "Renew the lease of a turn.", "write", renew_turn,
        body=RenewTurn, fenced="must", answers={200: "Renewed"}, refusals=(404, 409, 410),
    ),
    Operation(
        "GET", f"{_TURN}/steps/{{step}}", "get_step",
        "Return a finished step of this attempt, or of an earlier one if the turn resumes.", "read",
        get_step, query=StepQuery, fenced="must", answers={200: "Step"}, refusals=(404, 409),
    ),
    Operation(
        "PUT", f"{_TURN}/steps/{{step}}", "record_step",
        "Record a step; without an output, take over the one that an earlier attempt finished.",
        "write", record_step, body=RecordStep, fenced="must", answers={200: "Step"},
        refusals=(404, 409, 410),
    ),
    Operation(
        "POST", f"{_TURN}/end", "end_turn", "End a turn; the same again changes nothing.", "write",
        end_turn, body=EndTurn, fenced="must", answers={200: "Done"}, refusals=(404, 409, 410),
    ),
    Operation(
        "GET", _TURN, "get_turn", "Return a turn, with its result if it was completed.", "read",
        get_turn, answers={200: "Turn"}, refusals=(404,),
    ),
    Operation(
        "GET", _TURNS, "list_turns", "List turns, the open one last.", "read", list_turns,
        query=ListQuery, answers={200: "Turns"}, refusals=(404,),
    ),
)  # fmt: skip


# ---- runs ----------------------------------------------------------------------------------------


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
    found, more = await page_of(_own_runs(call, query), query.after, query.limit, _run_id_of)
    return json_response({"runs": [run._asdict() for run in found], "next": more})


def _run_id_of(run: RunView) -> str:
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
