"""A log and its sessions as tests of the library use them, with a client and a real socket in between.

What clients offer goes through the client; the rest, such as `Log.verify`, asks the log itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from eventlog import AsyncLog, Log, Session
from eventlog.http import ANY, AsyncClient, Client, Principal, create_app
from eventlog.http.clients.client_session import ClientSession
from eventlog.http.serving import _Server
from tests.http.api import Loop

__all__ = ["RemoteLog", "Served"]


class Served:
    """A log that is served on a port of this machine, from a thread."""

    _serving: asyncio.Task[None]

    def __init__(self, loop: Loop, log: Log) -> None:
        self.log = log
        self._loop = loop
        self._log = AsyncLog(log)
        self._app = create_app(self._log, authorize=lambda request: Principal(ANY))
        started: asyncio.Queue[int] = asyncio.Queue()
        config = uvicorn.Config(self._app, port=0, log_config=None, ws="none")
        self._server = _Server(config, lambda host, port: started.put_nowait(port))

        async def begin() -> int:
            self._serving = asyncio.create_task(self._server.serve())
            return await started.get()

        self.url = f"http://127.0.0.1:{loop.run(begin())}"

    def close(self) -> None:
        """End the server; the log stays open."""
        self._server.should_exit = True
        self._loop.run(self._ended())

    async def _ended(self) -> None:
        self._app.end_streams()
        await self._serving


class _Remote:
    """Something on a server, beside the same thing here."""

    def __init__(self, run: Callable[[Any], Any], client: Any, local: Any) -> None:
        self._run = run
        self._client = client
        self._local = local

    def __getattr__(self, name: str) -> Any:
        if not hasattr(type(self._client), name):
            return getattr(self._local, name)
        found = getattr(self._client, name)
        return partial(self._called, found) if callable(found) else found

    def _called(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._run(method(*args, **options))


class RemoteSession(_Remote):
    """A session; what a client knows as of its last `refresh` is fetched whenever it is looked at."""

    @property
    def meta(self) -> Any:
        return self._run(self._client.refresh())

    @property
    def version(self) -> int:
        self._run(self._client.refresh())
        version: int = self._client.version
        return version

    def refresh(self) -> Any:
        self._local.refresh()
        return self.meta


class RemoteLog(_Remote):
    """A log, through the plain client or its asynchronous twin."""

    def __init__(self, served: Served, loop: Loop, *, is_twin: bool) -> None:
        self._loop = loop
        client: Any = AsyncClient(served.url) if is_twin else Client(served.url)
        super().__init__(self._awaited if is_twin else lambda made: made, client, served.log)

    def session(self, *args: Any, **options: Any) -> RemoteSession:
        """Open a session; one whose owner or policies are given is created where the log is."""
        known = {*inspect.signature(Client.session).parameters}
        if not {*options} <= known:
            local = self._local.session(*args, **options)
            if options.get("create"):
                local.ensure_created()
            args, options = (local.id,), {}
        session = self._run(self._client.session(*args, **options))
        return RemoteSession(self._run, session, self._local.session(session.id))

    def close(self) -> None:
        self._run(self._client.close())

    def _awaited(self, made: Any) -> Any:
        if isinstance(made, AsyncIterator):
            return self._iterated(made)
        return self._loop.run(made) if inspect.isawaitable(made) else made

    def _iterated(self, entries: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run(anext(entries))
            except StopAsyncIteration:
                return


OFFERED = {name for name in vars(ClientSession) if not name.startswith("_")}
"""What a test can ask a client for; `Session` has more."""

assert {*dir(Session)} > OFFERED
