"""The plain twin; generated from `eventlog.http.clients.async_client_stream`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

from eventlog import EventLogError, InvalidArgument, Message, ToolPart, step_digest
from eventlog.http import wire
from eventlog.http.clients.background import Repeating, shielded
from eventlog.http.clients.turn_binding import StepNames
from eventlog.http.wire import Origin

__all__ = ["ClientStream"]


class ClientStream:
    """A message that is being written, with the methods of `eventlog.MessageStream`.

    What is written is sent in chunks: when it has ``chunk_bytes``, ``window_seconds`` after it came, at
    a call and at the end. A chunk that gets no answer is sent again as it was.
    """

    def __init__(
        self,
        session: Any,
        turn: Any,
        names: StepNames | None,
        *,
        name: str | None,
        role: Literal["system", "developer", "user", "assistant", "tool"],
        message_id: str | None,
        fields: Mapping[str, Any] | None,
        lease_seconds: float,
        window_seconds: float,
        chunk_bytes: int,
        by: Origin,
    ) -> None:
        self._session = session
        self._turn = turn
        self._names = names or StepNames()
        self._name = name
        self._role: Literal["system", "developer", "user", "assistant", "tool"] = role
        self._message_id = message_id
        self._fields = fields
        self._lease_seconds = lease_seconds
        self._chunk_bytes = chunk_bytes
        self._by: Origin = by
        self._repeating = Repeating(window_seconds, self.flush)
        self._lock = Lock()
        self._mutex = threading.Lock()
        """Held while the buffer is changed; the other one, while a chunk is sent."""
        self._given_id = message_id
        self._fence = self._sequence = self._bytes = 0
        self._buffer: list[dict[str, Any]] = []
        self._sending: list[dict[str, Any]] = []
        self._message: Message | None = None
        self._is_done = self._has_ended = False

    # ---- without I/O --------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name that was given to `stream`, if any."""
        return self._name

    @property
    def id(self) -> str:
        """The id that the message has from its beginning on."""
        if self._message_id is None:
            raise InvalidArgument("the message has not begun; enter the stream in a with statement")
        return self._message_id

    @property
    def fence(self) -> int:
        """The version of the beginning, which names the producer."""
        return self._fence

    @property
    def done(self) -> bool:
        """Whether an earlier attempt at the turn finished the message; `message` is it."""
        return self._is_done

    @property
    def message(self) -> Message:
        """The whole message, once it has ended; raises `InvalidArgument` before that."""
        if self._message is None:
            raise InvalidArgument("the message is still being written; call end() first")
        return self._message

    @property
    def _step(self) -> str | None:
        """The step of a turn that the message is: in a turn, a name makes it one."""
        return None if self._turn is None else self._name

    @property
    def _digest(self) -> str:
        given = ("\0stream", self._role, self._given_id)
        return step_digest(*given, **(self._fields or {}))

    # ---- the block ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._fence or self._is_done:
            raise InvalidArgument("a stream writes one message; open another one")
        if self._step is None:
            self._begin()
            return self
        with self._names.named(self._step):
            found = self._turn.resume_step(self._step, self._digest)
            if found is None:
                self._begin()
            else:
                message: Message = found.messages[-1]
                self._message, self._message_id, self._is_done = message, message.id, True
        return self

    def _begin(self) -> None:
        begun = self._session.begin_message(
            self._role,
            message_id=self._message_id,
            fields=self._fields,
            lease_seconds=self._lease_seconds,
            **self._by,
        )
        self._message_id, self._fence = begun.message_id, begun.fence
        self._repeating.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_done or self._has_ended:
            return
        if error is None:
            self.end()
        else:
            shielded(self._interrupt_or_log)

    def _interrupt_or_log(self) -> None:
        """Interrupt the message; an error must not replace the one that is on its way."""
        try:
            self.interrupt()
        except EventLogError as error:
            logging.getLogger("eventlog").warning("stream_not_interrupted error=%s", error)

    # ---- writing ------------------------------------------------------------------------------

    def write(self, text: str, *, type: str = "text") -> None:
        """Continue the message by a text; one of another ``type`` than the last begins a new part.

        Raises `LeaseLost`, once the text is sent, if the message was ended by others.
        """
        self._refuse_unless_open()
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument("a piece of a message must be text")
        if not text:
            return
        with self._mutex:
            last = self._buffer[-1] if self._buffer else {}
            if last.get("type") == type and last.keys() == {"type", "text"}:
                last["text"] += text
            else:
                self._buffer.append({"type": type, "text": text})
            self._bytes += len(text.encode("utf-8", "replace"))
        if self._bytes >= self._chunk_bytes:
            self.flush()

    def add(self, part: ToolPart | Mapping[str, Any]) -> None:
        """Add a whole part, such as an image or a call; it is stored when this returns."""
        self._refuse_unless_open()
        with self._mutex:
            self._buffer += wire.sent_content([part])
        self.flush()

    def call(
        self, tool_name: str, tool_input: dict[str, Any], *, tool_id: str | None = None
    ) -> ToolPart:
        """Add a tool call and return its part, which has the call's id, once it is stored."""
        part = Message.call(tool_name, tool_input, tool_id=tool_id)
        self.add(part)
        return part

    def flush(self) -> None:
        """Return once everything written so far is stored."""
        with self._lock:
            while self._sending or self._buffer:
                with self._mutex:
                    if not self._sending:
                        self._sending, self._buffer, self._bytes = self._buffer, [], 0
                number = self._sequence + 1
                self._session.append_chunk(self.id, self._fence, number, self._sending)
                self._sequence, self._sending = number, []

    def end(self, message: Message | dict[str, Any] | None = None) -> Message:
        """End the message and return it, as it was recorded.

        Without ``message`` it is what was written; a given one takes its place, under the same id.
        """
        self._refuse_unless_open()
        self._repeating.end()
        self.flush()
        step: dict[str, Any] = {}
        if self._step is not None:
            step = {"step": self._step, "digest": self._digest}
        ended: Message = self._session.end_message(
            self.id, self._fence, message, **step, **self._by
        )
        self._message, self._has_ended = ended, True
        return ended

    def interrupt(self) -> Message | None:
        """End the message as interrupted, and return it; None if nothing was written."""
        self._refuse_unless_open()
        self._repeating.end()
        self._has_ended = True
        if self._step is not None:
            self._names.free(self._step)
        self.flush()
        interrupted: Message | None = self._session.interrupt_message(
            self.id, self._fence, **self._by
        )
        self._message = interrupted
        return interrupted

    def _refuse_unless_open(self) -> None:
        if self._is_done:
            raise InvalidArgument(
                f"an earlier attempt finished the message {self._name!r}; look at `done` first"
            )
        if not self._fence or self._has_ended:
            raise InvalidArgument("the message is not being written")
