"""A request as it was received: its header by names, and its body within limits.

This is on the way of every request, so it does as little as it can: names are looked up in one
dictionary, and a body that is there already needs no timer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Generator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from eventlog.http.limits import Limits
from eventlog.http.wire_errors import RequestRefused

__all__ = ["Received", "authority_of", "host_name"]

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.~-]+))(?::[0-9]*)?", re.ASCII)

_ONCE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"eventlog-causation-id",
        b"eventlog-correlation-id",
        b"eventlog-fence",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
        b"traceparent",
    }
)
"""Fields of which there is one at most. A proxy may have looked at another than we would."""


class Received(Request):
    """A request; `field` finds a header field without a search."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        headers = scope["headers"]
        self._fields: dict[bytes, bytes] = dict(headers)
        if len(self._fields) < len(headers):
            self._fields = _joined(headers)

    def field(self, name: bytes) -> str | None:
        """Return the value of a header field, its name in lower case; None if there is none."""
        value = self._fields.get(name)
        return None if value is None else value.decode("latin-1")

    def has(self, name: bytes) -> bool:
        """Return whether there is a header field."""
        return name in self._fields

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Return whether there is a header field with one of some names."""
        return not names.isdisjoint(self._fields)

    def check_json(self) -> None:
        """Raise `RequestRefused` unless the body is JSON, as it is and not packed."""
        if not _is_json(self.field(b"content-type") or ""):
            raise RequestRefused(
                "unsupported_media_type", "send the body as Content-Type: application/json"
            )
        encoding = self._fields.get(b"content-encoding", b"identity").lower()
        transfer = self._fields.get(b"transfer-encoding", b"chunked").lower()
        if encoding != b"identity" or transfer != b"chunked":
            raise RequestRefused("unsupported_media_type", "send the body without compression")

    async def content(self, limits: Limits) -> bytes:
        """Return the body; raises `RequestRefused` as soon as it is too large or takes too long."""
        limit = limits.body_bytes
        length = self._fields.get(b"content-length", b"")
        if length.isdigit() and int(length[:19]) > limit:
            raise _too_large(limit)
        first = _Begun(self.receive())
        if first.is_done:
            said = first.result
            content: bytes = said.get("body", b"")
            if said["type"] == "http.request" and not said.get("more_body", False):
                if len(content) > limit:
                    raise _too_large(limit)
                return content
        try:
            async with asyncio.timeout(limits.body_seconds):
                return await self._whole(await first, limit)
        except TimeoutError:
            raise RequestRefused(
                "timeout", "the body did not come in time", headers=(("Connection", "close"),)
            ) from None

    async def _whole(self, said: Any, limit: int) -> bytes:
        """Return the body that begins with a message of the server."""
        pieces: list[bytes] = []
        size = 0
        while True:
            if said["type"] == "http.disconnect":
                raise ClientDisconnect
            pieces.append(said.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise _too_large(limit)
            if not said.get("more_body", False):
                return b"".join(pieces)
            said = await self.receive()


class _Begun:
    """A coroutine that was run up to where it first waits. Await it for its result."""

    def __init__(self, begun: Awaitable[Any]) -> None:
        self._steps = begun.__await__()
        self.is_done = False
        self.result: Any = None
        try:
            self._waits_for = next(self._steps)
        except StopIteration as end:
            self.is_done, self.result = True, end.value

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = None if self.is_done else self._waits_for
        while not self.is_done:
            try:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                    waits_for = self._steps.throw(error)
                else:
                    waits_for = next(self._steps)
            except StopIteration as end:
                self.is_done, self.result = True, end.value
        return self.result


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the fields of a header in which one occurs more than once, as one list each."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in fields and name in _ONCE:
            raise RequestRefused(
                "invalid_argument", f"the header field {name.decode('latin-1')} is given twice"
            )
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        "too_large",
        f"the body has more than {limit:,} bytes",
        headers=(("Connection", "close"),),  # What is still coming is not read.
    )


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


@lru_cache(maxsize=64)  # Few differ, and each may be 64 KiB long.
def host_name(host: str) -> str:
    """Return the name in a ``Host`` field, without the port; an empty text if it is none."""
    found = _HOST.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).lower()


@lru_cache(maxsize=64)
def authority_of(origin: str) -> str:
    """Return the host and port of an ``Origin``; an empty text if it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
