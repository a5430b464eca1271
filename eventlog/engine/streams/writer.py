"""Writing one message in chunks: the producer hands pieces over, a thread of the log stores them.

The producer is never slowed by the store as long as the pieces that wait fit the buffer. Beyond that it
stores the next chunk itself, and so waits for the store: nothing is dropped. What the store refuses is
tried again with the next window, under the same number; only a producer whose buffer is full gets the
error. A lost lease ends the writing: the next call raises `LeaseLost`.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from eventlog.engine.request import SessionRequest
from eventlog.engine.streams import arguments as stream_arguments
from eventlog.errors import EventLogError, InvalidArgument, LeaseLost, UnavailableError
from eventlog.session.messages import Message
from eventlog.session.streams.coalescing import ChunkBuffer, WriterOptions
from eventlog.session.streams.commands import AppendChunk, BegunMessage
from eventlog.session.streams.reasons import STOPPED
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.engine.core import Core
    from eventlog.engine.streams.host import StreamHost
    from eventlog.records import Metadata
    from eventlog.session.command import Command
    from eventlog.session.turns.state import TurnFence
    from eventlog.session.turns.steps import StepOfTurn

__all__ = ["StreamWriter"]

NEVER: Final = 1 << 62
"""A time that does not come, in microseconds."""


class StreamWriter:
    """The producer's side of one message. Thread-safe."""

    def __init__(
        self,
        engine: StreamHost,
        core: Core,
        begun: BegunMessage,
        options: WriterOptions,
        by: Metadata | None,
        now: Callable[[], int],
        fence: TurnFence | None = None,
        step: StepOfTurn | None = None,
    ) -> None:
        self.begun = begun
        self._fence = fence
        """That of the turn which the message is part of, and whose lease is kept elsewhere."""
        self._step = step
        self._engine = engine
        self.core = core
        self._options = options
        self._by = by
        self._now = now
        self._storing = threading.Lock()
        """Held by the one that stores a chunk: chunks are stored one after the other."""
        self._buffer = ChunkBuffer(options.window, options.chunk_bytes)
        self._unstored: AppendChunk | None = None
        """A chunk that was tried and may or may not be stored."""
        self._sequence = begun.sequence
        self._stored_at = now()
        self._error: EventLogError | None = None
        self.is_over = False

    # ---- the producer -------------------------------------------------------------------------

    def add_text(self, text: str, type: str) -> bool:
        """Take a text; return whether a chunk is due, which somebody must store."""
        if self._error is not None or self.is_over:
            self._refuse()
        return self._buffer.add_text(text, type, self._now())

    def add_part(self, part: dict[str, Any]) -> bool:
        """Do the same with a part."""
        self._raise_error()
        now = self._now()
        self._buffer.add_part(part, now)
        return self._buffer.is_due(now)

    def _refuse(self) -> None:
        if self._error is not None:
            raise self._error
        raise InvalidArgument(
            f"message {self.begun.message_id!r} has ended; begin another one to write more"
        )

    @property
    def is_full(self) -> bool:
        """Whether more waits than the buffer may hold, so that the producer has to wait."""
        return self._buffer.size > self._options.buffer_bytes

    def flush(self) -> None:
        """Store what was written so far (I/O)."""
        with self._storing:
            self._raise_error()
            if self._buffer or self._unstored is not None:
                self._store()

    def make_room(self) -> None:
        """Store chunks until the buffer has room (I/O); raise what keeps the store from it."""
        with self._storing:
            if self.is_full or self._unstored is not None:
                self._store()

    def end(self, message: Message | dict[str, Any] | None = None) -> Message:
        """Store what is left, end the message and return it (I/O).

        Without a message it is what was written.
        """
        with self._storing:
            self._raise_error()
            self._store_left()
            command = stream_arguments.end(
                self._engine, self.core, *self.begun[:2], message, self._step
            )
            ended: Message = self._execute(command)
            self.is_over = True
        return ended

    def interrupt(self, reason: str = STOPPED) -> Message | None:
        """Store what is left and end the message as interrupted (I/O).

        Returns the message; None if nothing was written, or if it has been ended already.
        """
        with self._storing:
            if self.is_finished:
                return None
            self._store_left()
            command = stream_arguments.interrupt(self._engine, *self.begun[:2], reason)
            message: Message | None = self._execute(command)
            self.is_over = True
        return message

    def store_rest(self) -> None:
        """Store what was written so far, since others end the message; errors are the producer's (I/O)."""
        with self._storing, suppress(EventLogError):
            if not self.is_finished:
                self._store_left()

    def _store_left(self) -> None:
        """Store what no chunk has yet. Called by the one that holds `storing` (I/O)."""
        if self._buffer or self._unstored is not None:
            self._store()

    def _execute(self, command: Command[Any]) -> Any:
        return self._engine.execute(self.core, command, self._by, fence=self._fence)

    def disown(self) -> None:
        """Have every further call refused: in a forked child, since the parent goes on writing."""
        self._storing = threading.Lock()
        self._error = LeaseLost(
            *self.begun[:2], "the process was forked, and its parent writes it", of="message"
        )

    def _raise_error(self) -> None:
        if self.is_finished:
            self._refuse()

    # ---- storing ------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether nothing more can be stored: the message has ended, here or by others."""
        return self.is_over or self._error is not None

    def is_due(self, now: int) -> bool:
        """Return whether a chunk is to be stored: one without parts where a lease runs out."""
        if self.is_finished:
            return False
        return self._buffer.is_due(now) or now >= self._renewal()

    def due_at(self) -> int:
        """Return when `is_due` holds at the latest."""
        due, renewal = self._buffer.due_at, self._renewal()
        return renewal if due is None else min(due, renewal)

    def _renewal(self) -> int:
        """Return when a chunk is due even if nothing new was written."""
        if self._fence is not None and self._unstored is None:
            return NEVER
        return self._stored_at + self._options.lease // 3

    def next_request(self) -> SessionRequest | None:
        """Return the request for the next chunk; call `settle` with its outcome.

        Called by the one that holds `storing`. None if the writing is over.
        """
        if self.is_finished:
            return None
        chunk = self._unstored
        if chunk is None:
            parts = self._buffer.take()
            number = self._sequence + 1
            chunk = self._unstored = stream_arguments.chunk_of(
                self._engine, self.core, *self.begun[:2], number, parts
            )
        return SessionRequest(self.core, chunk, self._by, fence=self._fence)

    def settle(self, error: BaseException | None) -> None:
        """Note what became of a chunk; one that could not be stored is tried again."""
        if error is None:
            self._sequence += 1
            self._unstored = None
            self._stored_at = self._now()
        elif isinstance(error, EventLogError) and not isinstance(error, UnavailableError):
            self._error = error
        else:
            self._stored_at = self._now()
            log_fact(
                logging.WARNING,
                "chunk_not_stored",
                session_id=self.core.session,
                message_id=self.begun.message_id,
                error=str(error),
            )

    @property
    def storing(self) -> threading.Lock:
        """The lock of the one that stores."""
        return self._storing

    def _store(self) -> None:
        """Store what waits, a chunk at a time: one that failed before comes first, as it was."""
        while True:
            was_unstored = self._unstored is not None
            request = self.next_request()
            if request is None:
                self._refuse()
                return
            try:
                self._engine.answer(request)
            except BaseException as error:
                self.settle(error)
                raise
            self.settle(None)
            if not was_unstored or not self._buffer:
                return
