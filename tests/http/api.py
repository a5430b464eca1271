"""The API of a log in this process: an application on a loop of its own, and clients without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.requests import Request

from eventlog import AsyncLog, Finalizer, Log, NonRetryableError, Worker
from eventlog.http import ANY, AsyncClient, Client, Limits, Principal, create_app
from eventlog.http.application import Application
from eventlog.testing import FakeClock

PRINCIPALS = {
    "ada": Principal("ada", actor="ada@home"),
    "eve": Principal("eve"),
    "reader": Principal("ada", actions=frozenset({"read"})),
    "writer": Principal("ada", actions=frozenset({"read", "write"})),
    "ops": Principal(ANY, actor="ops"),
}
"""Who bears which token."""


def authorize(request: Request) -> Principal | None:
    return PRINCIPALS.get(request.headers.get("authorization", "").removeprefix("Bearer "))


class Loop:
    """An event loop in a thread, as a server's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.run(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


class OnLoop(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Carries requests of clients of both kinds to an application on a loop."""

    def __init__(self, loop: Loop, app: Application) -> None:
        self._loop = loop
        self._transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)

    async def _carry(self, request: httpx2.Request) -> httpx2.Response:
        content = request.content
        carried = httpx2.Request(
            request.method, request.url, headers=request.headers, content=content
        )
        response = await self._transport.handle_async_request(carried)
        return httpx2.Response(
            response.status_code, headers=response.headers, content=await response.aread()
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        response: httpx2.Response = self._loop.run(self._carry(request))
        return response

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        future = asyncio.run_coroutine_threadsafe(self._carry(request), self._loop.loop)
        return await asyncio.wrap_future(future)


@dataclass
class Api:
    """A log, and its API."""

    log: Log
    clock: FakeClock
    loop: Loop
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.app = create_app(AsyncLog(self.log), authorize=authorize, limits=self.limits)
        self.transport = OnLoop(self.loop, self.app)
        self.http = httpx2.Client(base_url="http://localhost/api/v1", transport=self.transport)

    def __call__(
        self, method: str, path: str, *, who: str | None = "ada", **options: Any
    ) -> httpx2.Response:
        """Make a request under ``/api/v1``."""
        headers = {} if who is None else {"Authorization": f"Bearer {who}"}
        headers |= options.pop("headers", {})
        return self.http.request(method, path, headers=headers, **options)

    def append(self, session: str, text: str, *, who: str = "ada", **options: Any) -> Any:
        body = {"role": "user", "parts": [{"type": "text", "text": text}]}
        answer = self("POST", f"sessions/{session}/messages", who=who, json=body, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def client(self, who: str = "ada", **options: Any) -> Client:
        options.setdefault("transport", self.transport)
        return Client("http://localhost", token=who, **options)

    def async_client(self, who: str = "ada", **options: Any) -> AsyncClient:
        options.setdefault("transport", self.transport)
        return AsyncClient("http://localhost", token=who, **options)

    def work(self, finalizer: Finalizer | None = None) -> int:
        return Worker(self.log, finalizer).run_once()

    def block(self, session: str) -> None:
        """Have a session's first archive fail for good."""
        self.append(session, "to be archived")
        assert self("POST", f"sessions/{session}/commit").status_code == 202
        self.work(Finalizer(refuse))


def refuse(request: Any) -> Any:
    raise NonRetryableError("prompt is too long")


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
