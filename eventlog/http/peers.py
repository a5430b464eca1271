"""What a peer may do to a connection before and after its request: uvicorn itself has no limit there.

A header may take a while and have some bytes, and an answer that is not read is given up. A request's
body is limited by the application, which knows what its bytes are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from eventlog.http.answering import Answer
from eventlog.http.limits import Limits

__all__ = ["BoundedProtocol", "bounded_protocol"]

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def bounded_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol of connections with these limits."""

    class Bounded(BoundedProtocol):
        limits_of_peers = limits

    return Bounded


class _Timer:
    """Calls a function once, unless it is ended before."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        return self._handle is not None

    def begin(
        self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]
    ) -> None:
        self.end()
        self._handle = loop.call_later(seconds, call)

    def end(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request that comes whole costs it two assignments, and no timer."""

    limits_of_peers: Limits

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_header = True
        self._header_bytes = 0
        self._idle_since: float | None = None
        self._header_timer = _Timer()
        self._write_timer = _Timer()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._header_timer.end()
        self._write_timer.end()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)

    # ---- the header ---------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request.
        if not self._in_header and not (cycle is None or cycle.response_complete):
            return
        if self.transport.is_closing():
            return
        self._header_bytes += len(data)
        if self._header_bytes > self.limits_of_peers.header_bytes:
            self._refuse(_TOO_LARGE)
        elif not self._header_timer.runs:
            self._await_header()

    def on_message_begin(self) -> None:
        self._in_header = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_header, self._header_bytes = False, 0
        if self._header_timer.runs:
            self._header_timer.end()
        if not self.url.startswith(b"/"):
            self._take_host_from_url()
        super().on_headers_complete()
        # Trailers of a chunked body are no part of the header: they come to a list of their own.
        self.headers = []
        # The answer has not begun: its task runs later.
        cast("Any", self.cycle).send = Answer(self.cycle).send

    def _take_host_from_url(self) -> None:
        """Let the host of a URL, as proxies are sent it, count in place of the field."""
        parsed = httptools.parse_url(self.url)
        if parsed.host:
            host = b"[%b]" % parsed.host if b":" in parsed.host else parsed.host
            port = b":%d" % parsed.port if parsed.port else b""
            self.headers[:] = [field for field in self.headers if field[0] != b"host"]
            self.headers.append((b"host", host + port))

    def _await_header(self) -> None:
        seconds = self.limits_of_peers.header_seconds
        self._header_timer.begin(self.loop, seconds, self._refuse_late)

    def _refuse_late(self) -> None:
        self._refuse(_TOO_LATE)

    def _refuse(self, answer: bytes) -> None:
        """Close the connection; say why, unless another answer is on its way."""
        self._header_timer.end()
        if self.transport.is_closing():
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request.
        if cycle is None or cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()

    # ---- between requests ---------------------------------------------------------------------
    # One timer looks now and then whether the connection is idle: to begin one after each answer, and
    # to cancel it at the next request, would be work for every request.

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # The next answer begins another timer.
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_after(left)
        else:
            super().timeout_keep_alive_handler()

    # ---- the end ---------------------------------------------------------------------------------

    def end_stream(self) -> None:
        """Cut off a peer that does not read its stream, which cannot be ended in good order."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request.
        if cycle is not None and cycle.chunked_encoding and self.flow.write_paused:
            self.transport.abort()

    # ---- the answer ---------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self.limits_of_peers.write_seconds
        self._write_timer.begin(self.loop, seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._write_timer.end()
        super().resume_writing()
