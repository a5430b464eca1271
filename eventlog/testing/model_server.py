"""A server that talks like a model's, on this machine alone, and fails as those do.

It answers each request with the next reply of a script, and keeps the requests::

    with FakeModelServer([Busy(retry_after=2), Says("Hel", "lo")]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none")
        ...
        assert len(server.requests) == 2

``POST {url}/chat/completions`` answers as the chat completions of OpenAI, and ``POST {url}/messages``
as the messages of Anthropic: as a stream of events if the request has ``"stream": true``, else as one
JSON document. Nothing here waits for time: a reply that stalls waits for `FakeModelServer.release`.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

__all__ = [
    "Breaks",
    "Busy",
    "CutOff",
    "FakeModelServer",
    "ModelRequest",
    "Reply",
    "Says",
    "Stalls",
    "TooLong",
]

MODEL: Final = "fake-model"
MOST_BYTES: Final = 64 << 20
"""Of a request's body."""


@dataclass(frozen=True, init=False)
class Says:
    """The model says tokens, then calls tools: each a name with its arguments."""

    tokens: tuple[str, ...]
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()

    def __init__(self, *tokens: str, calls: Iterable[tuple[str, dict[str, Any]]] = ()) -> None:
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "calls", tuple(calls))


@dataclass(frozen=True, init=False)
class Stalls(Says):
    """The model says tokens, then nothing until `FakeModelServer.release`; then it ends as usual."""


@dataclass(frozen=True, init=False)
class CutOff(Says):
    """The connection is cut in the middle of the last token; a whole document, in its middle."""


@dataclass(frozen=True)
class Busy:
    """Status 429, with the header ``Retry-After``: seconds, or a date as text."""

    retry_after: float | str | None = 1


@dataclass(frozen=True)
class Breaks:
    """A failure of the server: status 500, or another."""

    status: int = 500


@dataclass(frozen=True)
class TooLong:
    """Status 400: the prompt has more tokens than the model takes."""

    limit: int = 8_192


Answer: TypeAlias = "Says | Stalls | CutOff | Busy | Breaks | TooLong"
Reply: TypeAlias = "Answer | Callable[[ModelRequest], Answer]"


@dataclass(frozen=True)
class ModelRequest:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def streams(self) -> bool:
        """Whether the answer is to come as a stream of events."""
        return self.body.get("stream") is True


class FakeModelServer:
    """The server; use it as a context manager. It listens on 127.0.0.1, on a free port.

    Requests take the replies of ``script`` in turn, a callable one is given the request; after the
    last, ``afterwards`` answers. A request that nothing answers gets status 500 and says so.
    """

    def __init__(self, script: Iterable[Reply] = (), *, afterwards: Reply | None = None) -> None:
        self._script: Iterator[Reply] = iter(tuple(script))
        self._afterwards = afterwards
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.stalled = threading.Event()
        """Set once a reply stalls."""
        self.requests: list[ModelRequest] = []
        """What was asked so far, in order."""
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="fake-model", kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self) -> str:
        """The address to give to a client, such as ``http://127.0.0.1:40123/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def release(self) -> None:
        """Let the replies that stall go on, and those that are to come."""
        self._released.set()

    def answer_to(self, request: ModelRequest) -> Answer:
        """Note a request, and return what answers it."""
        with self._lock:
            self.requests.append(request)
            reply = next(self._script, self._afterwards)
        if reply is None:
            return Breaks()
        return reply(request) if callable(reply) else reply

    def wait_for_release(self) -> None:
        """Wait until the replies may go on."""
        self.stalled.set()
        self._released.wait()

    def close(self) -> None:
        """End the server; replies that stall are let go."""
        self.release()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that hang up, as tests of clients do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler_of(server: FakeModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        model = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    model: FakeModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), MOST_BYTES)
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._refuse(400, "invalid_request_error", "the body is no JSON object")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = ModelRequest(self.path, headers, cast("dict[str, Any]", body))
        shape = _SHAPES.get(self.path.rpartition("/")[2])
        if shape is None:
            self._refuse(404, "not_found_error", f"nothing is at {self.path}")
            return
        self._reply(request, self.model.answer_to(request), shape())

    def _reply(self, request: ModelRequest, answer: Answer, shape: _Shape) -> None:
        match answer:
            case Busy():
                after = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
                self._refuse(429, "rate_limit_error", "too many requests", after)
            case Breaks():
                self._refuse(answer.status, "api_error", "the server failed, or its script is over")
            case TooLong():
                said = f"prompt is too long: the maximum is {answer.limit} tokens"
                self._refuse(400, "invalid_request_error", said, code="context_length_exceeded")
            case Says():
                self._say(request, answer, shape)

    def _say(self, request: ModelRequest, answer: Says, shape: _Shape) -> None:
        if not request.streams:
            if isinstance(answer, Stalls):
                self.model.wait_for_release()
            whole = json.dumps(shape.whole(answer)).encode()
            if isinstance(answer, CutOff):
                self._begin(200, "application/json", len(whole))
                self._cut(whole)
                return
            self._send(200, whole)
            return
        self._begin(200, "text/event-stream")
        events = [event.encode() for event in shape.events(answer)]
        said = shape.before + len(answer.tokens)
        for place, event in enumerate(events):
            if isinstance(answer, CutOff) and place == max(said - 1, 0):
                self._cut(event)
                return
            if isinstance(answer, Stalls) and place == said:
                self.model.wait_for_release()
            self.wfile.write(event)
            self.wfile.flush()
        self.close_connection = True

    def _cut(self, data: bytes) -> None:
        """Send half of something, and end the connection."""
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _begin(self, status: int, type: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        if length is None:
            self.send_header("Connection", "close")  # A stream ends with its connection.
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, status: int, body: bytes, headers: dict[str, Any] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(
        self,
        status: int,
        type: str,
        message: str,
        headers: dict[str, Any] | None = None,
        code: str | None = None,
    ) -> None:
        error = {"type": type, "message": message, "code": code or type}
        self._send(status, json.dumps({"type": "error", "error": error}).encode(), headers)


class _Shape:
    """How a provider writes its answers."""

    before = 0
    """Events that come before the first token."""

    def whole(self, answer: Says) -> dict[str, Any]:
        """Return the answer as one document."""
        raise NotImplementedError

    def events(self, answer: Says) -> Iterator[str]:
        """Yield the answer as server-sent events."""
        raise NotImplementedError


def _usage(answer: Says) -> int:
    return len(answer.tokens) + len(answer.calls)


class _Completions(_Shape):
    """Chat completions of OpenAI."""

    def whole(self, answer: Says) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.tokens)}
        if answer.calls:
            message["tool_calls"] = _openai_calls(answer)
        tokens = _usage(answer)
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(answer)}],
            "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
        }

    def events(self, answer: Says) -> Iterator[str]:
        for token in answer.tokens:
            yield self._event({"content": token})
        if answer.calls:
            calls = [{"index": at, **call} for at, call in enumerate(_openai_calls(answer))]
            yield self._event({"tool_calls": calls})
        yield self._event({}, _finish(answer))
        yield "data: [DONE]\n\n"

    def _event(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": MODEL,
            "choices": [choice],
        }
        return f"data: {json.dumps(chunk)}\n\n"


def _finish(answer: Says) -> str:
    return "tool_calls" if answer.calls else "stop"


def _openai_calls(answer: Says) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for place, (name, arguments) in enumerate(answer.calls, 1)
    ]


class _Messages(_Shape):
    """Messages of Anthropic."""

    before = 2

    def whole(self, answer: Says) -> dict[str, Any]:
        text = [{"type": "text", "text": "".join(answer.tokens)}] if answer.tokens else []
        return {
            **self._message(),
            "content": [*text, *_anthropic_calls(answer)],
            "stop_reason": self._stop(answer),
            "usage": {"input_tokens": 1, "output_tokens": _usage(answer)},
        }

    def events(self, answer: Says) -> Iterator[str]:
        begun: dict[str, Any] = {**self._message(), "content": [], "stop_reason": None}
        yield self._event("message_start", message=begun)
        text = {"type": "text", "text": ""}
        yield self._event("content_block_start", index=0, content_block=text)
        for token in answer.tokens:
            delta = {"type": "text_delta", "text": token}
            yield self._event("content_block_delta", index=0, delta=delta)
        yield self._event("content_block_stop", index=0)
        for place, call in enumerate(_anthropic_calls(answer), 1):
            arguments = json.dumps(call["input"])
            yield self._event(
                "content_block_start", index=place, content_block={**call, "input": {}}
            )
            delta = {"type": "input_json_delta", "partial_json": arguments}
            yield self._event("content_block_delta", index=place, delta=delta)
            yield self._event("content_block_stop", index=place)
        usage = {"output_tokens": _usage(answer)}
        yield self._event("message_delta", delta={"stop_reason": self._stop(answer)}, usage=usage)
        yield self._event("message_stop")

    @staticmethod
    def _message() -> dict[str, Any]:
        usage = {"input_tokens": 1, "output_tokens": 0}
        return {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "stop_sequence": None,
            "usage": usage,
        }

    @staticmethod
    def _stop(answer: Says) -> str:
        return "tool_use" if answer.calls else "end_turn"

    @staticmethod
    def _event(type: str, **fields: Any) -> str:
        return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n"


def _anthropic_calls(answer: Says) -> list[dict[str, Any]]:
    return [
        {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": arguments}
        for place, (name, arguments) in enumerate(answer.calls, 1)
    ]


_SHAPES: Final[dict[str, type[_Shape]]] = {"completions": _Completions, "messages": _Messages}
