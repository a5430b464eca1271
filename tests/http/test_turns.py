"""Turns over HTTP: by their fence, and in the blocks of clients (R9, T1 to T5)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from eventlog import (
    InvalidArgument,
    LeaseLost,
    Message,
    SessionClosed,
    TurnOpen,
    step_digest,
)
from eventlog.testing import FakeClock
from tests.http.api import Api, until
from tests.http.test_clients import Flaky


def user(id_: str) -> Message:
    return Message.user(id_, id=id_)


def begin(api: Api, turn: str = "t", **body: Any) -> Any:
    answer = api("PUT", f"sessions/s/turns/{turn}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


@contextmanager
def raised(kind: type[BaseException]) -> Generator[None]:
    """Expect that a turn, which is left with an exception, lets that go on."""
    with pytest.raises(kind):
        yield


def types_of(api: Api) -> list[str]:
    return [entry.type for entry in api.log.read("s")]


def fenced(fence: object) -> dict[str, str]:
    return {"Eventlog-Fence": str(fence)}


def said(id_: str) -> dict[str, Any]:
    return {"id": id_, "role": "user", "content": id_}


# ---- without a client -------------------------------------------------------------------------


def test_a_turn_is_begun_renewed_and_ended_by_its_fence(api: Api, clock: FakeClock) -> None:
    begun = begin(api, lease_seconds=30)
    assert (begun["attempt"], begun["done"], begun["result"]) == (1, False, None)
    own = fenced(begun["fence"])
    assert api("POST", "sessions/s/messages", json=said("a"), headers=own).status_code == 201
    api.append("s", "not the turn's")
    api.clock.advance(20)
    renewed = api("POST", "sessions/s/turns/t/renew", json={"lease_seconds": 30}, headers=own)
    assert renewed.json()["lease_until"] > begun["lease_until"]
    api.clock.advance(20)
    refused = api("PUT", "sessions/s/turns/u", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "turn_open")
    assert refused.json()["error"]["details"]["owner"] == "ada@home"
    ended = [
        api("POST", "sessions/s/turns/t/end", json={"result": {"n": 1}}, headers=own)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in ended] == [200, 200]
    again = begin(api)
    assert (again["done"], again["result"], again["fence"]) == (True, {"n": 1}, None)
    seen = api("GET", "sessions/s/turns/t").json()
    assert (seen["state"], seen["result"]) == ("completed", {"n": 1})
    assert api("GET", "sessions/s/turns").json()["turns"][0]["turn_id"] == "t"
    turns = [it.metadata.turn for it in api.log.read("s") if it.type == "message_appended"]
    assert turns == ["t", None]


def test_what_belongs_to_a_lost_turn_is_refused(api: Api) -> None:
    first = begin(api, lease_seconds=30)
    api("POST", "sessions/s/messages", json=said("a"), headers=fenced(first["fence"]))
    api.clock.advance(31)
    second = begin(api)
    assert second["attempt"] == 2
    late = fenced(first["fence"])
    requests: list[tuple[str, str, Any]] = [
        ("POST", "sessions/s/messages", said("b")),
        ("POST", "sessions/s/messages/batch", {"messages": [said("b")]}),
        ("POST", "sessions/s/used", {"contexts": ["memory://1"]}),
        ("POST", "sessions/s/streams", {}),
        ("POST", "sessions/s/commit", {}),
        ("POST", "sessions/s/messages/clear", {}),
        ("POST", "sessions/s/turns/t/renew", {}),
        ("POST", "sessions/s/turns/t/end", {}),
        ("PUT", "sessions/s/turns/t/steps/x", {"output": 1}),
    ]
    for method, path, body in requests:
        answer = api(method, path, json=body, headers=late)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "lease_lost"), path
    assert api("GET", "sessions/s/messages").json()["messages"] == []


MESSAGE = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("method", "path", "body", "fence", "status"),
    [
        ("POST", "sessions/s/turns/t/renew", {}, None, 422),
        ("POST", "sessions/s/turns/t/end", {}, "0", 422),
        ("POST", "sessions/s/turns/other/end", {}, "2", 409),
        ("POST", "sessions/s/messages", MESSAGE, "1", 409),
        ("POST", "sessions/s/messages", MESSAGE, "99", 409),
        ("POST", "sessions/s/messages", MESSAGE, "two", 422),
        ("POST", "sessions", {}, "2", 422),
        ("PUT", "sessions/s/turns/u", {"lease_seconds": 0.5}, None, 422),
        ("PUT", "sessions/s/turns/" + "x" * 600, {}, None, 422),
        ("POST", "sessions/s/streams/m/end", {"fence": 1, "step": "a"}, None, 422),
        ("POST", "sessions/s/streams/m/end", {"fence": 1}, None, 409),
    ],
)
def test_a_fence_that_is_none_is_refused(
    api: Api, method: str, path: str, body: Any, fence: str | None, status: int
) -> None:
    begin(api)
    before = [*api.log.read("s")]
    answer = api(method, path, json=body, headers={} if fence is None else fenced(fence))
    assert answer.status_code == status, answer.text
    assert [*api.log.read("s")] == before


def test_a_step_is_recorded_once_and_taken_over_by_a_later_attempt(api: Api) -> None:
    first = begin(api, resume=True, lease_seconds=30)
    path, digest = "sessions/s/turns/t/steps/a%2Fb", step_digest("deploy")
    own = fenced(first["fence"])
    assert api("GET", path, headers=own).json()["error"]["code"] == "step_not_found"
    body = {"digest": digest, "output": {"hits": 3}, "messages": [said("m")]}
    answers = [api("PUT", path, json=body, headers=own) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["output"] == {"hits": 3}
    other = api("PUT", path, json={**body, "output": 4}, headers=own)
    assert other.status_code == 422
    api.clock.advance(31)
    second = begin(api, resume=True)
    own = fenced(second["fence"])
    assert api("GET", "sessions/s/messages").json()["messages"] == []
    found = api("GET", path, params={"digest": digest}, headers=own).json()
    assert (found["output"], found["messages"][0]["id"]) == ({"hits": 3}, "m")
    assert api("GET", "sessions/s/messages").json()["messages"] == []
    for _ in range(2):
        taken = api("PUT", path, json={"digest": digest}, headers=own)
        assert taken.json()["output"] == {"hits": 3}
    assert [it["id"] for it in api("GET", "sessions/s/messages").json()["messages"]] == ["m"]
    assert api("PUT", path, json={"digest": "x"}, headers=own).status_code == 404


def test_who_waits_for_a_turn_is_answered_when_the_other_one_ends(api: Api) -> None:
    begun = begin(api)

    async def main() -> int:
        async with api.async_client() as client:
            session = await client.session("s")
            waiting = asyncio.create_task(session.begin_turn("u", wait_seconds=60))
            subscribed = api.app._service.watch._waiting
            await until(lambda: "s" in subscribed)
            held = await session.held_turn(begun["fence"])
            await held.end()
            return (await waiting).fence

    assert asyncio.run(main()) > begun["fence"]


# ---- clients ----------------------------------------------------------------------------------


def test_a_block_of_a_client_is_a_turn(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        calls: list[str] = []

        def look(what: str) -> list[str]:
            calls.append(what)
            return [what]

        with session.turn("t", resume=True) as turn:
            session.append(user("a"))
            turn.append(user("b"))
            assert turn.step("look", look, "x", messages=lambda out: [user(out[0])]) == ["x"]
            with pytest.raises(InvalidArgument, match="used before"):
                turn.step("look", look, "x")
            with pytest.raises(TurnOpen), session.turn("u", wait_seconds=60):
                pass
            with session.stream("answer") as out:
                out.write("Hel")
                out.write("lo")
            turn.end({"id": out.message.id})
        session.append(user("after"))
        with session.turn("t") as again:
            assert (again.done, again.result) == (True, {"id": out.message.id})
        (view,) = session.turns("t")
        assert (view.state, view.steps, view.result) == (
            "completed",
            ("look", "answer"),
            turn.result,
        )
        assert session.turns("u") == ()
        assert [it._replace(result=turn.result) for it in session.turns()] == [view]
        local = api.log.session("s")
        assert local.turns("t") == (view,)
        assert [message.id for message in local.tail()] == ["a", "b", "x", out.id, "after"]
        turns = [it.metadata.turn for it in api.log.read("s") if it.type == "message_appended"]
        assert (turns, calls) == (["t", "t", "t", "t", None], ["x"])


def test_an_attempt_takes_over_what_a_killed_one_finished(api: Api) -> None:
    """Also what a local session recorded: names and digests are the same."""
    calls: list[int] = []

    def add(a: int, *, b: int) -> int:
        calls.append(a)
        return a + b

    with api.client() as client:
        session = client.session("s", create=True)
        local = api.log.session("s").begin_turn("t", resume=True, lease_seconds=30)
        local.append(user("input"))
        assert local.step("add", add, 2, b=2, messages=[user("four")]) == 4
        with local.stream("answer", fields={"mood": "calm"}) as out:
            out.write("It is four.")
        api.clock.advance(31)
        with session.turn("t", resume=True) as turn:
            session.append(user("input"))
            assert turn.step("add", add, 2, b=2, messages=[user("four")]) == 4
            with session.stream("answer", fields={"mood": "calm"}) as answer:
                assert answer.done
        assert (turn.attempt, calls, answer.message.text) == (2, [2], "It is four.")
        assert [message.id for message in session.tail()] == ["input", "four", out.id]


def test_a_block_that_fails_ends_its_turn_so(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        with raised(ValueError), session.turn("t", on_error="withdraw") as turn:
            turn.append(user("a"))
            raise ValueError("no")
        with raised(KeyboardInterrupt), session.turn("u"), session.stream() as out:
            out.write("half")
            raise KeyboardInterrupt
        views = {view.turn_id: (view.state, view.error) for view in session.turns()}
        assert views["t"] == ("failed", "ValueError: no")
        assert views["u"][0] == "cancelled"
        (message,) = session.tail()
        assert (message.text, (message.model_extra or {})["interrupted"]) == ("half", True)
        with session.turn("closing"):
            session.close()
        with pytest.raises(SessionClosed), session.turn("v"):
            pass


def test_a_client_that_lost_its_turn_is_told(api: Api) -> None:
    with api.client() as client:
        session = client.session("s", create=True)
        with raised(LeaseLost), session.turn("t", lease_seconds=30) as turn:
            api.clock.advance(31)
            assert api.log.session("s").begin_turn("t").attempt == 2
            turn.append(user("late"))
        with pytest.raises(InvalidArgument):
            session.held_turn(1)
        with pytest.raises(InvalidArgument):
            session.held_turn(-1)


def test_a_client_renews_its_lease_in_the_background(api: Api) -> None:
    renewed = threading.Event()

    class Watching:
        def handle_request(self, request: Any) -> Any:
            answer = api.transport.handle_request(request)
            if request.url.path.endswith("/renew"):
                renewed.set()
            return answer

    transport = Flaky(Watching())
    with api.client(transport=transport) as client:
        session = client.session("s", create=True)
        with session.turn("t", lease_seconds=1) as turn:
            assert renewed.wait(30)
            turn.append(user("a"))
    assert "turn_renewed" in types_of(api)


@pytest.mark.parametrize("loss", ["refused", "busy", "lost"])
def test_requests_of_a_turn_that_are_made_again_are_recorded_once(api: Api, loss: str) -> None:
    types: list[list[str]] = []
    for session_id, losses in (("plain", 0), ("flaky", 30)):
        api.log.session(session_id, create=True, owner="ada").ensure_created()
        transport = Flaky(api.transport)
        with api.client(transport=transport, sleep=lambda _: None) as client:
            session = client.session(session_id)
            transport.losses = [loss, ""] * losses
            with session.turn("t") as turn:
                turn.append(user("a"))
                turn.step("add", sum, [1, 2], messages=[user("b")])
                with turn.stream("said") as out:
                    out.write("x")
                turn.end("done")
        types.append([entry.type for entry in api.log.read(session_id)])
    assert types[0] == types[1]


def test_the_asynchronous_client_has_turns_and_streams_too(api: Api) -> None:
    async def main() -> list[str]:
        async with api.async_client() as client:
            session = await client.session("s", create=True)

            async def look() -> str:
                await asyncio.sleep(0)
                return "seen"

            async with session.turn("t", lease_seconds=1) as turn:
                assert await turn.step("look", look) == "seen"
                async with session.stream(window_seconds=0.01) as out:
                    await out.write("Hello")
                    await out.call("look", {}, tool_id="c")
                    await out.write("!")
                    async with asyncio.timeout(30):
                        while "turn_renewed" not in types_of(api):  # noqa: ASYNC110 - no event
                            await asyncio.sleep(0.05)
            cancelled = asyncio.Event()

            async def cut() -> None:
                async with session.turn("u"):
                    await session.append(user("a"))
                    cancelled.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(cut())
            await cancelled.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert out.message.tools[0].tool_id == "c"
            return [view.state for view in await session.turns()]

    assert asyncio.run(main()) == ["completed", "cancelled"]
