"""The thread that stores the chunks of the messages that a log's callers are writing.

There is one per log, and only while a message is being written. Chunks that are due at once are
queued at once, so they share a durable transaction, with each other and with all other commands.
"""

from __future__ import annotations

import logging
import threading
import time
from _queue import Empty, SimpleQueue
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from eventlog.errors import EventLogError
from eventlog.session.streams.reasons import CLOSED
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.clock import Clock
    from eventlog.engine.request import SessionRequest
    from eventlog.engine.streams.host import StreamHost
    from eventlog.engine.streams.writer import StreamWriter

__all__ = ["StreamPump"]

LONGEST_WAIT_SECONDS: Final = 1.0
"""After which the thread looks again, and ends where nothing is written any more."""


class StreamPump:
    """The writers of a log, and the thread that stores for them."""

    def __init__(self, engine: StreamHost) -> None:
        self._engine = engine
        self.now: Clock = engine.monotonic or _monotonic
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[int, StreamWriter] = {}
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def reset(self) -> None:
        """Start over in a forked child, whose parent goes on writing the messages."""
        for writer in self._writers.values():
            writer.disown()
        self._begin()

    def attend(self, writer: StreamWriter, *, in_background: bool) -> None:
        """Take a writer in until `leave`; with ``in_background`` the thread stores its chunks."""
        writer.core.writers.add(writer)
        with self._lock:
            self._writers[id(writer)] = writer
            if in_background and self._thread is None:
                thread = threading.Thread(target=self._work, name="eventlog-streams", daemon=True)
                thread.start()
                self._thread = thread

    def leave(self, writer: StreamWriter) -> None:
        """Forget a writer whose message has ended."""
        writer.core.writers.discard(writer)
        with self._lock:
            self._writers.pop(id(writer), None)

    def ring(self) -> None:
        """Have the thread look at once; one that was called and has not come yet is not called again."""
        if self._bell.empty():
            self._bell.put(None)

    def close(self) -> None:
        """End the messages that are still being written, as interrupted."""
        for writer in list(self._writers.values()):
            try:
                writer.interrupt(CLOSED)
            except EventLogError as error:
                log_fact(logging.WARNING, "stream_not_interrupted", error=str(error))
            self.leave(writer)
        self.ring()

    def _work(self) -> None:
        bell = self._bell
        while True:
            with suppress(Empty):
                bell.get(timeout=self._seconds_to_wait())
                while True:
                    bell.get_nowait()
            with self._lock:
                writers = list(self._writers.values())
                if not writers:
                    self._thread = None
                    return
            store_due(self._engine, writers, self.now())
            for writer in writers:
                if writer.is_finished:
                    # Others have ended its message, and its block may never be left.
                    self.leave(writer)

    def _seconds_to_wait(self) -> float:
        with self._lock:
            writers = list(self._writers.values())
        now = self.now()
        soonest = min((writer.due_at() - now for writer in writers), default=0)
        if not writers:
            return LONGEST_WAIT_SECONDS
        return min(max(soonest / 1_000_000, 0.001), LONGEST_WAIT_SECONDS)


def store_due(engine: StreamHost, writers: Iterable[StreamWriter], now: int) -> None:
    """Store the chunks that are due, together; an error is the writer's."""
    under_way: list[tuple[StreamWriter, SessionRequest]] = []
    for writer in writers:
        if not writer.is_due(now) or not writer.storing.acquire(blocking=False):
            continue  # Not due, or its producer is storing.
        request = _queued(engine, writer)
        if request is None:
            writer.storing.release()
        else:
            under_way.append((writer, request))
    for writer, request in under_way:
        try:
            request.wait()
        except Exception as error:  # noqa: BLE001 - the producer gets it, or it is tried again
            writer.settle(error)
        else:
            writer.settle(None)
        finally:
            writer.storing.release()


def _queued(engine: StreamHost, writer: StreamWriter) -> SessionRequest | None:
    """Queue a writer's next chunk; store it at once if it has large outputs."""
    try:
        request = writer.next_request()
        if request is None:
            return None
        if not request.unkept:
            request.waited_for()
            engine.submit(request)
            return request
        engine.answer(request)
    except Exception as error:  # noqa: BLE001 - as above
        writer.settle(error)
    else:
        writer.settle(None)
    return None


def _monotonic() -> int:
    return time.monotonic_ns() // 1000
