"""The events of a session: as a list, after a wait, or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import pydantic_core
from starlette.responses import Response, StreamingResponse

from eventlog import AsyncSession, EventLogError, Recorded
from eventlog.http.bodies import EventsQuery
from eventlog.http.call import Call, json_response
from eventlog.http.documents import event_document
from eventlog.http.limits import EVENT_BYTES, SCANNED
from eventlog.http.routing import Operation
from eventlog.http.watching import EventReader, Subscription
from eventlog.http.wire_errors import RequestRefused, failure_of

__all__ = ["EVENT_OPERATIONS", "STREAM", "STREAM_HEADERS", "wants_stream"]

STREAM: Final = "text/event-stream"

ENDS: Final = frozenset({"session_closed", "session_deleted"})
"""The events after which a stream ends: nobody appends any more."""

CLOSED: Final = frozenset({"closed", "deleted"})

RECONNECT_MILLISECONDS: Final = 1_000

STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def wants_stream(accept: str) -> bool:
    """Return whether a request asks for a stream."""
    return STREAM in accept


async def list_events(call: Call) -> Response:
    query: EventsQuery = call.query
    session = await call.session()
    after = _after(call, query)
    types = None if query.types is None else frozenset(query.types.split(","))
    if wants_stream(call.request.field(b"accept") or ""):
        return await _stream(call, session, after, types)
    page = await _read(call, session, after, types, query.limit)
    if query.wait_seconds and not page.is_final(session):
        page = await _read_or_wait(call, session, after, types, query)
    return json_response(page.document(session), session=session)


def _after(call: Call, query: EventsQuery) -> int:
    """Return the version to go on after: the browser's, on reconnecting, before the one asked."""
    last = call.request.field(b"last-event-id")
    if not last:
        return query.after or 0
    if not (last.isascii() and last.isdigit() and len(last) < 17):
        raise RequestRefused("invalid_argument", "Last-Event-ID must be a version of the session")
    return int(last)


class Page:
    """Events of a session, and the version up to which they were looked for."""

    def __init__(self, after: int) -> None:
        self.events: list[Recorded] = []
        self.scanned = after
        self.is_whole = True

    def is_final(self, session: AsyncSession) -> bool:
        """Return whether waiting would not make a better page."""
        return bool(self.events) or not self.is_whole or session.meta.status in CLOSED

    def document(self, session: AsyncSession) -> dict[str, Any]:
        return {
            "session_id": session.id,
            "events": [event_document(recorded) for recorded in self.events],
            "next": self.scanned,
            "closed": session.meta.status in CLOSED,
        }


async def _read(
    call: Call, session: AsyncSession, after: int, types: frozenset[str] | None, limit: int
) -> Page:
    page = Page(after)
    await session.refresh()
    scan = limit if types is None else SCANNED
    size = 0
    async with aclosing(EventReader(call.log, session.id).after(after, scan)) as found:
        async for recorded in found:
            page.scanned = recorded.version
            page.is_whole = page.scanned < after + scan
            if types is None or recorded.type in types:
                page.events.append(recorded)
                size += len(recorded.record.data)
                if len(page.events) == limit or size >= EVENT_BYTES:
                    break
    return page


async def _read_or_wait(
    call: Call, session: AsyncSession, after: int, types: frozenset[str] | None, query: EventsQuery
) -> Page:
    """Read until there is an event, the session is closed, or the time is over."""
    now = asyncio.get_running_loop().time
    deadline = now() + query.wait_seconds
    async with call.service.watch.subscription(session.id) as subscription:
        while True:
            subscription.look()
            page = await _read(call, session, after, types, query.limit)
            after = page.scanned
            is_final = page.is_final(session) or call.service.watch.has_ended
            if is_final or not await subscription.wait(deadline - now()):
                return page


# ---- streams ----------------------------------------------------------------------------------


async def _stream(
    call: Call, session: AsyncSession, after: int, types: frozenset[str] | None
) -> Response:
    meta = await session.refresh()
    if meta.status in CLOSED and not await _has_more(call, session, after, types):
        # The one answer after which a browser does not connect again.
        return Response(status_code=204, headers=STREAM_HEADERS)
    events = _events(call, session, after, types)
    return StreamingResponse(events, 200, STREAM_HEADERS, STREAM)


async def _has_more(
    call: Call, session: AsyncSession, after: int, types: frozenset[str] | None
) -> bool:
    async with aclosing(EventReader(call.log, session.id).after(after)) as found:
        async for recorded in found:
            if types is None or recorded.type in types:
                return True
    return False


async def _events(
    call: Call, session: AsyncSession, after: int, types: frozenset[str] | None
) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RECONNECT_MILLISECONDS
    try:
        async with (
            call.service.watch.subscription(session.id) as subscription,
            aclosing(_follow(call, session, after, types, subscription)) as found,
        ):
            async for piece in found:
                yield piece
    except EventLogError as error:
        failure = failure_of(error)
        logging.getLogger("eventlog").warning("event_stream_failed code=%s", failure.code)
        said = {"code": failure.code, "message": failure.message, "details": failure.details}
        yield b"event: error\ndata: %s\n\n" % pydantic_core.to_json({"error": said})


async def _follow(
    call: Call,
    session: AsyncSession,
    after: int,
    types: frozenset[str] | None,
    subscription: Subscription,
) -> AsyncGenerator[bytes, None]:
    is_closed = session.meta.status in CLOSED
    reader = EventReader(call.log, session.id)
    while True:
        subscription.look()
        async with aclosing(reader.after(after)) as found:
            async for recorded in found:
                after = recorded.version
                is_closed = is_closed or recorded.type in ENDS
                if types is None or recorded.type in types:
                    yield sent_event(recorded)
        if is_closed or call.service.watch.has_ended:
            return
        if not await subscription.wait(call.service.limits.heartbeat_seconds):
            yield b": waiting\n\n"


def sent_event(recorded: Recorded) -> bytes:
    """Return an event as it is streamed: its version is the id from which a reader goes on."""
    document = pydantic_core.to_json(event_document(recorded))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        recorded.version,
        recorded.type.encode(),
        document,
    )


EVENT_OPERATIONS = (
    Operation(
        "GET", "/sessions/{session_id}/events", "list_events",
        "Return events after a version, wait for them, or stream them.", "read", list_events,
        query=EventsQuery, answers={200: "Events", 204: ""}, refusals=(404,),
    ),
)  # fmt: skip
