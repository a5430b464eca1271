"""Waking those who wait for events of a session: one reader of the log serves all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from eventlog import AsyncLog, EventLogError, Position, UnavailableError

__all__ = ["Subscription", "Waiters"]


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
