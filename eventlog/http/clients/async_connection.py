"""How the asynchronous client makes its requests; `eventlog.http.clients.connection` is generated from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx2

from eventlog import LogClosed
from eventlog.http import wire
from eventlog.http.wire import By, Sent

__all__ = ["AsyncConnection"]


class AsyncConnection:
    """Makes requests to one server, again if need be."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        attempts: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.http = http
        self.attempts = attempts
        self.sleep = sleep

    async def send(self, request: Sent) -> Any:
        """Make a request, again if need be, and return the document of its answer."""
        if self.http.is_closed:
            raise LogClosed
        for attempt in count(1):
            response: httpx2.Response | None = None
            error: httpx2.TransportError | None = None
            try:
                response = await self.http.request(**wire.request_options(request))
            except httpx2.TransportError as raised:
                error = raised
            pause = wire.try_again_after(attempt, self.attempts, response)
            if pause is not None:
                await self.sleep(pause)
            elif response is None:
                raise wire.failed(error or OSError(), request) from error
            else:
                return wire.answer_of(response)
        raise AssertionError

    async def retry(self, session: str, subject: str, reason: str | None, by: By) -> str:
        """Give a task new attempts, named by its id or by its archive's."""
        request = wire.post(
            "sessions", session, "archives", subject, "retry", body={"reason": reason}, by=by
        )
        status: str = (await self.send(request))["status"]
        return status

    async def abandon(self, session: str, subject: str, reason: str | None, by: By) -> None:
        """Abandon a task, named by its id or by its archive's."""
        request = wire.post(
            "sessions", session, "archives", subject, "abandon", body={"reason": reason}, by=by
        )
        await self.send(request)
