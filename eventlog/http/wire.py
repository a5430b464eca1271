"""What both clients share: how requests are made, when they are repeated, and what answers mean."""

from __future__ import annotations

import random
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pydantic_core
from typing_extensions import TypedDict

from eventlog import (
    ANY,
    Indeterminate,
    InvalidArgument,
    Message,
    Recorded,
    StoreUnavailable,
    ToolPart,
    UnavailableError,
)
from eventlog.http.documents import recorded_from
from eventlog.http.routing import PREFIX
from eventlog.http.wire_errors import error_from

__all__ = [
    "ATTEMPTS",
    "CANCELLATIONS",
    "EVENT_BYTES",
    "STREAM_SECONDS",
    "TIMEOUT_SECONDS",
    "WAIT_SECONDS",
    "By",
    "Origin",
    "Sent",
    "answer_of",
    "as_json",
    "client_options",
    "failed",
    "get",
    "post",
    "request_options",
    "sent_content",
    "sent_ids",
    "sent_message",
    "sent_messages",
    "streamed",
    "try_again_after",
    "version_of",
]

ATTEMPTS: Final = 4
"""How often a request is made that gets no answer, or that the server cannot answer now."""

TIMEOUT_SECONDS: Final = 30.0
"""How long an answer may take."""

WAIT_SECONDS: Final = 10.0
"""How long the server may wait before it answers that another turn is open; then it is asked again."""

CANCELLATIONS: Final = (CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a turn ``cancelled`` when it leaves the block."""

STREAM_SECONDS: Final = 45.0
"""A stream that is silent for longer is dead: three heartbeats of the server."""

EVENT_BYTES: Final = 64 * 1024 * 1024
"""The largest event that is read from a stream."""

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 10.0

_REPEATED: Final = frozenset({408, 429, 502, 503, 504})


class Origin(TypedDict, total=False):
    """What a command is recorded with, beside the actor, whom the server knows."""

    correlation_id: str | None
    causation_id: str | None
    trace: str | None


class By(Origin, total=False):
    """As `Origin`, and the key by which a repeated command is recognised."""

    idempotency_key: str | None


class Sent(NamedTuple):
    """A request that may be repeated: it reads, or it has a key."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes | None = None


def _path(segments: Iterable[str]) -> str:
    # A dot alone would be taken for a step in the path.
    return "/".join([PREFIX, *(quote(it, safe="").replace(".", "%2E") for it in segments)])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def get(*segments: str, headers: Mapping[str, str] | None = None, **query: Any) -> Sent:
    """Return a request that reads; what is None is left out of the query."""
    said = {name: _text(value) for name, value in query.items() if value is not None}
    return Sent("GET", _path(segments), said, headers or {})


def post(
    *segments: str,
    body: Any = None,
    by: Mapping[str, Any],
    keyed: bool = True,
    expected: int | Literal["any"] = ANY,
    method: str = "POST",
    fence: int | None = None,
    **query: Any,
) -> Sent:
    """Return a command. Without a key of the caller it gets one, so that it can be repeated.

    Where ``keyed`` is false, the ids of messages are their keys.
    """
    key = by.get("idempotency_key")
    if key is None and keyed:
        key = str(uuid4())
    headers = {
        "Idempotency-Key": None if key is None else _quoted(key),
        "Eventlog-Correlation-Id": by.get("correlation_id"),
        "Eventlog-Causation-Id": by.get("causation_id"),
        "traceparent": by.get("trace"),
        "If-Match": None if expected == ANY else f'"{expected}"',
        "Eventlog-Fence": None if fence is None else str(fence),
        "Content-Type": None if body is None else "application/json",
    }
    content = None if body is None else _json(body)
    said = {name: _text(value) for name, value in query.items() if value is not None}
    sent = {name: value for name, value in headers.items() if value is not None}
    return Sent(method, _path(segments), said, sent, content)


def _json(value: Any) -> bytes:
    try:
        return pydantic_core.to_json(value, inf_nan_mode="constants")
    except (pydantic_core.PydanticSerializationError, ValueError) as error:
        raise InvalidArgument(f"it cannot be sent as JSON: {error}; correct the value") from error


def as_json(value: Any) -> Any:
    """Return a value as it will be read back."""
    return pydantic_core.from_json(_json(value))


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def request_options(sent: Sent) -> dict[str, Any]:
    """Return the arguments of an HTTP client for a request."""
    return {
        "method": sent.method,
        "url": sent.path,
        "params": dict(sent.query),
        "headers": dict(sent.headers),
        "content": sent.content,
    }


# ---- messages ---------------------------------------------------------------------------------


def sent_message(message: Message | dict[str, Any], key: str | None) -> dict[str, Any]:
    """Return a message as it is sent: with an id, unless a key of the caller stands for it."""
    if isinstance(message, Message):
        fields = message.as_data()
        # A time that was drawn is no part of what makes two messages the same: the server draws it.
        drawn = {"created_at"} if key is None else {"id", "created_at"}
        drawn -= message.model_fields_set
        return {name: value for name, value in fields.items() if name not in drawn}
    return message if key is not None or "id" in message else {"id": str(uuid4()), **message}


def sent_messages(
    messages: Iterable[Message | dict[str, Any]], key: str | None
) -> list[dict[str, Any]]:
    """Return messages as they are sent."""
    return [sent_message(message, key) for message in messages]


def sent_ids(message_ids: Sequence[str] | None) -> list[str] | None:
    """Return ids as they are sent; one text alone is no list of them."""
    if isinstance(message_ids, str):
        raise InvalidArgument("message_ids must be a list of ids, not a single text")
    return None if message_ids is None else list(message_ids)


def sent_content(content: str | Sequence[Mapping[str, Any] | ToolPart]) -> Any:
    """Return a chunk as it is sent: a text, or parts."""
    if isinstance(content, str):
        return content
    return [
        part.model_dump(exclude_unset=True) if isinstance(part, ToolPart) else dict(part)
        for part in content
    ]


# ---- answers ----------------------------------------------------------------------------------


def try_again_after(
    attempt: int,
    attempts: int,
    response: httpx2.Response | None,
    draw: Callable[[], float] = random.random,
) -> float | None:
    """Return the seconds after which a request is repeated, or None if it is not.

    ``response`` is the answer, or None if there was none.
    """
    if attempt >= attempts or (response is not None and response.status_code not in _REPEATED):
        return None
    longest: float = min(_FIRST_DELAY_SECONDS * 2**attempt, _LONGEST_DELAY_SECONDS)
    said: str = "" if response is None else response.headers.get("retry-after", "")
    least = float(said) if said.isascii() and said.isdigit() else 0.0
    delay: float = min(least, _LONGEST_DELAY_SECONDS) + longest * (0.5 + draw() / 2)
    return delay


def answer_of(response: httpx2.Response) -> Any:
    """Return the document of an answer; raise the error that it is about."""
    if response.is_success:
        return None if response.status_code == 204 else pydantic_core.from_json(response.content)
    try:
        document = pydantic_core.from_json(response.content)
    except ValueError:
        document = None
    raise error_from(response.status_code, document)


def failed(error: Exception, sent: Sent) -> UnavailableError:
    """Return the error of a request that got no answer."""
    text = f"the server did not answer {sent.method} {sent.path}: {type(error).__name__}: {error}"
    if sent.method == "GET" or isinstance(error, httpx2.ConnectError):
        return StoreUnavailable(text)
    return Indeterminate(text)


def version_of(document: dict[str, Any] | None, known: int) -> int:
    """Return the newest version of a session that is known after an answer."""
    version = None if document is None else document.get("version")
    return max(known, version) if isinstance(version, int) else known


def streamed(event: httpx2.ServerSentEvent) -> Recorded | None:
    """Return the event of a session that a stream sent; raise the error that it sent instead."""
    if not event.data:
        return None
    try:
        document = pydantic_core.from_json(event.data)
    except ValueError:
        return None  # The end of a stream that was cut; it is read again.
    if event.event == "error":
        raise error_from(503, document)
    return recorded_from(document)


def client_options(url: str, token: str | None, timeout: float) -> dict[str, Any]:
    """Return what an HTTP client is built with."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout}
