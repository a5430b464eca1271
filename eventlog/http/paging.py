"""Reading a session's events in pages that are small in bytes, since a slow reader keeps a page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from eventlog import AsyncLog, Recorded

__all__ = ["EventReader"]

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
