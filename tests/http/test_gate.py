"""Who and what is let in: origins, tokens, media types, sizes, times and numbers of requests (R9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from eventlog.http import ANY, Limits, Principal, create_app
from eventlog.http.application import ROUTES, Application
from eventlog.http.routing import raw_path
from eventlog.http.serving import by_token, hosts_for, is_loopback
from eventlog.http.wire_errors import RequestRefused
from tests.http.api import Api, authorize
from tests.http.test_operations import code

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it
MESSAGE = {"role": "user", "content": "hi"}


# ---- origins ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8137"},
        {"Host": "[bad"},
        {"Host": "evil.example@localhost"},
        {"Host": "localhost/evil.example"},
        {"Host": "localhost:evil"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_what_a_page_of_another_site_sends_is_refused(api: Api, headers: dict[str, str]) -> None:
    """Any web page can reach 127.0.0.1, and DNS can be made to say that it is at home there."""
    for method, path in (("POST", "sessions/s/messages"), ("GET", "sessions/s?auto_create=true")):
        answer = api(method, path, json=MESSAGE, headers=headers)
        assert code(answer) == (403, "forbidden")
    assert [*api.log.sessions()] == []


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Host", "Idempotency-Key", "If-Match", "Eventlog-Fence", "Content-Type"],
)
def test_a_field_that_is_given_twice_is_refused(api: Api, name: str) -> None:
    """A proxy in front may have looked at the one that we would pass over."""
    given = {"Authorization": "Bearer ada", "Host": "localhost", "Content-Type": "application/json"}
    headers = [*given.items(), (name, given.get(name, "1")), (name, "2")]
    answer = api.http.post("sessions/s/messages", json=MESSAGE, headers=headers)
    assert code(answer) == (422, "invalid_argument")
    assert name.lower() in answer.json()["error"]["message"]
    assert [*api.log.sessions()] == []


@pytest.mark.parametrize(
    "headers", [{"Content-Encoding": "gzip"}, {"Transfer-Encoding": "gzip, chunked"}]
)
def test_a_body_that_is_packed_is_not_read(api: Api, headers: dict[str, str]) -> None:
    answer = api("POST", "sessions/s/messages", json=MESSAGE, headers=headers)
    assert code(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["100%", "%zz", "%ff", "a%0"])
def test_an_id_that_is_not_escaped_is_found_nowhere(api: Api, path: str) -> None:
    scope: dict[str, Any] = {"type": "http", "raw_path": f"/api/v1/sessions/{path}".encode()}
    with pytest.raises(RequestRefused, match="in the path"):
        ROUTES.find("GET", raw_path(scope).removeprefix(b"/api/v1/").split(b"/"))


@pytest.mark.parametrize("id_", ["", "\0", "a\nb", "x" * 513, 7, None])
def test_an_id_that_is_none_is_refused_in_every_form_of_a_message(api: Api, id_: Any) -> None:
    for form in ({"content": "hi"}, {"parts": [{"type": "text", "text": "hi"}]}):
        answer = api("POST", "sessions/s/messages", json={"role": "user", "id": id_, **form})
        assert code(answer) == (422, "invalid_message")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8137", "Origin": "http://127.0.0.1:8137"},
        {"Host": "[::1]:8137", "Sec-Fetch-Site": "same-origin"},
        {"Host": "LOCALHOST", "Sec-Fetch-Site": "none"},
    ],
)
def test_what_the_same_origin_sends_is_served(api: Api, headers: dict[str, str]) -> None:
    assert api("POST", "sessions", headers=headers).status_code == 201


def test_a_server_answers_to_its_names() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in (EVERYWHERE, "10.0.0.1", "agents.example")] == [False] * 3
    assert "127.0.0.1" in hosts_for("127.0.0.1", ())
    assert hosts_for(EVERYWHERE, ()) == ("*",)
    assert hosts_for(EVERYWHERE, ("agents.example",)) == (EVERYWHERE, "agents.example")


# ---- principals -------------------------------------------------------------------------------


def test_nobody_is_let_in_without_a_principal(api: Api) -> None:
    for who in (None, "mallory"):
        answer = api("GET", "sessions", who=who)
        assert code(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_an_action_that_is_not_granted_is_refused(api: Api) -> None:
    api.append("s", "hi")
    assert api("GET", "sessions/s", who="reader").status_code == 200
    assert code(api("POST", "sessions/s/commit", who="reader")) == (403, "forbidden")
    assert code(api("DELETE", "sessions/s", who="reader")) == (403, "forbidden")


def test_an_owner_with_the_name_of_everybody_is_one_owner(api: Api) -> None:
    """`eventlog.ANY` is a text, under which somebody may register: it is no operator."""
    api.append("s", "hi")
    app = create_app(api.log, authorize=lambda request: Principal("any"))
    answer = api.loop.run(_get(app, "sessions"))
    assert answer.json()["sessions"] == []
    app = create_app(api.log, authorize=lambda request: Principal(ANY))
    assert api.loop.run(_get(app, "sessions")).json()["sessions"] == [{"session_id": "s"}]


def test_authorizing_may_take_its_time(api: Api) -> None:
    async def look_up(request: Any) -> Principal | None:
        await asyncio.sleep(0)
        return authorize(request)

    app = create_app(api.log, authorize=look_up)
    assert api.loop.run(_get(app, "sessions")).status_code == 401


async def _get(app: Any, path: str, prefix: str = "") -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(f"{prefix}/api/v1/{path}")


def test_a_token_is_compared_whole() -> None:
    let_in = by_token("a-token-of-some-length")

    def bearing(value: str | None) -> Any:
        headers = [] if value is None else [(b"authorization", value.encode("latin-1"))]
        from starlette.requests import Request

        return let_in(Request({"type": "http", "headers": headers}))

    assert bearing("Bearer a-token-of-some-length") == Principal(ANY)
    assert bearing("bearer a-token-of-some-length") == Principal(ANY)
    for wrong in (None, "", "Bearer", "Bearer a-token", "Basic a-token-of-some-length", "Bearer ü"):
        assert bearing(wrong) is None, wrong


def test_an_app_is_mounted_in_another_one(api: Api) -> None:
    api.append("s", "hi")
    app = create_app(api.log, authorize=lambda request: Principal("ada"))
    outer = Starlette(routes=[Mount("/agent logs", app)])
    answer = api.loop.run(_get(outer, "sessions/s/messages", "/agent%20logs"))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["messages"]) == 1


# ---- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_does_not_say_that_it_is_json_is_refused(api: Api, media_type: str) -> None:
    """What a form of another page can send is none of these."""
    answer = api(
        "POST", "sessions", content=b'{"session_id":"s"}', headers={"Content-Type": media_type}
    )
    assert code(answer) == (415, "unsupported_media_type")
    good = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert api("POST", "sessions", content=b"{}", headers=good).status_code == 201


class Raw:
    """One request to an application, piece by piece, and what it answers."""

    def __init__(self, app: Application, path: str, **headers: str) -> None:
        self.app = app
        given = {"host": "localhost", "authorization": "Bearer ada", **headers}
        self.scope = {
            "type": "http",
            "method": "POST" if "content_type" in headers else "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in given.items()
            ],
        }
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received = 0

    def give(self, body: bytes, *, more: bool = True) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def receive(self) -> dict[str, Any]:
        piece = await self.pieces.get()
        self.received += 1
        return piece

    async def run(self) -> int:
        """Run to the end; return the status."""
        await self.app(self.scope, self.receive, self.send)
        status: int = (await self.sent.get())["status"]
        return status

    async def send(self, message: Any) -> None:
        self.sent.put_nowait(message)


JSON = {"content_type": "application/json"}
APPEND = "/api/v1/sessions/s/messages"


def test_a_body_is_counted_while_it_comes(make_api: Callable[..., Api]) -> None:
    """Its length is not believed, and what follows is not read."""
    api = make_api(body_bytes=1_000)

    async def send(**headers: str) -> tuple[int, int]:
        raw = Raw(api.app, APPEND, **JSON, **headers)
        for _ in range(100):
            raw.give(b" " * 100)
        return await raw.run(), raw.received

    assert api.loop.run(send()) == (413, 11)
    assert api.loop.run(send(content_length="10")) == (413, 11)
    assert api.loop.run(send(content_length="1001")) == (413, 0)
    assert api.loop.run(send(content_length="9" * 400)) == (413, 0)


def test_half_a_body_is_waited_for_no_longer_than_that(make_api: Callable[..., Api]) -> None:
    api = make_api(body_seconds=0.01)

    async def send() -> int:
        raw = Raw(api.app, APPEND, **JSON)
        raw.give(b'{"role":')
        return await raw.run()

    assert api.loop.run(send()) == 408


def test_a_client_that_leaves_in_the_middle_gets_no_answer(api: Api) -> None:
    async def send() -> bool:
        raw = Raw(api.app, APPEND, **JSON)
        raw.give(b'{"role":')
        raw.pieces.put_nowait({"type": "http.disconnect"})
        await raw.app(raw.scope, raw.receive, raw.send)
        return raw.sent.empty()

    assert api.loop.run(send())


def test_beyond_the_limit_others_are_asked_to_wait(make_api: Callable[..., Api]) -> None:
    api = make_api(requests=1, streams=1)
    api.append("s", "hi")

    async def crowd() -> list[int]:
        slow = Raw(api.app, APPEND, **JSON)
        running = asyncio.create_task(slow.run())
        await asyncio.sleep(0)
        found = [await Raw(api.app, "/api/v1/sessions").run()]
        slow.give(b'{"role":"user","content":"a"}', more=False)
        found.append(await running)
        found.append(await Raw(api.app, "/api/v1/sessions").run())

        stream = Raw(api.app, "/api/v1/sessions/s/events", accept="text/event-stream")
        streaming = asyncio.create_task(stream.run())
        assert (await stream.sent.get())["status"] == 200
        again = Raw(api.app, "/api/v1/sessions/s/events", accept="text/event-stream")
        found.append(await again.run())
        stream.pieces.put_nowait({"type": "http.disconnect"})
        streaming.cancel()
        return found

    assert api.loop.run(crowd()) == [503, 201, 200, 503]


def test_the_application_has_a_beginning_and_an_end(api: Api) -> None:
    async def live() -> list[str]:
        sent: list[str] = []
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(events)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await api.app({"type": "lifespan"}, receive, send)
        await api.app({"type": "websocket"}, receive, send)
        return sent

    assert api.loop.run(live()) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


def test_limits_have_defaults() -> None:
    assert Limits().body_bytes == 8 * 1024 * 1024
