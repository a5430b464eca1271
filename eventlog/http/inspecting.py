"""What the page of a whole store asks for: JSON by path and query, and its list as a stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol

import pydantic_core
from starlette.responses import Response, StreamingResponse

from eventlog import EventLogError
from eventlog.http.call import Service
from eventlog.http.event_operations import STREAM, STREAM_HEADERS, wants_stream
from eventlog.http.received import Received
from eventlog.http.wire_errors import RequestRefused, failure_of

__all__ = ["Inspecting", "Pages"]

AT_ONCE: Final = 4
"""Requests of pages that read at a time: each takes a thread, and the API has others."""

PAUSE_SECONDS: Final = 0.5
"""How long a stream of the list waits at least from one list to the next, however much is written."""

RESTS: Final = 4
"""How much longer it waits than making the last list took: of many sessions that is a while."""

LIST: Final = "sessions"


class Pages(Protocol):
    """A page for a browser, and the JSON that it asks for by path and query."""

    @property
    def page(self) -> bytes: ...

    def data(self, path: str, query: Mapping[str, str], owner: str | None, /) -> bytes | None:
        """Return the JSON of a path as it was sent, still escaped; None where there is none.

        It is called in a thread. With ``owner``, other owners' sessions do not exist.
        """
        ...


class Inspecting:
    """Answers what a page asks for, for whoever may read."""

    def __init__(self, pages: Pages, service: Service) -> None:
        self._pages = pages
        self._service = service
        self._reading = asyncio.Semaphore(AT_ONCE)

    def page(self) -> Response:
        """Return the page itself."""
        headers = {
            "Cache-Control": "no-cache",
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return Response(self._pages.page, 200, headers, "text/html; charset=utf-8")

    async def answer(self, request: Received, path: str, owner: str | None) -> Response:
        """Return the JSON of a path; the list of sessions as a stream to whom asks for one.

        Raises `RequestRefused` where there is nothing.
        """
        read = partial(self._read, path, dict(request.query_params), owner)
        data = await read()
        if data is None:
            raise RequestRefused("not_found", "the page of this version asks for nothing there")
        if path == LIST and wants_stream(request.field(b"accept") or ""):
            return StreamingResponse(self._lists(read), 200, STREAM_HEADERS, STREAM)
        return Response(data, 200, {"Cache-Control": "no-store"}, "application/json")

    async def _read(self, path: str, query: Mapping[str, str], owner: str | None) -> bytes | None:
        async with self._reading:
            return await asyncio.to_thread(self._pages.data, path, query, owner)

    async def _lists(self, read: Callable[[], Awaitable[bytes | None]]) -> AsyncIterator[bytes]:
        """Yield the list, and again whenever it is another one.

        A list that is the same is not sent, so nobody learns when another owner's sessions change.
        """
        watch, heartbeat = self._service.watch, self._service.limits.heartbeat_seconds
        now = asyncio.get_running_loop().time
        sent: bytes | None = None
        try:
            async with watch.subscription(None) as subscription:
                while True:
                    subscription.look()
                    begun = now()
                    data = await read()
                    pause = max(PAUSE_SECONDS, RESTS * (now() - begun))
                    if data is not None and data != sent:
                        sent = data
                        yield b"data: %s\n\n" % data
                    if watch.has_ended:
                        return
                    if await subscription.wait(heartbeat):
                        await asyncio.sleep(pause)
                    else:
                        yield b": waiting\n\n"
        except EventLogError as error:
            failure = failure_of(error)
            logging.getLogger("eventlog").warning("list_stream_failed code=%s", failure.code)
            said = {"code": failure.code, "message": failure.message, "details": failure.details}
            yield b"event: error\ndata: %s\n\n" % pydantic_core.to_json({"error": said})
