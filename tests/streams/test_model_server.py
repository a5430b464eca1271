"""The fake model server, as a client sees it: over a socket of this machine."""

from __future__ import annotations

import http.client
import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

import eventlog
from eventlog import Message
from eventlog.testing.model_server import (
    Breaks,
    Busy,
    CutOff,
    FakeModelServer,
    ModelRequest,
    Reply,
    Says,
    Stalls,
    TooLong,
)

if TYPE_CHECKING:
    from collections.abc import Generator


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str
    is_whole: bool = True

    @property
    def content(self) -> str:
        said: str = json.loads(self.text)["choices"][0]["message"]["content"]
        return said


@contextmanager
def asking(server: FakeModelServer, path: str, body: Any) -> Generator[http.client.HTTPResponse]:
    place = urlsplit(server.url)
    assert place.hostname == "127.0.0.1"
    with closing(http.client.HTTPConnection(place.hostname, place.port or 0, timeout=60)) as client:
        client.request("POST", place.path + path, json.dumps(body))
        with client.getresponse() as response:
            yield response


def ask(server: FakeModelServer, path: str = "/chat/completions", **body: Any) -> Answer:
    with asking(server, path, body) as found:
        try:
            return Answer(found.status, dict(found.headers), found.read().decode())
        except http.client.IncompleteRead as cut:
            return Answer(found.status, dict(found.headers), cut.partial.decode(), is_whole=False)


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line[:5] == "data:"]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_a_script_is_answered_in_turn() -> None:
    script: list[Reply] = [
        Busy(retry_after=2),
        Breaks(),
        TooLong(4_096),
        Says("Hel", "lo"),
        lambda request: Breaks(503),
    ]
    with FakeModelServer(script, afterwards=Says("again")) as server:
        answers = [ask(server, model="x") for _ in range(6)]

    assert [answer.status for answer in answers] == [429, 500, 400, 200, 503, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert "prompt is too long" in answers[2].text
    assert answers[3].content == "Hello"
    assert answers[5].content == "again"
    assert [request.body for request in server.requests] == [{"model": "x"}] * 6


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_it_streams_in_the_shape_of_the_provider(path: str) -> None:
    with FakeModelServer([Says("Hel", "lo", calls=[("search", {"q": 1})])]) as server:
        found = events(ask(server, path, stream=True).text)

    said = [
        (event.get("delta") or event.get("choices", [{}])[0].get("delta", {})) for event in found
    ]
    texts = [delta.get("text") or delta.get("content") or "" for delta in said]
    assert "".join(texts) == "Hello"
    assert "search" in json.dumps(found)


@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_it_cuts_off_in_the_middle_of_a_token(path: str) -> None:
    with FakeModelServer([CutOff("Hel", "lo"), CutOff("Hel")]) as server:
        streamed = ask(server, path, stream=True).text
        assert not ask(server, path).is_whole

    assert '"Hel"' in streamed
    assert not streamed.endswith("\n\n")
    assert '"lo"' not in streamed


def test_it_stalls_until_it_is_released() -> None:
    with (
        FakeModelServer([Stalls("Hel", "lo")]) as server,
        asking(server, "/chat/completions", {"stream": True}) as answer,
    ):
        first = answer.readline()
        assert server.stalled.wait(60)
        server.release()
        rest = answer.read()

    assert b'"Hel"' in first
    assert rest.endswith(b"data: [DONE]\n\n")


def test_what_nobody_asked_for_is_refused() -> None:
    with FakeModelServer() as server:
        assert ask(server).status == 500
        assert ask(server, "/embeddings").status == 404
    assert server.requests == [ModelRequest("/v1/chat/completions", server.requests[0].headers)]


def test_an_agent_that_is_cut_off_keeps_what_it_got() -> None:
    """The story that the server is for."""
    with (
        FakeModelServer([CutOff("Hel", "lo"), Says("Hello")]) as server,
        eventlog.open("memory:") as log,
    ):
        session = log.session("s", create=True)
        session.append(Message.user("hi"))

        def answer() -> None:
            with session.stream() as out:
                for line in ask(server, stream=True).text.split("\n\n"):
                    if line != "data: [DONE]" and line:
                        choice = json.loads(line.removeprefix("data: "))["choices"][0]
                        out.write(choice["delta"].get("content", ""))

        with pytest.raises(ValueError, match="Unterminated"):
            answer()
        answer()

        texts = [(message.text, message.model_extra) for message in session.tail()]
        assert texts == [("hi", {}), ("Hel", {"interrupted": True}), ("Hello", {})]
