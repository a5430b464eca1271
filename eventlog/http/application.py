"""The ASGI application: lets requests in, finds their operation, and answers for its errors."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Collection
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

import pydantic_core
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eventlog import AsyncLog, DuplicateEvent, EventLogError, Log, VersionConflict
from eventlog.http.bodies import read_body
from eventlog.http.call import (
    Call,
    Service,
    checked,
    checked_query,
    expected_version,
    fence_of,
    idempotency_key,
)
from eventlog.http.event_operations import EVENT_OPERATIONS, wants_stream
from eventlog.http.inspecting import Inspecting, Pages
from eventlog.http.limits import Limits
from eventlog.http.log_operations import LOG_OPERATIONS
from eventlog.http.message_operations import MESSAGE_OPERATIONS
from eventlog.http.openapi import document_of
from eventlog.http.principal import ANY, Authorize, Principal
from eventlog.http.routing import PREFIX, Routes, raw_path
from eventlog.http.run_operations import RUN_OPERATIONS
from eventlog.http.session_operations import SESSION_OPERATIONS
from eventlog.http.stream_operations import STREAM_OPERATIONS
from eventlog.http.turn_operations import TURN_OPERATIONS
from eventlog.http.wire_errors import Failure, RequestRefused, failure_of

__all__ = ["LOOPBACK", "ROUTES", "Application", "Pages", "create_app"]

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""The hosts that an app answers to unless it is told others."""

ROUTES: Final = Routes(
    (
        *SESSION_OPERATIONS,
        *MESSAGE_OPERATIONS,
        *STREAM_OPERATIONS,
        *TURN_OPERATIONS,
        *RUN_OPERATIONS,
        *LOG_OPERATIONS,
        *EVENT_OPERATIONS,
    )
)

PROBLEM: Final = "application/problem+json"

_PREFIX: Final = PREFIX.encode() + b"/"
_INSPECTOR: Final = b"/inspector/"
_READING: Final = ("GET", "HEAD")

_OVERLOADED: Final = Failure(
    503, "overloaded", "too many requests at once; try again", {}, (("Retry-After", "1"),)
)


def create_app(
    log: AsyncLog | Log,
    *,
    authorize: Authorize,
    hosts: Collection[str] = LOOPBACK,
    limits: Limits | None = None,
    pages: Pages | None = None,
) -> Application:
    """Return the API of a log as an ASGI application, to run or to mount in another one.

    ``authorize`` is given each request and returns its `Principal`, or None. Only it says whose
    sessions a request sees. A request whose ``Host`` is not one of ``hosts`` is refused, and so is
    one from a page of another origin: any web page can send requests to a port of this machine.
    ``"*"`` accepts every host, for services that are reached by names of others.

    ``pages`` answers beside the API: the page at ``/``, which has no data and is for everybody, and
    what that page asks for, which takes a principal who may read.

    The log stays open; who opened it closes it.
    """
    opened = log if isinstance(log, AsyncLog) else AsyncLog(log)
    return Application(opened, authorize, frozenset(hosts), limits or Limits(), pages)


class Application:
    """The API of one log; see `create_app`."""

    def __init__(
        self,
        log: AsyncLog,
        authorize: Authorize,
        hosts: frozenset[str],
        limits: Limits,
        pages: Pages | None = None,
    ) -> None:
        self._service = Service(log, limits)
        self._inspecting = None if pages is None else Inspecting(pages, self._service)
        self._authorize = authorize
        self._hosts = hosts
        self._limits = limits
        self._requests = self._streams = 0

    def end_streams(self) -> None:
        """End the streams of events, and whatever else waits for events: the server is to stop.

        Call it in the event loop of the server. Readers connect again and go on where they were.
        """
        self._service.watch.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif wants_stream(_accept(scope)):
            if self._streams >= self._limits.streams:
                await _refusal(_OVERLOADED, scope)(scope, receive, send)
                return
            self._streams += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._streams -= 1
        elif self._requests >= self._limits.requests:
            await _refusal(_OVERLOADED, scope)(scope, receive, send)
        else:
            self._requests += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._requests -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _Request(scope, receive)
        call: Call | None = None
        try:
            self._check_origin(request)
            path = raw_path(scope)
            if path == b"/openapi.json":
                response = _json(document_of(ROUTES.operations))
            elif self._inspecting is not None and path == b"/" and request.method in _READING:
                response = self._inspecting.page()
            elif self._inspecting is not None and path.startswith(_INSPECTOR):
                response = await self._inspected(self._inspecting, request, path)
            else:
                call = await self._let_in(request, path)
                await self._read(call)
                response = await call.operation.handler(call)
        except ClientDisconnect:
            return
        except (DuplicateEvent, VersionConflict) as error:
            response = _refusal(_failed_condition(error, call), scope)
        except EventLogError as error:
            response = _refusal(failure_of(error), scope)
        except Exception:
            logging.getLogger("eventlog").exception("request_failed")
            failure = Failure(500, "internal_error", "the server failed; its log says why", {})
            response = _refusal(failure, scope)
        await response(scope, receive, send)

    # ---- who, what and from where -------------------------------------------------------------

    def _check_origin(self, request: Request) -> None:
        """Refuse what a page of another site had a browser send (also where DNS was rebound)."""
        headers = request.headers
        host = headers.get("host", "")
        if "*" not in self._hosts and _hostname(host) not in self._hosts:
            raise RequestRefused("forbidden", "this Host is not served here")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise RequestRefused("forbidden", "pages of another origin are not served")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise RequestRefused("forbidden", "pages of another site are not served")

    async def _let_in(self, request: Request, path: bytes) -> Call:
        method = "GET" if request.method == "HEAD" else request.method
        if not path.startswith(_PREFIX):
            raise RequestRefused("not_found", f"the API is under {PREFIX}; see /openapi.json")
        operation, values = ROUTES.find(method, path[len(_PREFIX) :].split(b"/"))
        principal = await self._principal(request)
        if operation.action not in principal.actions:
            raise RequestRefused("forbidden", f"the action {operation.action!r} is not granted")
        return Call(self._service, request, operation, principal, values)

    async def _inspected(self, pages: Inspecting, request: Request, path: bytes) -> Response:
        """Answer what the page asks for, for a principal who may read."""
        principal = await self._principal(request)
        if request.method != "GET" or "read" not in principal.actions:
            raise RequestRefused("forbidden", "the page only reads, and reading is not granted")
        owner = None if principal.owner is ANY else str(principal.owner)
        name = path[len(_INSPECTOR) :].decode("ascii", "replace")
        return await pages.answer(request, name, owner)

    async def _principal(self, request: Request) -> Principal:
        found = self._authorize(request)
        principal = await found if inspect.isawaitable(found) else found
        if principal is None:
            raise RequestRefused(
                "unauthorized",
                "the request names nobody who may make it",
                headers=(("WWW-Authenticate", "Bearer"),),
            )
        return principal

    # ---- what it says -------------------------------------------------------------------------

    async def _read(self, call: Call) -> None:
        operation, request = call.operation, call.request
        call.query = checked_query(operation.query, request)
        if operation.keyed:
            call.key = idempotency_key(request)
        if operation.conditional:
            call.expected = expected_version(request)
        elif "if-match" in request.headers:
            raise RequestRefused("invalid_argument", "this operation does not take If-Match")
        if operation.fenced:
            call.fence = fence_of(request, operation.fenced == "must")
        elif "eventlog-fence" in request.headers:
            raise RequestRefused("invalid_argument", "this operation does not take Eventlog-Fence")
        model = operation.body
        if model is not None:
            content = await self._content(request)
            if not content and not operation.body_required:
                content = b"{}"
            else:
                _check_media_type(request)
            call.body = checked(partial(read_body, model, content))

    async def _content(self, request: Request) -> bytes:
        """Return the body, refused as soon as it is too large or takes too long."""
        limit = self._limits.body_bytes
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:19]) > limit:
            raise _too_large(limit)
        content = b""
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    said = await request.receive()
                    if said["type"] == "http.disconnect":
                        raise ClientDisconnect
                    content = said.get("body", b"")
                    size += len(content)
                    if size > limit:
                        raise _too_large(limit)
                    pieces.append(content)
                    if not said.get("more_body", False):
                        break
        except TimeoutError:
            raise RequestRefused(
                "timeout", "the body did not come in time", headers=(("Connection", "close"),)
            ) from None
        return content if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        "too_large",
        f"the body has more than {limit:,} bytes",
        headers=(("Connection", "close"),),  # What is still coming is not read.
    )


class _Headers(Headers):
    """The headers of a request, found by name without a search: a request looks for ten."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # The first of several is the one that counts.
        self._first = {
            str(name, "latin-1"): str(value, "latin-1")
            for name, value in reversed(scope["headers"])
        }

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower()]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._first


class _Request(Request):
    _found: Headers | None = None

    @property
    def headers(self) -> Headers:
        if self._found is None:
            self._found = _Headers(self.scope)
        return self._found


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _check_media_type(request: Request) -> None:
    if not _is_json(request.headers.get("content-type", "")):
        raise RequestRefused(
            "unsupported_media_type", "send the body as Content-Type: application/json"
        )


@lru_cache(maxsize=64)  # Few differ, and each may be 64 KiB long.
def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _accept(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"accept":
            return str(value, "latin-1")
    return ""


# ---- answers ----------------------------------------------------------------------------------


def _json(document: Any) -> Response:
    return Response(pydantic_core.to_json(document), 200, media_type="application/json")


def _failed_condition(error: DuplicateEvent | VersionConflict, call: Call | None) -> Failure:
    """Return the refusal of a request whose ``Idempotency-Key`` or ``If-Match`` does not hold."""
    failure = failure_of(error)
    if isinstance(error, VersionConflict) and call is not None and call.expected is not None:
        return failure._replace(status=412)
    if isinstance(error, DuplicateEvent) and call is not None and call.key is not None:
        return failure._replace(status=422, code="duplicate_key")
    return failure


def _refusal(failure: Failure, scope: Scope) -> Response:
    """Return a refusal in the API's envelope, or as a problem document if the request takes one."""
    said = {"code": failure.code, "message": failure.message, "details": failure.details}
    document: dict[str, Any] = {"status": "error", "error": said}
    media_type = "application/json"
    if PROBLEM in _accept(scope):
        media_type = PROBLEM
        title = failure.code.replace("_", " ").capitalize()
        document = {"type": "about:blank", "title": title, "status": failure.status}
        document |= {"detail": failure.message, "instance": scope["path"], "error": said}
    return Response(
        pydantic_core.to_json(document), failure.status, dict(failure.headers), media_type
    )


async def _live(receive: Receive, send: Send) -> None:
    """Answer the server's start and end: there is nothing to start, and the log is not ours."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
