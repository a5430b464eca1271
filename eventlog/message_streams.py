"""Messages that are written while a model is still talking: `MessageStream` and `AsyncMessageStream`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from eventlog.engine.farewell import in_spite_of_cancellation, whole
from eventlog.engine.request import SessionRequest
from eventlog.engine.steps import arguments_digest
from eventlog.engine.streams import arguments as stream_arguments
from eventlog.engine.streams.writer import StreamWriter
from eventlog.errors import EventLogError, InvalidArgument
from eventlog.redaction import redacted
from eventlog.session.messages import Message, ToolPart
from eventlog.session.streams.coalescing import WriterOptions
from eventlog.session.streams.commands import BegunMessage
from eventlog.session.streams.content import calls_in
from eventlog.session.streams.reasons import STOPPED
from eventlog.session.turns.steps import StepOfTurn
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.records import Metadata
    from eventlog.session.commands import AppendMessages
    from eventlog.session.streams.commands import BeginMessage
    from eventlog.session.turns.state import TurnFence

__all__ = ["AsyncMessageStream", "MessageStream", "StreamTerms", "stream_terms"]


class StreamTerms(NamedTuple):
    """What a message is begun with."""

    name: str | None
    role: str
    message_id: str | None
    fields: Mapping[str, Any] | None
    lease_seconds: float
    options: WriterOptions
    by: Metadata | None
    fence: TurnFence | None = None
    """That of the turn in which it is written."""
    steps: TurnSteps | None = None
    """The steps of the turn."""

    @property
    def step(self) -> StepOfTurn | None:
        """The step of a turn that the message is: in a turn, a name makes it one."""
        if self.name is None or self.fence is None:
            return None
        given = ("\0stream", self.role, self.message_id)
        return StepOfTurn(self.fence, self.name, arguments_digest(given, self.fields or {}))


class _Stream:
    """What both kinds have in common: all but how they wait."""

    def __init__(self, engine: Engine, core: Core, terms: StreamTerms) -> None:
        self._core = core
        self._terms = terms
        self._pump = engine.pump
        self._blocking = engine
        self._writer: StreamWriter | None = None
        self._message: Message | None = None
        self._is_done = False

    @property
    def name(self) -> str | None:
        """The name that was given to `stream`, if any."""
        return self._terms.name

    @property
    def id(self) -> str:
        """The id that the message has from its beginning on."""
        if self._is_done:
            return self.message.id
        return self._begun.begun.message_id

    @property
    def fence(self) -> int:
        """The version of the beginning, which names the producer."""
        return self._begun.begun.fence

    @property
    def done(self) -> bool:
        """Whether an earlier attempt at the turn finished the message: nothing is left to be written.

        `message` is it; it was appended again when the block was entered.
        """
        return self._is_done

    @property
    def message(self) -> Message:
        """The whole message, once it has ended; raises `InvalidArgument` before that."""
        if self._message is None:
            raise InvalidArgument("the message is still being written; call end() first")
        return self._message

    @property
    def _begun(self) -> StreamWriter:
        if self._is_done:
            raise InvalidArgument(
                f"an earlier attempt finished the message {self._terms.name!r}; look at `done` first"
            )
        if self._writer is None:
            raise InvalidArgument("the message has not begun; enter the stream in a with statement")
        return self._writer

    def _prepare(self) -> BeginMessage | AppendMessages:
        """Return the command that begins the message, or the one that appends it again (I/O)."""
        if self._writer is not None or self._is_done:
            raise InvalidArgument("a stream writes one message; open another one")
        terms, step = self._terms, self._terms.step
        if step is None or terms.steps is None:
            return self._begin_command()
        terms.steps.names.reserve(step.name)
        try:
            found = terms.steps.find(step.name, step.digest)
            if found is not None and found.append is not None:
                return found.append
            return self._begin_command()
        except BaseException:
            self._free_name()
            raise

    def _free_name(self) -> None:
        """Have the name be free again, since the message was not finished."""
        terms = self._terms
        if terms.step is not None and terms.steps is not None:
            terms.steps.names.free(terms.step.name)

    def _begin_command(self) -> BeginMessage:
        terms = self._terms
        return stream_arguments.begin(
            self._blocking,
            self._core,
            terms.role,
            terms.message_id,
            terms.fields,
            terms.lease_seconds,
            None,
            terms.fence is not None,
        )

    def _open(self, begun: BegunMessage | tuple[Message, ...]) -> None:
        """Take in that the message was begun, or that it was appended again."""
        if not isinstance(begun, BegunMessage):
            self._message, self._is_done = begun[0], True
            return
        terms = self._terms
        self._writer = StreamWriter(
            self._blocking,
            self._core,
            begun,
            terms.options,
            terms.by,
            self._pump.now,
            terms.fence,
            terms.step,
        )
        self._pump.attend(self._writer, in_background=terms.options.in_background)

    @staticmethod
    def _holds_call(part: ToolPart | Mapping[str, Any]) -> bool:
        """Return whether a part is a call, which must be stored before its tool runs."""
        return any(True for _ in calls_in(stream_arguments.parts_data([part])))

    def _add_text(self, text: str, type: str) -> bool:
        """Take a text; return whether the caller has to store."""
        if text.__class__ is not str or type != "text" or not text.isascii():
            stream_arguments.check_piece(text, type)
        return bool(text) and (self._writer or self._begun).add_text(text, type) and self._is_mine()

    def _add_part(self, part: dict[str, Any]) -> bool:
        """Do the same with a part."""
        return self._begun.add_part(part) and self._is_mine()

    def _is_mine(self) -> bool:
        """Have what is due stored; return whether the caller has to do it."""
        if not self._terms.options.in_background:
            return True
        self._pump.ring()
        return self._begun.is_full

    def _store(self) -> None:
        """Store what is due or too much (I/O)."""
        if self._terms.options.in_background:
            self._begun.make_room()
        else:
            self._begun.flush()

    def _end(self, message: Message | dict[str, Any] | None) -> Message:
        self._message = self._begun.end(message)
        self._pump.leave(self._begun)
        return self._message

    def _interrupt(self, reason: str = STOPPED) -> Message | None:
        self._free_name()
        try:
            interrupted = self._begun.interrupt(reason)
        finally:
            self._pump.leave(self._begun)
        if interrupted is not None:
            self._message = interrupted
        return interrupted

    @property
    def _is_over(self) -> bool:
        """Whether there is nothing to end: the message has ended, or was not begun here."""
        return self._writer is None or self._writer.is_over

    def _give_back(self, error: BaseException | None = None) -> None:
        """Interrupt the message if it was begun and has not ended, because of an error (I/O)."""
        if self._writer is None:
            if not self._is_done:
                self._free_name()
        elif self._writer.is_over:
            self._pump.leave(self._writer)
        else:
            said = "" if error is None else redacted(error).removesuffix(": ")
            self._interrupt_or_log(f"its producer: {said}" if said else STOPPED)

    def _interrupt_or_log(self, reason: str) -> None:
        """Interrupt the message; an error must not replace the one that is on its way."""
        try:
            self._interrupt(reason)
        except EventLogError as error:
            log_fact(logging.WARNING, "stream_not_interrupted", error=str(error))


class MessageStream(_Stream):
    """A message that is being written; see `Session.stream`.

    What is written is stored in chunks: when a window of time ends, when enough was written, at a
    tool call and at the end. Leaving the block ends the message; leaving it by an exception records
    what was written as a message marked ``interrupted``.
    """

    def __init__(self, engine: Engine, core: Core, terms: StreamTerms) -> None:
        super().__init__(engine, core, terms)
        self._engine = engine

    def __enter__(self) -> Self:
        command = self._engine.shelter.read(self._prepare)
        try:
            self._engine.shelter.write(self._begin, command)
            return self
        except BaseException:
            self._engine.shelter.write(self._give_back)
            raise

    def _begin(self, command: BeginMessage | AppendMessages) -> None:
        """Begin the message and take that in, in one call that signal handlers cannot divide (I/O)."""
        terms = self._terms
        self._open(self._engine.execute(self._core, command, terms.by, fence=terms.fence))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and not self._is_over:
                self.end()
        except BaseException as problem:
            self._engine.shelter.write(self._give_back, problem)
            raise
        self._engine.shelter.write(self._give_back, error)

    def write(self, text: str, *, type: str = "text") -> None:
        """Continue the message by a text; one of another ``type`` than the last begins a new part.

        Returns at once, unless more waits to be stored than the buffer holds. Raises `LeaseLost` if
        the message was ended by others, since nothing was heard of this producer for too long.
        """
        if self._add_text(text, type):
            self._engine.shelter.write(self._store)

    def add(self, part: ToolPart | Mapping[str, Any]) -> None:
        """Add a whole part, such as an image or a call; a call is stored when this returns."""
        for data in stream_arguments.parts_data([part]):
            if self._add_part(data):
                self._engine.shelter.write(self._store)
        if self._holds_call(part):
            self.flush()

    def call(
        self, tool_name: str, tool_input: dict[str, Any], *, tool_id: str | None = None
    ) -> ToolPart:
        """Add a tool call and return its part, which has the call's id, once it is stored."""
        part = stream_arguments.call_part(tool_name, tool_input, tool_id)
        self.add(part)
        return part

    def flush(self) -> None:
        """Return once everything written so far is stored."""
        self._engine.shelter.write(self._begun.flush)

    def end(self, message: Message | dict[str, Any] | None = None) -> Message:
        """End the message and return it, as it was recorded.

        Without ``message`` it is what was written; a given one takes its place, under the same id.
        """
        return self._engine.shelter.write(self._end, message)

    def interrupt(self) -> Message | None:
        """End the message as interrupted, and return it; None if nothing was written."""
        return self._engine.shelter.write(self._interrupt)


class AsyncMessageStream(_Stream):
    """A message that is being written, with the methods of `MessageStream` to await.

    A cancelled task still records what it wrote, marked ``interrupted``, before it ends.
    """

    def __init__(self, engine: AsyncEngine, core: Core, terms: StreamTerms) -> None:
        super().__init__(engine.blocking, core, terms)
        self._engine = engine

    async def __aenter__(self) -> Self:
        terms = self._terms
        command = await self._engine.run(self._prepare)
        request = SessionRequest(self._core, command, terms.by, fence=terms.fence)
        beginning = self._engine.answer(request)
        try:
            self._open(await asyncio.shield(beginning))
        except asyncio.CancelledError:
            await in_spite_of_cancellation(self._take_back(beginning))
            raise
        except BaseException:
            self._free_name()
            raise
        return self

    async def _take_back(self, beginning: asyncio.Future[Any]) -> None:
        """Interrupt the message that a cancelled task was about to begin, if it was begun."""
        try:
            self._open(await beginning)
        except Exception:  # noqa: BLE001 - it was not begun
            self._free_name()
        else:
            await self._engine.run(self._give_back)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            await in_spite_of_cancellation(self._engine.run(self._give_back, error))
        elif not self._is_over:
            try:
                await whole(self.end())
            except BaseException as problem:
                await in_spite_of_cancellation(self._engine.run(self._give_back, problem))
                raise

    async def write(self, text: str, *, type: str = "text") -> None:
        """Continue the message by a text; one of another ``type`` than the last begins a new part.

        See `MessageStream.write`.
        """
        if self._add_text(text, type):
            await self._engine.run(self._store)

    async def add(self, part: ToolPart | Mapping[str, Any]) -> None:
        """Add a whole part, such as an image or a call; a call is stored when this returns."""
        for data in stream_arguments.parts_data([part]):
            if self._add_part(data):
                await self._engine.run(self._store)
        if self._holds_call(part):
            await self.flush()

    async def call(
        self, tool_name: str, tool_input: dict[str, Any], *, tool_id: str | None = None
    ) -> ToolPart:
        """Add a tool call and return its part, which has the call's id, once it is stored."""
        part = stream_arguments.call_part(tool_name, tool_input, tool_id)
        await self.add(part)
        return part

    async def flush(self) -> None:
        """Return once everything written so far is stored."""
        await self._engine.run(self._begun.flush)

    async def end(self, message: Message | dict[str, Any] | None = None) -> Message:
        """End the message and return it, as it was recorded.

        See `MessageStream.end`.
        """
        return await self._engine.run(self._end, message)

    async def interrupt(self) -> Message | None:
        """End the message as interrupted, and return it; None if nothing was written."""
        return await self._engine.run(self._interrupt)


def stream_terms(
    name: str | None,
    role: str,
    message_id: str | None,
    fields: Mapping[str, Any] | None,
    lease_seconds: float,
    window_seconds: float,
    chunk_bytes: int,
    buffer_bytes: int,
    background: bool,
    by: Metadata | None,
    fence: TurnFence | None = None,
    steps: TurnSteps | None = None,
) -> StreamTerms:
    """Check the arguments of `Session.stream`."""
    options = stream_arguments.writer_options(
        lease_seconds, window_seconds, chunk_bytes, buffer_bytes, background
    )
    return StreamTerms(name, role, message_id, fields, lease_seconds, options, by, fence, steps)
