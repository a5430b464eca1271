"""Events over HTTP: pages, long polls, and streams that go on where a reader was (R9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from eventlog import AsyncLog, Message, Recorded
from eventlog.http import watching
from tests.http.api import Api, until
from tests.http.test_gate import Raw
from tests.http.test_operations import code

EVENTS = "/api/v1/sessions/s/events"


def test_events_are_read_page_by_page(api: Api) -> None:
    for text in ("a", "b", "c"):
        api.append("s", text)
    page = api("GET", "sessions/s/events?limit=3").json()
    assert [event["version"] for event in page["events"]] == [1, 2, 3]
    assert (page["next"], page["closed"]) == (3, False)
    rest = api("GET", "sessions/s/events?after=3").json()
    assert [event["type"] for event in rest["events"]] == ["message_appended"]
    assert rest["events"][0]["data"]["message"]["parts"] == [{"type": "text", "text": "c"}]
    assert rest["events"][0]["metadata"]["actor"] == "ada@home"
    assert api("GET", "sessions/s/events?after=4").json()["events"] == []


def test_a_page_is_of_the_types_that_are_asked_for(api: Api) -> None:
    api.append("s", "a")
    api("POST", "sessions/s/commit")
    found = api("GET", "sessions/s/events?types=session_created,commit_published").json()
    assert [event["version"] for event in found["events"]] == [1, 4]
    assert api("GET", "sessions/s/events?types=nothing").json()["next"] == 4


def test_a_long_poll_waits_for_the_next_event(api: Api) -> None:
    api.append("s", "a")

    async def poll() -> Any:
        raw = Raw(api.app, EVENTS)
        raw.scope["query_string"] = b"after=2&wait_seconds=30"
        polling = asyncio.create_task(raw.run())
        await until(lambda: bool(api.app._service.watch._waiting))
        session = await api.app._service.log.session("s")
        await session.append(Message.user("b"))
        assert await polling == 200
        return json.loads((await raw.sent.get())["body"])

    document = api.loop.run(poll())
    assert [event["version"] for event in document["events"]] == [3]
    assert api.app._service.watch._following is None, "nobody waits, so nobody follows the log"


def test_a_long_poll_ends_without_an_event(api: Api) -> None:
    api.append("s", "a")
    api("DELETE", "sessions/s")
    page = api("GET", "sessions/s/events?after=3&wait_seconds=60").json()
    assert (page["events"], page["closed"]) == ([], True)


class Stream:
    """A reader of a stream of events."""

    def __init__(self, api: Api, query: str = "", **headers: str) -> None:
        self.raw = Raw(api.app, EVENTS, accept="text/event-stream", **headers)
        self.raw.scope["query_string"] = query.encode()
        self.task = asyncio.create_task(
            self.raw.app(self.raw.scope, self.raw.receive, self.raw.send)
        )

    async def start(self) -> int:
        begun = await asyncio.wait_for(self.raw.sent.get(), 10)
        self.headers = dict(begun["headers"])
        status: int = begun["status"]
        return status

    async def next(self) -> str:
        body: bytes = (await asyncio.wait_for(self.raw.sent.get(), 10))["body"]
        return body.decode()

    async def ids(self, count: int) -> list[str]:
        """Return the ids of the next events, passing over what is none."""
        found: list[str] = []
        while len(found) < count:
            lines = (await self.next()).splitlines()
            found += [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
        return found

    async def leave(self) -> None:
        self.raw.pieces.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, 10)


def test_a_stream_has_what_is_there_and_what_comes(api: Api) -> None:
    api.append("s", "a")

    async def main() -> None:
        stream = Stream(api)
        assert await stream.start() == 200
        assert stream.headers[b"content-type"].startswith(b"text/event-stream")
        assert stream.headers[b"cache-control"] == b"no-store"
        assert await stream.next() == "retry: 1000\n\n"
        assert await stream.ids(2) == ["1", "2"]
        session = await api.app._service.log.session("s")
        await session.append(Message.user("b"))
        said = await stream.next()
        assert said.startswith("id: 3\nevent: message_appended\ndata: {")
        assert said.endswith("}\n\n")
        await stream.leave()

    api.loop.run(main())
    assert api.app._service.watch._following is None


def test_a_reader_that_comes_back_goes_on_with_the_same_filter(api: Api) -> None:
    for text in ("a", "b"):
        api.append("s", text)
    api("POST", "sessions/s/commit")
    api.append("s", "c")

    async def main() -> list[list[str]]:
        query = "types=message_appended&after=1"
        first = Stream(api, query)
        await first.start()
        found = [await first.ids(2)]
        await first.leave()
        again = Stream(api, query, last_event_id="2")
        await again.start()
        found.append(await again.ids(2))
        await again.leave()
        return found

    assert api.loop.run(main()) == [["2", "3"], ["3", "6"]]


def test_a_stream_ends_with_its_session_and_is_not_asked_for_again(api: Api) -> None:
    """204 is the one answer after which a browser does not connect again."""
    api.append("s", "a")

    async def main() -> None:
        stream = Stream(api)
        await stream.start()
        await stream.ids(2)
        session = await api.app._service.log.session("s")
        await session.close()
        assert await stream.ids(1) == ["3"]
        await asyncio.wait_for(stream.task, 10)
        for version, status in (("2", 200), ("3", 204), ("9", 204)):
            again = Stream(api, last_event_id=version)
            assert await again.start() == status
            await asyncio.wait_for(again.task, 10)
        filtered = Stream(api, "types=message_appended", last_event_id="2")
        assert await filtered.start() == 204

    api.loop.run(main())


def test_a_silent_stream_says_that_it_is_alive(make_api: Callable[..., Api]) -> None:
    api = make_api(heartbeat_seconds=0.01)
    api.append("s", "a")

    async def main() -> None:
        stream = Stream(api, "after=2")
        await stream.start()
        assert await stream.next() == "retry: 1000\n\n"
        assert await stream.next() == ": waiting\n\n"
        await stream.leave()

    api.loop.run(main())


def test_streams_end_when_the_server_is_to_stop(api: Api) -> None:
    api.append("s", "a")

    async def main() -> None:
        stream = Stream(api, "after=2")
        await stream.start()
        await until(lambda: bool(api.app._service.watch._waiting))
        api.app.end_streams()
        await asyncio.wait_for(stream.task, 10)

    api.loop.run(main())


def test_a_slow_reader_is_waited_for(api: Api) -> None:
    """Events are read from the log as they are sent: what is held for a reader is one page."""
    for number in range(300):
        api.log.session("s", create=True, owner="ada").append(Message.user(f"{number}"))

    async def main() -> tuple[int, int]:
        raw = Raw(api.app, EVENTS, accept="text/event-stream")
        gate, sent = asyncio.Semaphore(10), 0

        async def send(message: Any) -> None:
            nonlocal sent
            await gate.acquire()
            sent += 1

        task = asyncio.create_task(raw.app(raw.scope, raw.receive, send))
        await until(gate.locked)
        before = sent
        raw.pieces.put_nowait({"type": "http.disconnect"})
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        return before, sent

    assert api.loop.run(main()) == (10, 10)


@pytest.mark.parametrize("last", ["x", "-1", "1" * 20, "1.0"])
def test_a_last_event_id_that_is_no_version_is_refused(api: Api, last: str) -> None:
    api.append("s", "a")
    answer = api("GET", "sessions/s/events", headers={"Last-Event-ID": last})
    assert code(answer) == (422, "invalid_argument")


def test_a_stream_of_a_log_that_is_closed_ends_with_the_error(api: Api) -> None:
    api.append("s", "a")

    async def main() -> str:
        stream = Stream(api, "after=2")
        await stream.start()
        await stream.next()
        await until(lambda: bool(api.app._service.watch._waiting))
        await api.loop.loop.run_in_executor(None, api.log.close)
        return await stream.next()

    said = api.loop.run(main())
    assert said.startswith('event: error\ndata: {"error":{"code":"log_closed"')


# ---- large events -----------------------------------------------------------------------------


class Counted:
    """Reads a log, and notes how many events are asked for at a time."""

    def __init__(self, log: AsyncLog) -> None:
        self.log = log
        self.asked: list[int] = []

    def read(self, session: str, *, after: int, limit: int) -> AsyncIterator[Recorded]:
        self.asked.append(limit)
        return self.log.read(session, after=after, limit=limit)


def test_a_slow_reader_keeps_one_large_event_or_a_page_of_small_ones(api: Api) -> None:
    """Each reader holds its page as long as it likes: a hundred of them held 6 GB."""
    session = api.log.session("s", create=True)
    for size in [5] * 30 + [watching.PAGE_BYTES] * 4 + [5] * 30:
        session.append(Message.user("x" * size))

    async def read() -> tuple[list[int], list[int]]:
        counted = Counted(AsyncLog(api.log))
        reader = watching.EventReader(cast("Any", counted), "s")
        found = [recorded.version async for recorded in reader.after(0)]
        some = [recorded.version async for recorded in reader.after(1, 3)]
        assert some == [2, 3, 4]
        return found, counted.asked

    found, asked = api.loop.run(read())
    assert found == list(range(1, session.version + 1))
    assert asked[:4] == [1, 4, 16, 64]
    assert asked[4:8] == [
        10,
        1,
        4,
        1,
    ]  # The ten small ones behind 21, then one large one at a time.


def test_a_page_of_large_events_is_shorter_than_asked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.http.event_operations.EVENT_BYTES", 3_000)
    for number in range(7):
        api.append("s", f"{number}" * 1_000)
    page = api("GET", "sessions/s/events").json()
    assert 0 < len(page["events"]) < 8
    assert page["next"] == len(page["events"])
    with api.client() as client:
        assert [recorded.version for recorded in client.read("s")] == list(range(1, 9))
        assert [recorded.version for recorded in client.read("s", limit=6)] == list(range(1, 7))
