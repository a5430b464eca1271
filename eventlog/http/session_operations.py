"""The operations on sessions, their messages and their archives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.responses import Response

from eventlog import AsyncSession, DuplicateEvent, SessionClosed, SessionNotFound
from eventlog.http.bodies import (
    AppendBatch,
    Commit,
    ContextQuery,
    CreateSession,
    DeleteQuery,
    MessageBody,
    OutputQuery,
    Reason,
    SessionQuery,
    SessionsQuery,
    TailQuery,
    ToolResult,
    Used,
    checked_message,
)
from eventlog.http.call import Call, json_response
from eventlog.http.documents import archive_document, context_document, output_document
from eventlog.http.principal import ANY
from eventlog.http.routing import PREFIX, Operation
from eventlog.http.wire_errors import session_exists

__all__ = ["SESSION_OPERATIONS", "page_of"]

Entry = TypeVar("Entry")


# ---- sessions ---------------------------------------------------------------------------------


async def create_session(call: Call) -> Response:
    body: CreateSession = call.body
    owner = None if call.principal.owner is ANY else str(call.principal.owner)
    given = body.model_dump(exclude={"session_id"})
    try:
        session = await call.log.session(body.session_id, create=True, owner=owner, **given)
    except SessionClosed:
        raise session_exists() from None
    if not await session.ensure_created(**call.by):
        raise session_exists()
    meta = session.meta
    said = (body.project or meta.project, body.workspace, body.provider, body.model)
    if said != (meta.project, meta.workspace, meta.provider, meta.model):
        raise DuplicateEvent(
            session.id, "the idempotency key was used before for another session; take another key"
        )
    response = _meta(session, 201)
    response.headers["Location"] = f"{PREFIX}/sessions/{quote(session.id, safe='')}"
    return response


async def list_sessions(call: Call) -> Response:
    query: SessionsQuery = call.query
    owner = None if call.principal.owner is ANY else str(call.principal.owner)
    sessions = call.log.sessions(
        owner=owner,
        workspace=query.workspace,
        updated_after=query.updated_after,
        newest_first=query.newest_first,
    )
    found, more = await page_of(sessions, query.after, query.limit, lambda session: session)
    return json_response(
        {"sessions": [{"session_id": session} for session in found], "next": more},
    )


async def page_of(entries: AsyncIterator[Entry], after: str | None, limit: int, name: Any) -> Any:
    """Return up to ``limit`` entries behind the one that is named ``after``, and the name to go on
    from if there are more."""
    page: list[Entry] = []
    behind = after is None
    async for entry in entries:
        if not behind:
            behind = name(entry) == after
        elif len(page) == limit:
            return page, name(page[-1])
        else:
            page.append(entry)
    return page, None


async def get_session(call: Call) -> Response:
    query: SessionQuery = call.query
    try:
        session = await call.session()
    except SessionNotFound:
        if not query.auto_create or not call.may("write"):
            raise
        session = await call.session(create=True)
        await session.ensure_created(**call.by)
    await session.refresh()
    return _meta(session)


def _meta(session: AsyncSession, status: int = 200) -> Response:
    document = {
        "session_id": session.id,
        "version": session.version,
        "meta": session.meta._asdict(),
    }
    return json_response(document, status, session=session)


async def close_session(call: Call) -> Response:
    query: DeleteQuery = call.query
    session = await call.session()
    await session.close(reason=query.reason, **call.by)
    return Response(status_code=204)


# ---- messages ---------------------------------------------------------------------------------


async def append_message(call: Call) -> Response:
    body: MessageBody = call.body
    session = await call.session(create=True)
    message = await session.append(checked_message(body.fields), **call.by)
    document = {
        "session_id": session.id,
        "version": session.version,
        "message": message.as_data(),
    }
    return json_response(document, 201, session=session)


async def append_batch(call: Call) -> Response:
    body: AppendBatch = call.body
    messages = [checked_message(fields, index) for index, fields in enumerate(body.messages)]
    session = await call.session(create=True)
    appended = await session.extend(messages, **call.by)
    document = {
        "session_id": session.id,
        "version": session.version,
        "messages": [message.as_data() for message in appended],
    }
    return json_response(document, 201, session=session)


async def list_messages(call: Call) -> Response:
    query: TailQuery = call.query
    session = await call.session()
    tail = await session.tail(query.last)
    document = {
        "session_id": session.id,
        "version": session.version,
        "messages": [message.as_data() for message in tail],
    }
    return json_response(document, session=session)


async def record_result(call: Call) -> Response:
    body: ToolResult = call.body
    session = await call.session()
    await session.record_tool_result(call.path["message_id"], **body.model_dump(), **call.by)
    return _done(session)


def _done(session: AsyncSession) -> Response:
    document = {"session_id": session.id, "version": session.version}
    return json_response(document, session=session)


async def get_output(call: Call) -> Response:
    query: OutputQuery = call.query
    session = await call.session()
    output = await session.tool_output(
        call.path["message_id"],
        call.path["tool_id"],
        offset=query.offset,
        limit=query.limit,
        occurrence=query.occurrence,
    )
    return json_response(output_document(output))


async def record_used(call: Call) -> Response:
    body: Used = call.body
    session = await call.session()
    await session.used(body.contexts, body.skill, **call.by)
    return _done(session)


async def get_context(call: Call) -> Response:
    query: ContextQuery = call.query
    session = await call.session()
    context = await session.context(query.token_budget)
    return json_response(context_document(context), session=session)


# ---- commits and archives ---------------------------------------------------------------------


async def commit(call: Call) -> Response:
    body: Commit = call.body
    session = await call.session()
    result = await session.commit(
        body.keep_recent_count, keep_turn_tokens=body.keep_turn_tokens, **call.by
    )
    status = 202 if result.status == "accepted" else 200
    return json_response(result._asdict(), status, session=session)


async def list_archives(call: Call) -> Response:
    session = await call.session()
    archives = await session.archives()
    return json_response({"archives": [view._asdict() for view in archives]}, session=session)


async def get_archive(call: Call) -> Response:
    session = await call.session()
    return json_response(archive_document(await session.archive(call.path["archive_id"])))


async def retry_archive(call: Call) -> Response:
    body: Reason = call.body
    session = await call.session()
    status = await session.retry(call.path["archive_id"], reason=body.reason, **call.by)
    return json_response({"status": status}, 202 if status == "accepted" else 200)


async def abandon_archive(call: Call) -> Response:
    body: Reason = call.body
    session = await call.session()
    await session.abandon(call.path["archive_id"], reason=body.reason, **call.by)
    return json_response({"status": "abandoned"})


_SESSION = "/sessions/{session_id}"
_ARCHIVE = f"{_SESSION}/archives/{{archive_id}}"
_MESSAGE = f"{_SESSION}/messages/{{message_id}}"

SESSION_OPERATIONS = (
    Operation(
        "POST", "/sessions", "create_session", "Create a session.", "write", create_session,
        body=CreateSession, keyed=True, answers={201: "Session"}, refusals=(409,),
    ),
    Operation(
        "GET", "/sessions", "list_sessions", "List the ids of sessions.", "read", list_sessions,
        query=SessionsQuery, answers={200: "Sessions"},
    ),
    Operation(
        "GET", _SESSION, "get_session", "Return the metadata of a session.", "read", get_session,
        query=SessionQuery, answers={200: "Session"}, refusals=(404, 409, 410),
    ),
    Operation(
        "DELETE", _SESSION, "close_session", "Close a session to further messages.", "write",
        close_session, query=DeleteQuery, keyed=True, answers={204: ""}, refusals=(404, 409, 410),
    ),
    Operation(
        "POST", f"{_SESSION}/messages", "append_message",
        "Append a message; the session is created if need be.", "write", append_message,
        body=MessageBody, body_required=True, keyed=True, answers={201: "Appended"},
        refusals=(409, 410),
    ),
    Operation(
        "POST", f"{_SESSION}/messages/batch", "append_batch",
        "Append up to 100 messages, all or none; the session is created if need be.", "write",
        append_batch, body=AppendBatch, body_required=True, keyed=True,
        answers={201: "AppendedBatch"}, refusals=(409, 410),
    ),
    Operation(
        "GET", f"{_SESSION}/messages", "list_messages", "Return the live messages.", "read",
        list_messages, query=TailQuery, answers={200: "Messages"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_MESSAGE}/results", "record_result",
        "Record the result of a call that a message made.", "write", record_result,
        body=ToolResult, body_required=True, keyed=True, answers={200: "Done"},
        refusals=(404, 409, 410),
    ),
    Operation(
        "GET", f"{_MESSAGE}/outputs/{{tool_id}}", "get_output",
        "Return a piece of a tool's output.", "read", get_output, query=OutputQuery,
        answers={200: "Output"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_SESSION}/used", "record_used", "Record that contexts and a skill were used.",
        "write", record_used, body=Used, keyed=True, answers={200: "Done"},
        refusals=(404, 409, 410),
    ),
    Operation(
        "GET", f"{_SESSION}/context", "get_context", "Return what a model should see.", "read",
        get_context, query=ContextQuery, answers={200: "Context"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_SESSION}/commit", "commit",
        "Move the live messages into a new archive, and return at once.", "write", commit,
        body=Commit, keyed=True, answers={200: "Committed", 202: "Committed"},
        refusals=(404, 409, 410, 412),
    ),
    Operation(
        "GET", f"{_SESSION}/archives", "list_archives", "List the archives with their states.",
        "read", list_archives, answers={200: "Archives"}, refusals=(404,),
    ),
    Operation(
        "GET", _ARCHIVE, "get_archive", "Return a completed archive.", "read", get_archive,
        answers={200: "Archive"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_ARCHIVE}/retry", "retry_archive", "Give a failed archive new attempts.",
        "operate", retry_archive, body=Reason, keyed=True, answers={200: "Retried", 202: "Retried"},
        refusals=(404, 409, 410),
    ),
    Operation(
        "POST", f"{_ARCHIVE}/abandon", "abandon_archive", "Abandon an unfinished archive.",
        "operate", abandon_archive, body=Reason, keyed=True, answers={200: "Abandoned"},
        refusals=(404, 409, 410),
    ),
)  # fmt: skip
