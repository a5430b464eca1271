"""How an answer leaves the server: one whose length is known goes out whole, with one system call.

uvicorn writes the head of an answer and then its body, and looks at each field by itself. This does the
same for the answers of the API in one step, and leaves every other answer to uvicorn: streams, answers
that end the connection, and what comes while a peer does not read.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

__all__ = ["Answer"]

_JOINED_BYTES: Final = 64 * 1024
"""Bodies beyond this are not copied to join them with their head."""

_FIELDS: Final = re.compile(rb"(?:[!#-'*+.0-9^-z|~-]+: [\t\x20-\x7e\x80-\xff]*\r\n)+")
"""The fields of a head, their names in lower case; as many as there are lines."""

_OF_CONNECTIONS: Final = frozenset({b"connection", b"transfer-encoding"})


class Answer:
    """Sends the answer of one request: its head waits for its body, if that comes at once."""

    __slots__ = ("_cycle", "_length", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: dict[str, Any] | None = None
        self._length: int | None = None
        """The length of the body, as the head says it."""

    async def send(self, message: Any) -> None:
        """Take a message of the application; see the ASGI specification."""
        cycle = self._cycle
        if message["type"] == "http.response.start" and not cycle.response_started:
            self._length = _length_of(message)
            if self._length is not None:
                self._start = message  # Nothing has gone out: another answer may still replace it.
                return
            self._start = None
        start, self._start = self._start, None
        if start is not None:
            content = _whole_answer(cycle, start, self._length, message)
            if content is not None:
                cycle.transport.write(content)
                _complete(cycle)
                return
            await RequestResponseCycle.send(cycle, cast("Any", start))
        await RequestResponseCycle.send(cycle, message)


def _length_of(start: dict[str, Any]) -> int | None:
    for name, value in start.get("headers", ()):
        if name == b"content-length":
            return int(value)
    return None


def _whole_answer(
    cycle: RequestResponseCycle, start: dict[str, Any], length: int | None, message: dict[str, Any]
) -> bytes | None:
    """Return an answer as it goes out, or None if uvicorn is to send it."""
    body: bytes = message.get("body", b"")
    if (
        message.get("more_body", False)
        or len(body) > _JOINED_BYTES
        or length != len(body)
        or cycle.disconnected
        or cycle.flow.write_paused
        or cycle.access_log
        or not cycle.keep_alive
        or cycle.scope["method"] == "HEAD"
    ):
        return None
    fields = [*cycle.default_headers, *start.get("headers", ())]
    if not _OF_CONNECTIONS.isdisjoint([name for name, _ in fields]):
        return None
    head = b"".join([b"%b: %b\r\n" % field for field in fields])
    if head.count(b"\n") != len(fields) or _FIELDS.fullmatch(head) is None:
        return None
    return b"%b%b\r\n%b" % (STATUS_LINE[start["status"]], head, body)


def _complete(cycle: RequestResponseCycle) -> None:
    """Leave a request as uvicorn does once its answer is written."""
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = cycle.chunked_encoding = False
    # Otherwise cycle and answer hold each other, which is work for the garbage collector.
    del cycle.__dict__["send"]
    cycle.message_event.set()
    cycle.on_response()
