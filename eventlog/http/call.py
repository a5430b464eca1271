"""One request on its way: who makes it, what it names and says, and what it may reach."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from eventlog import (
    AsyncLog,
    AsyncSession,
    InvalidArgument,
    InvalidMessage,
    OwnerMismatch,
    SessionNotFound,
    TaskNotFound,
    TaskView,
)
from eventlog.http.limits import Limits
from eventlog.http.principal import ANY, Principal
from eventlog.http.received import Received
from eventlog.http.routing import Operation
from eventlog.http.watching import Waiters
from eventlog.http.wire_errors import RequestRefused

__all__ = [
    "Call",
    "JsonResponse",
    "Service",
    "checked_query",
    "expected_version",
    "fence_of",
    "idempotency_key",
    "in_order",
    "invalid_fields",
    "json_response",
    "known_messages",
]

Model = TypeVar("Model", bound=BaseModel)

KEPT: Final = 1_024
"""Sessions that stay open between requests; others are opened again."""


class Service:
    """What the requests of one app share."""

    def __init__(self, log: AsyncLog, limits: Limits) -> None:
        self.log = log
        self.limits = limits
        self.watch = Waiters(log)
        self._open: OrderedDict[tuple[str | None, str], AsyncSession] = OrderedDict()

    def known_session(self, owner: str | None, session_id: str) -> AsyncSession | None:
        """Return a session that was opened before; None if it must be opened."""
        # Whose a session is never changes, so one that exists need not be opened again.
        known = self._open.get((owner, session_id))
        if known is not None:
            self._open.move_to_end((owner, session_id))
        return known

    async def open_session(
        self, owner: str | None, session_id: str, *, create: bool = False
    ) -> AsyncSession:
        """Open a session of an owner, or of anybody.

        Another owner's raises what one that does not exist raises; with ``create``, what one that
        is taken raises.
        """
        try:
            session = await self.log.session(session_id, create=create, owner=owner)
        except OwnerMismatch:
            if create:
                raise
            raise SessionNotFound(session_id) from None
        if not session.version and not create:
            raise SessionNotFound(session_id)  # Another request is about to create it.
        if session.version:
            self._open[owner, session_id] = session
            if len(self._open) > KEPT:
                self._open.popitem(last=False)
        return session


@dataclass(slots=True)
class Call:
    """A request that was let in, with what it says."""

    service: Service
    request: Received
    operation: Operation
    principal: Principal
    path: dict[str, str]
    query: Any = None
    body: Any = None
    key: str | None = None
    expected: int | None = None
    """The version that the session must be at, from ``If-Match``."""
    fence: int | None = None
    """The fence of the turn that the command belongs to, from ``Eventlog-Fence``."""

    @property
    def log(self) -> AsyncLog:
        return self.service.log

    @property
    def by(self) -> dict[str, Any]:
        """Who and what a command is recorded with."""
        field = self.request.field
        by: dict[str, Any] = {
            "actor": self.principal.actor,
            "correlation_id": field(b"eventlog-correlation-id"),
            "causation_id": field(b"eventlog-causation-id"),
            "idempotency_key": self.key,
        }
        traceparent = field(b"traceparent")
        # As the standard wants it, what cannot be read is ignored.
        if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
            by["trace"] = traceparent
        return by

    @property
    def by_origin(self) -> dict[str, Any]:
        """As `by`, for commands that have an id of their own."""
        return {name: value for name, value in self.by.items() if name != "idempotency_key"}

    @property
    def holder(self) -> str:
        """Who holds what the request begins, in words."""
        return self.principal.actor or "a client over HTTP"

    @property
    def by_expected(self) -> dict[str, Any]:
        """As `by`, with the version that the session must be at, if there is one."""
        return self.by if self.expected is None else {**self.by, "expected": self.expected}

    def may(self, action: Literal["read", "write", "operate"]) -> bool:
        return action in self.principal.actions

    async def session(self, *, create: bool = False) -> AsyncSession:
        """Open the session that the path names: as the turn's, if the request has a fence."""
        session = await self._session(self.path["session_id"], create)
        if self.fence is None:
            return session
        with in_order():
            return await session.held_turn(self.fence)

    async def _session(self, session_id: str, create: bool) -> AsyncSession:
        principal, service = self.principal, self.service
        owner = None if principal.owner is ANY else str(principal.owner)
        known = service.known_session(owner, session_id)
        if known is not None:
            return known
        return await service.open_session(owner, session_id, create=create)

    async def owns(self, session_id: str) -> bool:
        """Return whether a session is one that the principal may see."""
        try:
            await self._session(session_id, False)
        except SessionNotFound:
            return False
        return True

    async def own_task(self, task_id: str) -> TaskView:
        """Return a task of the principal's sessions."""
        task = await self.log.task(task_id)
        if not await self.owns(task.session_id):
            raise TaskNotFound(task_id)
        return task


@contextmanager
def in_order(code: str = "out_of_order") -> Generator[None]:
    """Refuse what is continued although it did not begin so: the request itself is a sound one."""
    try:
        yield
    except InvalidArgument as error:
        raise RequestRefused(code, str(error)) from error


@contextmanager
def known_messages() -> Generator[None]:
    """Refuse the name of a message or a call that the session does not have."""
    try:
        yield
    except InvalidMessage as error:
        if error.field not in ("message_ids", "message_id", "tool_id", "occurrence"):
            raise
        details = {name: getattr(error, name) for name in ("reason", "field", "line", "index")}
        raise RequestRefused("message_not_found", str(error), details=details) from None


_JSON: Final = (b"content-type", b"application/json")


class JsonResponse(Response):
    """A JSON document as an answer; of a session with its version as the ``ETag``."""

    def __init__(self, document: Any, status: int = 200, version: int | None = None) -> None:
        # What the class above does, without encoding fields that never differ.
        self.status_code = status
        self.background = None
        self.body = body = pydantic_core.to_json(document)
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _JSON]
        if version is not None:
            self.raw_headers.append((b"etag", b'"%d"' % version))


def json_response(
    document: Any, status: int = 200, *, session: AsyncSession | None = None
) -> Response:
    """Return an answer; with a session, its version as the ``ETag``."""
    return JsonResponse(document, status, None if session is None else session.version)


# ---- what a request says ----------------------------------------------------------------------

_TRACEPARENT: Final = re.compile(
    r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_VERSION: Final = re.compile(r'([0-9]{1,17})|"([0-9]{1,17})"', re.ASCII)
_KEY: Final = re.compile(
    r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"|([\x21\x23-\x7e]+)', re.ASCII
)

KEY_CHARACTERS: Final = 255


def checked_query(model: type[Model] | None, request: Received) -> Model | None:
    """Read the query; unknown and repeated names are refused, and numbers are digits."""
    sent: dict[str, Any] = {}
    for name, value in request.query_params.multi_items() if request.scope["query_string"] else ():
        if name in sent or model is None or name not in model.model_fields:
            said = "is given twice" if name in sent else "is no parameter of this operation"
            raise _invalid([(name, said)])
        sent[name] = _typed(model, name, value)
    if model is None:
        return None
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise invalid_fields(error) from None


def _typed(model: type[BaseModel], name: str, text: str) -> Any:
    annotation = str(model.model_fields[name].annotation)
    if "bool" in annotation and text in ("true", "false"):
        return text == "true"
    if "int" in annotation and _INTEGER.fullmatch(text):
        return int(text)
    return text


def invalid_fields(error: ValidationError) -> RequestRefused:
    """Return the refusal that names each wrong field."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return _invalid(
        [(".".join(str(place) for place in entry["loc"]), entry["msg"]) for entry in found[:20]]
    )


def _invalid(problems: list[tuple[str, str]]) -> RequestRefused:
    field, reason = problems[0]
    errors = [{"field": name or None, "reason": said} for name, said in problems]
    text = f"field {field!r}: {reason}" if field else reason
    return RequestRefused("invalid_argument", text, details={"errors": errors})


def expected_version(request: Received) -> int | None:
    """Read ``If-Match``: a version, in quotes as ``ETag`` has it, or bare."""
    header = request.field(b"if-match")
    if header is None:
        return None
    found = _VERSION.fullmatch(header.strip())
    if found is None:
        raise RequestRefused("invalid_argument", 'If-Match must be one version, such as "17"')
    return int(found[1] or found[2])


def fence_of(request: Received, needed: bool) -> int | None:
    """Read ``Eventlog-Fence``: the version at which an attempt at a turn began."""
    header = request.field(b"eventlog-fence")
    if header is None and not needed:
        return None
    found = _VERSION.fullmatch((header or "").strip())
    fence = 0 if found is None else int(found[1] or found[2])
    if not fence:
        raise RequestRefused(
            "invalid_argument", "Eventlog-Fence must be the fence with which the turn was begun"
        )
    return fence


def idempotency_key(request: Received) -> str | None:
    """Read ``Idempotency-Key``: a string in quotes, as the draft has it, or bare."""
    header = request.field(b"idempotency-key")
    if header is None:
        return None
    found = _KEY.fullmatch(header.strip())
    quoted, bare = cast("tuple[str | None, str | None]", found.groups() if found else (None, None))
    key = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if not key or len(key) > KEY_CHARACTERS:
        raise RequestRefused(
            "invalid_argument",
            f"Idempotency-Key must be 1 to {KEY_CHARACTERS} printable ASCII characters, in quotes "
            "or without spaces",
        )
    return key
