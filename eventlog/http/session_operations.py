"""The operations on sessions and their archives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from urllib.parse import quote

from starlette.responses import Response

from eventlog import AsyncSession, DuplicateEvent, SessionClosed, SessionNotFound
from eventlog.http.bodies import (
    Commit,
    ContextQuery,
    CreateSession,
    DeleteQuery,
    Reason,
    SessionQuery,
    SessionsQuery,
    Used,
)
from eventlog.http.call import Call, in_order, json_response
from eventlog.http.documents import archive_document, context_document
from eventlog.http.principal import ANY
from eventlog.http.routing import PREFIX, Operation
from eventlog.http.wire_errors import session_exists

__all__ = ["SESSION_OPERATIONS", "done", "page_of"]

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
    found, more = await page_of(sessions, query.after, query.limit, str)
    return json_response(
        {"sessions": [{"session_id": session} for session in found], "next": more},
    )


async def page_of(
    entries: AsyncIterator[Entry], after: str | None, limit: int, name: Callable[[Entry], str]
) -> tuple[list[Entry], str | None]:
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


# ---- what is used and shown ------------------------------------------------------------------


def done(session: AsyncSession) -> Response:
    document = {"session_id": session.id, "version": session.version}
    return json_response(document, session=session)


async def record_used(call: Call) -> Response:
    body: Used = call.body
    session = await call.session()
    await session.used(body.contexts, body.skill, **call.by)
    return done(session)


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
    with in_order("not_completed"):
        archived = await session.archive(call.path["archive_id"])
    return json_response(archive_document(archived))


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
        "POST", f"{_SESSION}/used", "record_used", "Record that contexts and a skill were used.",
        "write", record_used, body=Used, keyed=True, fenced="may", answers={200: "Done"},
        refusals=(404, 409, 410),
    ),
    Operation(
        "GET", f"{_SESSION}/context", "get_context", "Return what a model should see.", "read",
        get_context, query=ContextQuery, answers={200: "Context"}, refusals=(404,),
    ),
    Operation(
        "POST", f"{_SESSION}/commit", "commit",
        "Move the live messages into a new archive, and return at once.", "write", commit,
        body=Commit, keyed=True, fenced="may", answers={200: "Committed", 202: "Committed"},
        refusals=(404, 409, 410, 412),
    ),
    Operation(
        "GET", f"{_SESSION}/archives", "list_archives", "List the archives with their states.",
        "read", list_archives, answers={200: "Archives"}, refusals=(404,),
    ),
    Operation(
        "GET", _ARCHIVE, "get_archive", "Return a completed archive.", "read", get_archive,
        answers={200: "Archive"}, refusals=(404, 409),
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
