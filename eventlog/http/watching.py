"""Reading a session's events page by page, and waking those who wait for more.

One reader of the log serves all who wait. Pages are small in bytes, since a slow reader keeps one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from eventlog import AsyncLog, EventLogError, Position, Recorded, UnavailableError

__all__ = ["EventReader", "Subscription", "Waiters"]


RETRY_SECONDS: Final = 1.0
"""How long to wait before the log is followed again after it could not be reached."""


class Subscription:
    """A place to wait for events of one session, or of all."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def look(self) -> None:
        """Forget earlier wake-ups; call it before reading, so that none is lost in between."""
        self._news.clear()

    def wake(self) -> None:
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for an event after the last `look`; return whether there may be one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        return self._news.is_set()


class Waiters:
    """Follows a log as long as anybody waits, and wakes those whose session has an event."""

    def __init__(self, log: AsyncLog) -> None:
        self._log = log
        self._waiting: dict[str | None, set[Subscription]] = {}
        self._following: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self.has_ended = False
        """Whether the server is about to stop, so that nobody may wait any longer."""

    def end(self) -> None:
        """Let everybody who waits go."""
        self.has_ended = True
        self._wake_all()

    @asynccontextmanager
    async def subscription(self, session_id: str | None) -> AsyncGenerator[Subscription, None]:
        """Return a subscription that is woken by each event after now, whoever writes it.

        With None it is one to the events of all sessions.
        """
        subscription = Subscription()
        self._waiting.setdefault(session_id, set()).add(subscription)
        try:
            if self._following is None:
                self._begun = asyncio.Event()
                self._following = asyncio.create_task(self._follow(self._begun))
            # What is written from here on is behind the place from which the log is followed.
            await self._begun.wait()
            yield subscription
        finally:
            waiting = self._waiting[session_id]
            waiting.discard(subscription)
            if not waiting:
                del self._waiting[session_id]
            if not self._waiting and self._following is not None:
                self._following.cancel()
                self._following = None

    async def _follow(self, begun: asyncio.Event) -> None:
        after: Position | str | None = None
        while True:
            try:
                if after is None:
                    after = await self._log.checkpoint()
                begun.set()
                async for recorded in self._log.follow(after):
                    after = recorded.position
                    for name in (recorded.stream, None):
                        for subscription in self._waiting.get(name, ()):
                            subscription.wake()
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except EventLogError:
                pass  # Those who wait look for themselves, and raise what they meet.
            begun.set()
            self._wake_all()
            return

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for subscription in waiting:
                subscription.wake()


# ---- pages ---------------------------------------------------------------------------------------

PAGE_BYTES: Final = 256 * 1024
"""About how many bytes of events one page has; a larger event is a page by itself."""

PAGE_EVENTS: Final = 256

_GROWTH: Final = 4


class EventReader:
    """Reads events of one session for one reader, who may take any time between two of them.

    The first page is small, and each page says how many events the next one has: a session of large
    messages is read one by one, and one of small messages as fast as by `AsyncLog.read`.
    """

    def __init__(self, log: AsyncLog, session_id: str) -> None:
        self._log = log
        self._session_id = session_id
        self._size = 1

    async def after(self, version: int, limit: int | None = None) -> AsyncGenerator[Recorded, None]:
        """Yield the events after a version that are there now, up to a number of them."""
        left = limit
        while left is None or left > 0:
            size = self._size if left is None else min(self._size, left)
            read = self._log.read(self._session_id, after=version, limit=size)
            page = [recorded async for recorded in read]
            fitting = _fitting(page)
            is_last = fitting == len(page) < size
            is_cut = fitting < len(page)
            # What does not fit is read again, rather than kept until the reader comes to it.
            del page[fitting:]
            self._size = max(fitting, 1) if is_cut else min(size * _GROWTH, PAGE_EVENTS)
            left = None if left is None else left - fitting
            for recorded in page:
                version = recorded.version
                yield recorded
            if is_last:
                return


def _fitting(page: list[Recorded]) -> int:
    """Return how many of the first events fit into a page; one does in any case."""
    size = 0
    for number, recorded in enumerate(page):
        size += len(recorded.record.data) + len(recorded.record.metadata)
        if size > PAGE_BYTES:
            return max(number, 1)
    return len(page)
