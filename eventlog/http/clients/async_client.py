"""The client of a log that is served over HTTP, for asyncio; `eventlog.http.clients.client` has its twin.

The twins are generated from the ``async_`` modules (`tests/http/twin.py`), so a change is made here
alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

import httpx2
from typing_extensions import Unpack

from eventlog import (
    ConflictError,
    Health,
    InvalidArgument,
    Recorded,
    RunView,
    SessionClosed,
    SessionNotFound,
    TaskView,
    UnavailableError,
)
from eventlog.http import documents, wire
from eventlog.http.clients.async_client_session import AsyncClientSession
from eventlog.http.clients.async_connection import AsyncConnection
from eventlog.http.wire import By

__all__ = ["AsyncClient", "AsyncClientSession"]


class AsyncClient:
    """A log that is served over HTTP, with the methods of `eventlog.AsyncLog` that it offers.

    Results and errors are those of the library. A request that gets no answer, or that the server
    cannot answer now, is made up to ``attempts`` times: each command has a key or an id, so it is
    recorded once. ``timeout`` is in seconds. ``transport`` and ``sleep`` are for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = wire.TIMEOUT_SECONDS,
        attempts: int = wire.ATTEMPTS,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        options = wire.client_options(url, token, timeout)
        http = httpx2.AsyncClient(**options, transport=transport)
        self._connection = AsyncConnection(http, attempts, sleep)

    # ---- sessions -----------------------------------------------------------------------------

    async def session(
        self,
        id: str | None = None,
        *,
        create: bool = False,
        project: str | None = None,
        workspace: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        failed_archives: Literal["block", "skip"] = "block",
    ) -> AsyncClientSession:
        """Open a session; with ``create=True``, one that may not exist yet.

        A new session is recorded at once. Raises as `eventlog.Log.session` does; another owner's
        session is not found, and cannot be created: `ConflictError`.
        """
        if id is None and not create:
            raise InvalidArgument("give the id of the session, or create=True for a new one")
        if id is not None:
            session = await self._found(id)
            if session is not None:
                if create and session.meta.status != "open":
                    raise SessionClosed(id, session.meta.status)
                return session
            if not create:
                raise SessionNotFound(id)
        body = {
            "session_id": id,
            "project": project,
            "workspace": workspace,
            "provider": provider,
            "model": model,
            "failed_archives": failed_archives,
        }
        request = wire.post("sessions", body=body, by={})
        try:
            return AsyncClientSession(self._connection, await self._connection.send(request))
        except ConflictError:
            # Somebody was first: another of one's own clients, or another owner.
            session = None if id is None else await self._found(id)
            if session is None:
                raise
            return session

    async def _found(self, session_id: str) -> AsyncClientSession | None:
        try:
            document = await self._connection.send(wire.get("sessions", session_id))
        except SessionNotFound:
            return None
        return AsyncClientSession(self._connection, document)

    async def sessions(
        self,
        *,
        workspace: str | None = None,
        updated_after: str | datetime | None = None,
        newest_first: bool = False,
    ) -> AsyncIterator[str]:
        """Yield the ids of the sessions that the token may see, or of those in a workspace."""
        after: str | None = None
        while True:
            page = await self._connection.send(
                wire.get(
                    "sessions",
                    workspace=workspace,
                    updated_after=updated_after,
                    newest_first=newest_first,
                    after=after,
                )
            )
            for entry in page["sessions"]:
                yield entry["session_id"]
            after = page["next"]
            if after is None:
                return

    async def latest_session(self, workspace: str) -> str | None:
        """Return the id of the session in a workspace that was written to last, or None."""
        request = wire.get("sessions", workspace=workspace, newest_first=True, limit=1)
        found = (await self._connection.send(request))["sessions"]
        return found[0]["session_id"] if found else None

    async def exists(self, session: str) -> bool:
        """Return whether a session has any record, even if it is closed or deleted."""
        return await self._found(session) is not None

    # ---- tasks --------------------------------------------------------------------------------

    async def task(self, task_id: str) -> TaskView:
        """Return a task by its id; raises `TaskNotFound`."""
        return documents.task_from(await self._connection.send(wire.get("tasks", task_id)))

    async def tasks(
        self,
        session: str | None = None,
        state: str | None = None,
        kind: str | None = None,
    ) -> AsyncIterator[TaskView]:
        """Yield tasks, the oldest first, filtered by session, state and kind."""
        after: str | None = None
        while True:
            request = wire.get("tasks", session=session, state=state, kind=kind, after=after)
            page = await self._connection.send(request)
            for document in page["tasks"]:
                yield documents.task_from(document)
            after = page["next"]
            if after is None:
                return

    async def runs(
        self, session: str | None = None, state: str | None = None
    ) -> AsyncIterator[RunView]:
        """Yield runs, filtered by session and state; see `eventlog.Log.runs`."""
        after: str | None = None
        while True:
            request = wire.get("runs", session=session, state=state, after=after)
            page = await self._connection.send(request)
            for document in page["runs"]:
                yield documents.run_from(document)
            after = page["next"]
            if after is None:
                return

    async def retry(self, task_id: str, *, reason: str | None = None, **by: Unpack[By]) -> str:
        """Give a failed task of any kind new attempts; see `eventlog.Log.retry`."""
        session = (await self.task(task_id)).session_id
        return await self._connection.retry(session, task_id, reason, by)

    async def abandon(self, task_id: str, *, reason: str | None = None, **by: Unpack[By]) -> None:
        """Abandon an unfinished task of any kind; what waits for it goes on."""
        session = (await self.task(task_id)).session_id
        await self._connection.abandon(session, task_id, reason, by)

    # ---- records ------------------------------------------------------------------------------

    async def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Recorded]:
        """Yield a session's events with ``after < version <= until``, lazily."""
        left = limit
        while left is None or left > 0:
            size = 1_000 if left is None else min(left, 1_000)
            page = await self._connection.send(
                wire.get("sessions", session, "events", after=after, limit=size)
            )
            for document in page["events"]:
                if until is not None and document["version"] > until:
                    return
                yield documents.recorded_from(document)
            if not page["events"]:
                return
            after, left = page["next"], None if left is None else left - len(page["events"])

    async def follow(
        self, session: str, *, after: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[Recorded]:
        """Yield the events of a session after a version, then wait for new ones until it is closed.

        A connection that is lost is made again, and goes on after the last event. Raises
        `StoreUnavailable` if the server cannot be reached again.
        """
        attempt = 0
        while True:
            attempt += 1
            lost: UnavailableError | None = None
            response: httpx2.Response | None = None
            request = wire.get(
                "sessions",
                session,
                "events",
                headers={"Accept": "text/event-stream"},
                after=after,
                types=None if types is None else ",".join(types),
            )
            options = wire.request_options(request)
            try:
                async with self._connection.http.stream(
                    **options, timeout=wire.STREAM_SECONDS
                ) as response:
                    if not response.is_success:
                        await response.aread()
                        wire.answer_of(response)
                    if response.status_code == 204:
                        return
                    async for event in httpx2.EventSource(response, wire.EVENT_BYTES):
                        recorded = wire.streamed(event)
                        if recorded is not None:
                            attempt, after = 0, recorded.version
                            yield recorded
            except UnavailableError as error:
                lost = error
            except httpx2.TransportError as error:
                lost = wire.failed(error, request)
                response = None
            if lost is None:
                continue  # It ended, because the session is closed or the server stops.
            pause = wire.try_again_after(attempt, self._connection.attempts, response)
            if pause is None:
                raise lost
            await self._connection.sleep(pause)

    async def health(self) -> Health:
        """Return what waits in the log, what is stuck, and since when; for an operator's token."""
        return documents.health_from(await self._connection.send(wire.get("health")))

    # ---- end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connections; the log stays open where it is served."""
        await self._connection.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
