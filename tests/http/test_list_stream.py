"""The list of sessions as a stream: it is sent when it is another one, to whom may see it (A6, R9)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from eventlog import AsyncLog, Message
from eventlog.http import Limits, create_app
from eventlog.http.application import Application
from eventlog.report.inspector import Inspector
from tests.http.api import Api, authorize, until
from tests.http.test_gate import Raw


class Lists:
    """A reader of the stream."""

    def __init__(self, app: Application, query: str = "", who: str = "ops") -> None:
        bearer = {"authorization": f"Bearer {who}"}
        self.raw = Raw(app, "/inspector/sessions", accept="text/event-stream", **bearer)
        self.raw.scope["method"] = "GET"
        self.raw.scope["query_string"] = query.encode()
        self.task = asyncio.create_task(app(self.raw.scope, self.raw.receive, self.raw.send))

    async def start(self) -> int:
        begun = await asyncio.wait_for(self.raw.sent.get(), 10)
        self.headers = dict(begun["headers"])
        status: int = begun["status"]
        return status

    async def piece(self) -> str:
        body: bytes = (await asyncio.wait_for(self.raw.sent.get(), 10))["body"]
        return body.decode()

    async def next(self) -> list[tuple[str, int]]:
        """Return the sessions of the next list, with their versions."""
        document: Any = json.loads((await self.piece()).removeprefix("data: "))
        assert document["count"] == len(document["sessions"])
        return [(row["session_id"], row["version"]) for row in document["sessions"]]

    async def leave(self) -> None:
        self.raw.pieces.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, 10)


def app_of(api: Api, **limits: Any) -> Application:
    log = AsyncLog(api.log)
    return create_app(log, authorize=authorize, limits=Limits(**limits), pages=Inspector(api.log))


def test_the_list_is_sent_at_once_and_again_when_a_session_changes(api: Api) -> None:
    api.append("s", "a")

    async def main() -> None:
        app = app_of(api)
        lists = Lists(app)
        assert await lists.start() == 200
        assert lists.headers[b"content-type"].startswith(b"text/event-stream")
        assert lists.headers[b"cache-control"] == b"no-store"
        assert await lists.next() == [("s", 2)]
        session = await app._service.log.session("new", create=True)
        await session.append(Message.user("b"))
        assert dict(await lists.next()) == {"s": 2, "new": 2}
        await lists.leave()
        assert app._service.watch._following is None, "nobody waits, so nobody follows the log"

    api.loop.run(main())


def test_a_stream_keeps_its_filter(api: Api) -> None:
    api.append("s", "a")

    async def main() -> None:
        app = app_of(api)
        lists = Lists(app, "text=oth")
        await lists.start()
        assert await lists.next() == []
        for name in ("new", "other"):
            session = await app._service.log.session(name, create=True)
            await session.append(Message.user("b"))
        assert await lists.next() == [("other", 2)]
        await lists.leave()

    api.loop.run(main())


def test_what_others_write_sends_nothing_to_an_owner(api: Api) -> None:
    api.append("hers", "a")

    async def main() -> list[str]:
        app = app_of(api, heartbeat_seconds=0.01)
        lists = Lists(app, who="ada")
        await lists.start()
        assert await lists.next() == [("hers", 2)]
        for number in range(3):
            session = await app._service.log.session(f"eves-{number}", create=True, owner="eve")
            await session.append(Message.user("b"))
        said = [await lists.piece() for _ in range(3)]
        await lists.leave()
        return said

    assert set(api.loop.run(main())) == {": waiting\n\n"}


def test_a_server_that_stops_ends_the_stream(api: Api) -> None:
    api.append("s", "a")

    async def main() -> None:
        app = app_of(api)
        lists = Lists(app)
        await lists.start()
        await lists.next()
        await until(lambda: bool(app._service.watch._waiting))
        app.end_streams()
        await asyncio.wait_for(lists.task, 10)

    api.loop.run(main())


def test_a_list_that_cannot_be_read_is_refused_before_the_stream_begins(api: Api) -> None:
    async def main() -> list[int]:
        app = app_of(api)
        found = []
        for query, who in (("skip=x", "ops"), ("", "nobody")):
            lists = Lists(app, query, who)
            found.append(await lists.start())
            await asyncio.wait_for(lists.task, 10)
        return found

    assert api.loop.run(main()) == [422, 401]


def test_a_log_that_is_closed_ends_the_stream_with_the_error(api: Api) -> None:
    api.append("s", "a")

    async def main() -> str:
        app = app_of(api)
        lists = Lists(app)
        await lists.start()
        await lists.next()
        await until(lambda: bool(app._service.watch._waiting))
        await api.loop.loop.run_in_executor(None, api.log.close)
        said = await lists.piece()
        await asyncio.wait_for(lists.task, 10)
        return said

    assert api.loop.run(main()).startswith("event: error\ndata: {")
