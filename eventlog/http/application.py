"""The ASGI application: lets requests in, finds their operation, and answers for its errors."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

import pydantic_core
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from eventlog import AsyncLog, DuplicateEvent, EventLogError, Log, VersionConflict
from eventlog.http.call import (
    Call,
    JsonResponse,
    Service,
    checked_query,
    expected_version,
    fence_of,
    idempotency_key,
    invalid_fields,
)
from eventlog.http.event_operations import EVENT_OPERATIONS, wants_stream
from eventlog.http.inspecting import Inspecting, Pages
from eventlog.http.limits import Limits
from eventlog.http.log_operations import LOG_OPERATIONS
from eventlog.http.message_operations import MESSAGE_OPERATIONS
from eventlog.http.openapi import document_of
from eventlog.http.principal import ANY, Authorize, Principal
from eventlog.http.received import Received, authority_of, host_name
from eventlog.http.routing import PREFIX, Routes, only, raw_path
from eventlog.http.sent_messages import read_body
from eventlog.http.session_operations import SESSION_OPERATIONS
from eventlog.http.stream_operations import STREAM_OPERATIONS
from eventlog.http.turn_operations import RUN_OPERATIONS, TURN_OPERATIONS
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

_OVERLOADED: Final = Failure(
    503, "overloaded", "too many requests at once; try again", {}, (("Retry-After", "1"),)
)

_STOPPED: Final = Failure(
    *(503, "indeterminate", "the server stops; repeat the request with its key", {}),
    (("Retry-After", "1"), ("Connection", "close")),
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
    return Application(
        opened, authorize, frozenset(map(str.lower, hosts)), limits or Limits(), pages
    )


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
        self._any_host = "*" in hosts
        self._limits = limits
        self._requests = self._streams = 0

    def end_streams(self) -> None:
        """End the streams of events, and whatever else waits for events: the server is to stop.

        Call it in the event loop of the server. Readers connect again and go on where they were.
        """
        self._service.watch.end()

    async def refuse_stopped(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that was cut off since the server stops, unless its answer has begun."""
        with suppress(RuntimeError):
            await _refusal(_STOPPED, scope)(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _answer_other(scope, receive, send)
            return
        try:
            request = Received(scope, receive)
        except RequestRefused as refused:
            await _refusal(refused.failure, scope)(scope, receive, send)
            return
        if wants_stream(request.field(b"accept") or ""):
            if self._streams >= self._limits.streams:
                await _refusal(_OVERLOADED, scope)(scope, receive, send)
                return
            self._streams += 1
            try:
                await (await self._answer(request))(scope, receive, send)
            finally:
                self._streams -= 1
        elif self._requests >= self._limits.requests:
            await _refusal(_OVERLOADED, scope)(scope, receive, send)
        else:
            self._requests += 1
            try:
                await (await self._answer(request))(scope, receive, send)
            finally:
                self._requests -= 1

    async def _answer(self, request: Received) -> ASGIApp:
        scope = request.scope
        call: Call | None = None
        try:
            self._check_origin(request)
            path = raw_path(scope)
            if path.startswith(_PREFIX):
                call = await self._let_in(request, path)
                await self._read(call)
                return await call.operation.handler(call)
            return await self._answer_beside(request, path)
        except ClientDisconnect:
            return _nothing
        except (DuplicateEvent, VersionConflict) as error:
            return _refusal(_failed_condition(error, call), scope)
        except EventLogError as error:
            return _refusal(failure_of(error), scope)
        except Exception:
            logging.getLogger("eventlog").exception("request_failed")
            failure = Failure(500, "internal_error", "the server failed; its log says why", {})
            return _refusal(failure, scope)

    async def _answer_beside(self, request: Received, path: bytes) -> Response:
        """Answer what is no operation of the API: its description, and the page."""
        method = request.method
        if path == b"/openapi.json":
            if method not in ("GET", "HEAD"):
                raise only(("GET",), method)
            return JsonResponse(document_of(ROUTES.operations))
        if self._inspecting is not None and path == b"/" and method in ("GET", "HEAD"):
            return self._inspecting.page()
        if self._inspecting is not None and path.startswith(_INSPECTOR):
            return await self._inspected(self._inspecting, request, path)
        raise RequestRefused("not_found", f"the API is under {PREFIX}; see /openapi.json")

    # ---- who, what and from where -------------------------------------------------------------

    def _check_origin(self, request: Received) -> None:
        """Refuse what a page of another site had a browser send (also where DNS was rebound)."""
        host = request.field(b"host") or ""
        if not self._any_host and host_name(host) not in self._hosts:
            raise RequestRefused("forbidden", "this Host is not served here")
        origin = request.field(b"origin")
        if origin is not None and authority_of(origin) != host.lower():
            raise RequestRefused("forbidden", "pages of another origin are not served")
        if request.field(b"sec-fetch-site") in ("cross-site", "same-site"):
            raise RequestRefused("forbidden", "pages of another site are not served")

    async def _let_in(self, request: Received, path: bytes) -> Call:
        method = request.scope["method"]
        if method == "HEAD":
            method = "GET"
        operation, values = ROUTES.find(method, path[len(_PREFIX) :].split(b"/"))
        principal = await self._principal(request)
        if operation.action not in principal.actions:
            raise RequestRefused("forbidden", f"the action {operation.action!r} is not granted")
        return Call(self._service, request, operation, principal, values)

    async def _inspected(self, pages: Inspecting, request: Received, path: bytes) -> Response:
        """Answer what the page asks for, for a principal who may read."""
        principal = await self._principal(request)
        if request.method != "GET" or "read" not in principal.actions:
            raise RequestRefused("forbidden", "the page only reads, and reading is not granted")
        owner = None if principal.owner is ANY else str(principal.owner)
        name = path[len(_INSPECTOR) :].decode("ascii", "replace")
        return await pages.answer(request, name, owner)

    async def _principal(self, request: Received) -> Principal:
        found = self._authorize(request)
        principal = found if found is None or isinstance(found, Principal) else await found
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
        if operation.query is not None or request.scope["query_string"]:
            call.query = checked_query(operation.query, request)
        if request.has_any(_OF_COMMANDS) or operation.fenced == "must":
            _read_header(call)
        model = operation.body
        if model is not None:
            content = await request.content(self._limits)
            if not content and not operation.body_required:
                content = b"{}"
            else:
                request.check_json()
            try:
                call.body = read_body(model, content)
            except ValidationError as error:
                raise invalid_fields(error) from None


_OF_COMMANDS: Final = frozenset({b"idempotency-key", b"if-match", b"eventlog-fence"})


def _read_header(call: Call) -> None:
    """Read the fields that say how a command is to be taken."""
    operation, request = call.operation, call.request
    if operation.keyed:
        call.key = idempotency_key(request)
    if operation.conditional:
        call.expected = expected_version(request)
    elif request.has(b"if-match"):
        raise RequestRefused("invalid_argument", "this operation does not take If-Match")
    if operation.fenced:
        call.fence = fence_of(request, operation.fenced == "must")
    elif request.has(b"eventlog-fence"):
        raise RequestRefused("invalid_argument", "this operation does not take Eventlog-Fence")


def _accept(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"accept":
            return str(value, "latin-1")
    return ""


# ---- answers ----------------------------------------------------------------------------------


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nobody: the client is gone."""


async def _answer_other(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what is no request of HTTP: the server's start and end, and web sockets."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})


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
