"""An answer goes out whole, byte for byte as uvicorn would send it; other answers are uvicorn's."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from eventlog.http.answering import Answer
from eventlog.http.limits import Limits
from eventlog.http.peers import bounded_protocol

JSON = (b"content-type", b"application/json")


def length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size


def start(*fields: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*fields]}


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


class Sent:
    """What goes out for some messages of an application, and how the request is left."""

    def __init__(self, messages: list[Any], *, whole: bool, **state: Any) -> None:
        self.writes: list[bytes] = []
        self.calls: list[str] = []
        transport = SimpleNamespace(
            write=self.writes.append, close=lambda: self.calls.append("close")
        )
        logger = logging.getLogger("uvicorn.error")
        self.cycle = RequestResponseCycle(
            scope=cast("Any", {"method": state.pop("method", "GET"), "http_version": "1.1"}),
            transport=cast("Any", transport),
            flow=cast("Any", SimpleNamespace(write_paused=False)),
            logger=logger,
            access_logger=logger,
            access_log=False,
            default_headers=[(b"date", b"Mon, 30 Nov 2026 12:00:00 GMT")],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=state.pop("keep_alive", True),
            on_response=lambda: self.calls.append("complete"),
        )
        vars(self.cycle).update(state)
        if whole:
            cast("Any", self.cycle).send = Answer(self.cycle).send
        self.error: object = None
        try:
            for message in messages:
                asyncio.run(self.cycle.send(message))
        except RuntimeError as error:
            self.error = str(error)

    @property
    def left(self) -> Any:
        cycle = self.cycle
        flags = cycle.response_started, cycle.response_complete, cycle.chunked_encoding
        waits = cycle.message_event.is_set(), cycle.keep_alive, cycle.expected_content_length
        return b"".join(self.writes), self.calls, self.error, flags, waits


@pytest.mark.parametrize(
    ("messages", "state", "writes"),
    [
        ([start(length(2), JSON), body(b"hi")], {}, 1),
        ([start(length(0), status=404), body(b"")], {}, 1),
        (
            [start(length(2), (b"etag", b'"3"')), {"type": "http.response.body", "body": b"hi"}],
            {},
            1,
        ),
        ([start(length(70_000)), body(b"x" * 70_000)], {}, 2),
        ([start(length(4)), body(b"hi", more=True), body(b"ho")], {}, 3),
        ([start(JSON), body(b"hi", more=True), body(b"")], {}, 3),
        ([start(length(2)), body(b"hi")], {"method": "HEAD"}, 1),
        ([start(length(2)), body(b"hi")], {"keep_alive": False}, 2),
        ([start(length(2), (b"connection", b"close")), body(b"hi")], {}, 2),
        ([start(length(2)), body(b"hi")], {"disconnected": True}, 0),
        ([start(status=204), body(b"")], {}, 2),
        ([start(length(3)), body(b"hi")], {}, 2),
        ([start(length(1)), body(b"hi")], {}, 1),
        ([start(length(2), (b"x", b"a\r\nb: c")), body(b"hi")], {}, 0),
        ([start(length(2), (b"X", b"a")), body(b"hi")], {}, 2),
        ([start(length(2)), body(b"hi"), body(b"hi")], {}, 1),
        ([body(b"hi")], {}, 0),
    ],
)
def test_an_answer_is_the_one_that_uvicorn_sends_in_one_piece_where_it_is_whole(
    messages: list[Any], state: dict[str, Any], writes: int
) -> None:
    ours, plain = (Sent(messages, whole=whole, **state) for whole in (True, False))
    assert ours.left == plain.left
    assert len(ours.writes) == writes


def test_an_answer_that_has_not_gone_out_is_replaced() -> None:
    """As when the application fails behind its head, or the server stops."""
    sent = Sent([start(length(9)), start(length(2), status=503), body(b"no")], whole=True)
    assert sent.error is None
    assert sent.writes[0].startswith(b"HTTP/1.1 503 ")


class Idle:
    """A connection with a clock of its own, and the timers that it has begun."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []
        self.closed = False
        protocol: Any = bounded_protocol(Limits())
        self.protocol: Any = protocol.__new__(protocol)
        loop = SimpleNamespace(time=lambda: self.now, call_later=self._begin)
        transport = SimpleNamespace(is_closing=lambda: self.closed, close=self._close)
        vars(self.protocol).update(
            loop=loop,
            transport=transport,
            flow=SimpleNamespace(resume_reading=lambda: None),
            pipeline=(),
            server_state=SimpleNamespace(total_requests=0),
            timeout_keep_alive=5,
            timeout_keep_alive_task=None,
        )

    def _begin(self, seconds: float, call: Any) -> Any:
        self.timers.append((self.now + seconds, call))
        return SimpleNamespace(cancel=lambda: None)

    def _close(self) -> None:
        self.closed = True

    def pass_until(self, now: float) -> None:
        while self.timers and self.timers[0][0] <= now:
            self.now, call = self.timers.pop(0)
            call()
        self.now = now


def test_one_timer_closes_a_connection_that_is_idle_for_as_long_as_it_may() -> None:
    idle = Idle()
    for at in (0.0, 1.0, 3.0):  # Three requests, each answered at once.
        idle.pass_until(at)
        idle.protocol._unset_keepalive_if_required()
        idle.protocol.on_response_complete()
    assert len(idle.timers) == 1
    idle.pass_until(7.9)
    assert not idle.closed
    idle.pass_until(8.0)
    assert idle.closed
    assert idle.protocol.server_state.total_requests == 3


def test_a_connection_with_a_request_under_way_is_not_idle() -> None:
    idle = Idle()
    idle.protocol.on_response_complete()
    idle.pass_until(4.0)
    idle.protocol._unset_keepalive_if_required()
    idle.pass_until(100.0)
    assert not idle.closed
    assert not idle.timers
    idle.protocol.on_response_complete()
    idle.pass_until(105.0)
    assert idle.closed
