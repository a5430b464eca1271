"""The asynchronous face of a session: `AsyncSession`, the twin of `eventlog.session_face.Session`."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from eventlog import late_verbs
from eventlog.argument_checks import check_count
from eventlog.clock import format_time
from eventlog.engine import arguments, queries
from eventlog.engine.chosen_reading import find_in_session
from eventlog.engine.farewell import in_spite_of_cancellation, whole
from eventlog.engine.request import SessionRequest
from eventlog.engine.steps import check_step_name
from eventlog.engine.turn_context import fence_of, steps_of
from eventlog.engine.watch import Watch, watch
from eventlog.errors import LeaseLost, SessionClosed, TurnOpen
from eventlog.recorded import Recorded
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.commands import ABANDONED, CreateSession
from eventlog.session.commit import CommitResult
from eventlog.session.context import Context, SearchContext
from eventlog.session.messages import Message
from eventlog.session.streams.coalescing import (
    BUFFER_BYTES,
    CHUNK_BYTES,
    LEASE_SECONDS,
    WINDOW_SECONDS,
)
from eventlog.session.tool_output import (
    CONTEXT_CHARACTERS,
    SEARCH_LIMIT,
    OutputMatch,
    ToolOutput,
)
from eventlog.session.views import (
    ArchivedMessages,
    ArchiveView,
    SessionMeta,
    StoredMessage,
    TurnView,
    session_meta,
)

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.engine.streams.reading import MessageUpdate, StreamView
    from eventlog.engine.turn_steps import RecordedStep, TurnSteps
    from eventlog.engine.turns import TurnRun
    from eventlog.event_values import Value
    from eventlog.events import Event
    from eventlog.forensics.async_moment import AsyncMoment
    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.fork import Edit
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.past import Past
    from eventlog.forensics.refold import Refolded
    from eventlog.message_streams import AsyncMessageStream
    from eventlog.projection import Projection
    from eventlog.records import Position
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.command import Command
    from eventlog.session.events import FailedArchives
    from eventlog.session.messages import Role, ToolPart
    from eventlog.session.streams.commands import BegunMessage
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.session.turns.commands import Begun
    from eventlog.session.turns.events import OnError
    from eventlog.session.turns.machine import TurnEnd
    from eventlog.session.turns.state import TurnFence
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncSession", "AsyncTurn"]


View = TypeVar("View")


class AsyncSession:
    """One conversation, with the methods of `Session` to await.

    If a command is cancelled before the log has begun to write it, nothing is stored. After that it
    is completed, and repeating it with the same message id or ``idempotency_key`` returns its
    result.
    """

    def __init__(self, engine: AsyncEngine, core: Core) -> None:
        self._engine = engine
        self._core = core
        self._known_past: Past | None = None

    async def _do(
        self, command: Command[Any], by: Metadata | None, expected: Expected = ANY
    ) -> Any:
        request = SessionRequest(self._core, command, by, expected, self._fence)
        return await self._engine.answered(request)

    @property
    def _fence(self) -> TurnFence | None:
        """The fence of the turn that the calling code is part of, if it is part of one."""
        return fence_of(self._core)

    @property
    def _steps(self) -> TurnSteps | None:
        """The steps of that turn."""
        return steps_of(self._core)

    # ---- without I/O --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's id."""
        return self._core.session

    @property
    def version(self) -> int:
        """The number of records that were folded so far."""
        return self._core.state.version

    @property
    def meta(self) -> SessionMeta:
        """The metadata as of `version`, without I/O; `refresh` folds what others have recorded."""
        return session_meta(self._core.snapshot_of_state())

    # ---- reading ------------------------------------------------------------------------------

    async def refresh(self) -> SessionMeta:
        """Fold what others have recorded, update an attached folder, and return the metadata."""
        await self._engine.run(self._core.catch_up)
        return self.meta

    async def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        return await self._engine.run(queries.read_tail, self._core, last)

    async def history(
        self, *, hydrate: bool = False, withdrawn: bool = False
    ) -> tuple[Message, ...]:
        """Return every message ever recorded, in order, whatever the state of its archive.

        See `Session.history`.
        """
        return await self._engine.run(
            queries.read_history, self._core, hydrate=hydrate, withdrawn=withdrawn
        )

    async def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id, with its version and the results so far.

        See `Session.message`.
        """
        return await self._engine.run(queries.read_message, self._core, message_id)

    async def context(
        self,
        token_budget: int = 128_000,
        *,
        record: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Context:
        """Return what a model should see: the latest overview, and the messages it does not cover.

        See `Session.context`.
        """
        estimate = self._engine.estimate_tokens
        if not record:
            return await self._engine.run(queries.read_context, self._core, estimate, token_budget)
        context, command = await self._engine.run(
            queries.read_context_to_record, self._core, estimate, token_budget
        )
        await self._do(command, arguments.metadata_for(actor, correlation_id, causation_id, trace))
        return context

    async def context_for_search(self, query: str, max_messages: int = 20) -> SearchContext:
        """Return the latest overview and the newest messages, for a search over memories."""
        return await self._engine.run(
            queries.read_search_context,
            self._core,
            query,
            max_messages,
        )

    async def truncated(
        self, *, keep_first_user: bool = True, recent: int = 20
    ) -> tuple[Message, ...]:
        """Return the first live user message and the ``recent`` newest, tool pairs whole."""
        return await self._engine.run(
            queries.read_truncated, self._core, keep_first_user=keep_first_user, recent=recent
        )

    async def archive(self, archive_id: str, *, hydrate: bool = False) -> ArchivedMessages:
        """Return a completed archive's summaries and messages.

        See `Session.archive`.
        """
        return await self._engine.run(
            queries.read_archived, self._core, archive_id, hydrate=hydrate
        )

    async def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with their states, the oldest first."""
        return await self._engine.run(queries.read_archives, self._core)

    async def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return up to ``limit`` characters of a tool's output, from character ``offset`` on.

        See `Session.tool_output`.
        """
        return await self._engine.run(
            queries.read_tool_output, self._core, message_id, tool_id, offset, limit, occurrence
        )

    async def search_tool_output(
        self,
        message_id: str,
        tool_id: str,
        text: str,
        *,
        limit: int = SEARCH_LIMIT,
        context: int = CONTEXT_CHARACTERS,
        occurrence: int = 0,
    ) -> tuple[OutputMatch, ...]:
        """Return the first ``limit`` places where ``text`` occurs in a tool's output.

        See `Session.search_tool_output`.
        """
        return await self._engine.run(
            queries.search_tool_output,
            self._core,
            message_id,
            tool_id,
            text,
            limit=limit,
            context=context,
            occurrence=occurrence,
        )

    async def watch(self, projection: Projection[Any, View]) -> Watch[View]:
        """Fold the session through a projection as records come; `Watch.view` reads it without I/O.

        The view is read without awaiting. See `Session.watch`.
        """
        shelter = self._engine.blocking.shelter
        return await self._engine.run(watch, self._core, shelter, projection)

    def find(self, key: str, /, **fields: str | int) -> AsyncIterator[Recorded]:
        """Yield the session's events with an index key, in order, without reading others.

        See `Session.find`.
        """
        store = self._engine.store
        return self._engine.iterate(find_in_session(store, self.id, key, fields))

    # ---- looking back -------------------------------------------------------------------------

    @property
    def _past(self) -> Past:
        if self._known_past is None:
            from eventlog.forensics.past import Past

            estimate = self._engine.estimate_tokens
            self._known_past = Past(self._engine.store, self._core, estimate)
        return self._known_past

    async def at(
        self,
        *,
        version: int | None = None,
        time: str | datetime | None = None,
        position: Position | str | None = None,
    ) -> AsyncMoment:
        """Return the session as it was right after the event at a version.

        See `Session.at`.
        """
        from eventlog.forensics.as_of import moment_at
        from eventlog.forensics.async_moment import AsyncMoment

        moment = await self._engine.run(moment_at, self._past, version, time, position)
        return AsyncMoment(self._engine, moment)

    async def diff(self, first: int, second: int) -> tuple[Change, ...]:
        """Return how version ``second`` differs from ``first``, path by path, each with the event
        that changed it last.

        See `Session.diff`.
        """
        from eventlog.forensics.diff import diff

        return await self._engine.run(diff, self._past, first, second)

    async def blame(self, path: str, version: int | None = None) -> Change | None:
        """Return the last change of what is at a path, up to a version or by default to the newest.

        See `Session.blame`.
        """
        from eventlog.forensics.diff import blame

        return await self._engine.run(blame, self._past, path, version)

    async def bisect(self, predicate: str | Callable[[Moment], object]) -> Found | None:
        """Return the first event after which a predicate holds, with the moments on both sides.

        A callable is given a plain `Moment`, in a thread. See `Session.bisect`.
        """
        from eventlog.forensics.bisect import bisect

        return await self._engine.run(bisect, self._past, predicate)

    async def timeline(
        self,
        *,
        types: Sequence[str] | None = None,
        actor: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        text: str | None = None,
    ) -> tuple[Recorded, ...]:
        """Return the events, in order, of these ``types``, by this ``actor``, from ``since`` to
        ``until``, that contain ``text`` in upper or lower case. A filter that is left out admits all.

        See `Session.timeline`.
        """
        from eventlog.forensics.timeline import filters, timeline

        wanted = filters(types, actor, since, until, text)
        return await self._engine.run(lambda: tuple(timeline(self._past, wanted)))

    async def why(self, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
        """Return the event at a version and what led to it, the nearest cause first.

        See `Session.why`.
        """
        from eventlog.forensics.causes import why

        return await self._engine.run(why, self._past, version, tree=tree)

    async def fork(
        self,
        into: str,
        *,
        version: int | None = None,
        edit: Edit | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> AsyncSession:
        """Make a new session of this one's events up to a version, changed on the way; return it.

        See `Session.fork`.
        """
        from eventlog.forensics.fork import fork

        engine = self._engine.blocking
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        core = await self._engine.run(fork, engine, self._past, into, version, edit, by)
        return AsyncSession(self._engine, core)

    async def refold(
        self,
        projection: Projection[Any, Any] | None = None,
        against: Projection[Any, Any] | None = None,
    ) -> Refolded:
        """Fold the session again, and compare with what is stored or with other code.

        See `Session.refold`.
        """
        from eventlog.forensics.refold import refold

        return await self._engine.run(refold, self._past, projection, against)

    # ---- messages -----------------------------------------------------------------------------

    async def append(
        self,
        message: Message | dict[str, Any],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """Append one message and return it, with its id.

        See `Session.append`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        request = arguments.append_one(
            self._core,
            self._engine.estimate_tokens,
            message,
            idempotency_key,
            by,
            expected,
            self._fence,
        )
        appended: Message = await self._engine.answer(request)
        return appended

    async def extend(
        self,
        messages: Iterable[Message | dict[str, Any]],
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Append messages in one atomic batch, all validated first; raises as `append` does."""
        command = arguments.append(
            self._core, self._engine.estimate_tokens, messages, idempotency_key, self._fence
        )
        if not command.messages:
            return ()
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        appended: tuple[Message, ...] = await self._do(
            command, by, arguments.expected_version(expected)
        )
        return appended

    async def record_tool_result(
        self,
        message_id: str,
        tool_id: str,
        output: str,
        status: Literal["running", "completed", "error"] = "completed",
        *,
        duration_ms: float | None = None,
        occurrence: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record the result of a tool call; every later read of the call's message includes it.

        See `Session.record_tool_result`.
        """
        command = arguments.tool_result(
            self._core,
            self._engine.estimate_tokens,
            message_id,
            tool_id,
            output,
            status,
            duration_ms,
            occurrence,
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(command, by, arguments.expected_version(expected))

    async def abandon_call(
        self,
        message_id: str,
        tool_id: str,
        *,
        occurrence: int | None = None,
        reason: str = ABANDONED,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Close a live call that will get no answer; return whether it was open.

        See `Session.abandon_call`.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = await self._do(command, by, arguments.expected_version(expected))
        return was_open

    async def withdraw(
        self,
        *,
        last: int | None = None,
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Take live messages out of the session for good, and return them.

        See `Session.withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(arguments.withdrawal, last, message_ids, after, expected)
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    async def replace(
        self,
        *,
        messages: Iterable[Message | dict[str, Any]],
        message_ids: Sequence[str] | None = None,
        after: int | None = None,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Put messages in the place of live ones, and return those that are withdrawn.

        See `Session.replace`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(
            arguments.replacement,
            self._core,
            self._engine.estimate_tokens,
            messages,
            message_ids,
            after,
            expected,
        )
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    async def clear(
        self,
        *,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Withdraw all live messages, and return them; contexts show nothing from before.

        See `Session.clear`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(arguments.clearing, expected)
        version: int = await self._do(command, by, arguments.expected_version(expected))
        return await self._engine.run(queries.read_withdrawn, self._core, version)

    # ---- messages that are being written ------------------------------------------------------

    def stream(
        self,
        name: str | None = None,
        *,
        role: Role = "assistant",
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        window_seconds: float = WINDOW_SECONDS,
        chunk_bytes: int = CHUNK_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        background: bool = True,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> AsyncMessageStream:
        """Return a context manager in which one message is written while it arrives.

        See `Session.stream`.
        """
        from eventlog.message_streams import AsyncMessageStream, stream_terms

        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        terms = stream_terms(
            name,
            role,
            message_id,
            fields,
            lease_seconds,
            window_seconds,
            chunk_bytes,
            buffer_bytes,
            background,
            by,
            self._fence,
            self._steps,
        )
        return AsyncMessageStream(self._engine, self._core, terms)

    async def begin_message(
        self,
        role: Role = "assistant",
        *,
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        holder: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> BegunMessage:
        """Begin to write a message in chunks; return its id, and the fence of its producer.

        See `Session.begin_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = await self._engine.run(
            late_verbs.begin_message,
            self._engine.blocking,
            self._core,
            role,
            message_id,
            fields,
            lease_seconds,
            idempotency_key,
            self._fence is not None,
            holder,
        )
        begun: BegunMessage = await self._do(command, by)
        return begun

    async def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease.

        See `Session.append_chunk`.
        """
        command = await self._engine.run(
            late_verbs.append_chunk,
            self._engine.blocking,
            self._core,
            message_id,
            fence,
            sequence,
            content,
        )
        await self._do(command, None)

    async def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """End a message that was begun, and return it as it was recorded.

        See `Session.end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.end_message, self._engine.blocking, self._core, message_id, fence, message
        )
        ended: Message = await self._do(command, by)
        return ended

    async def interrupt_message(
        self,
        message_id: str,
        fence: int,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message | None:
        """End a message that will not be finished; return what arrived, marked ``interrupted``.

        See `Session.interrupt_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.interrupt_message, self._engine.blocking, message_id, fence
        )
        message: Message | None = await self._do(command, by)
        return message

    async def streams(self) -> tuple[StreamView, ...]:
        """Return the messages that are being written, in the order in which they began."""
        return await self._engine.run(late_verbs.streams, self._core)

    async def follow_message(self, message_id: str, after: int = 0) -> AsyncIterator[MessageUpdate]:
        """Yield the chunks of a message as they are stored, and its end; then stop.

        See `Session.follow_message`.
        """
        check_count("after", after, "chunks")
        from eventlog.engine.streams.reading import following_message

        entries = following_message(self._core, message_id, after)
        async for update in self._engine.iterate(entries):
            yield update

    async def used(
        self,
        contexts: Sequence[str] = (),
        skill: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record that contexts (URIs) and a skill were used; they belong to the next commit."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(arguments.usage(contexts, skill), by)

    # ---- turns --------------------------------------------------------------------------------

    def turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: OnError = "keep",
    ) -> AsyncTurn:
        """Return a turn to enter: one unit of an agent's work, with an id of the application's.

        For use in an ``async with`` block. See `Session.turn`.
        """
        from eventlog.engine.turns import TurnRun, turn_terms

        terms = turn_terms(turn_id, resume, wait_seconds, lease_seconds, stale_seconds, on_error)
        return AsyncTurn(self._engine, TurnRun(self._engine.blocking, self._core, terms))

    async def begin_turn(
        self,
        turn_id: str,
        *,
        resume: bool = False,
        wait_seconds: float = 0.0,
        lease_seconds: float = 60.0,
        stale_seconds: float = 600.0,
        on_error: OnError = "keep",
        holder: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> AsyncTurn:
        """Begin a turn without a block, and return it, for code that goes on with it elsewhere.

        See `Session.begin_turn`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        run = await self._engine.run(
            late_verbs.turn,
            self._engine.blocking,
            self._core,
            (
                turn_id,
                resume,
                wait_seconds,
                lease_seconds,
                stale_seconds,
                on_error,
                holder,
            ),
        )
        await _begin(self._engine, run, by)
        return AsyncTurn(self._engine, run)

    async def held_turn(self, fence: int) -> AsyncTurn:
        """Return the turn that began at a version, its ``fence``, to go on with it.

        See `Session.held_turn`.
        """
        return AsyncTurn(
            self._engine,
            await self._engine.run(late_verbs.held_turn, self._engine.blocking, self._core, fence),
        )

    async def turns(self, turn_id: str | None = None) -> tuple[TurnView, ...]:
        """Return the session's turns: how each ended, and the open one; or the one with an id.

        See `Session.turns`.
        """
        return await self._engine.run(queries.read_turns, self._core, turn_id)

    # ---- runs ---------------------------------------------------------------------------------

    async def enqueue(
        self,
        message: Message | dict[str, Any],
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Queue a message for a run, which a `Supervisor` executes; return the run's id.

        See `Session.enqueue`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.enqueue, self._engine.blocking, self._core, message, idempotency_key
        )
        run_id: str = await self._do(command, by)
        return run_id

    async def stop_run(
        self,
        run_id: str | None = None,
        *,
        reason: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str | None:
        """Cancel a run, by default the one that is executed or waits for its restart; return its id.

        See `Session.stop_run`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = await self._engine.run(
            late_verbs.stop_run, self._engine.blocking, self._core, run_id, reason
        )
        stopped: str | None = await self._do(command, by)
        return stopped

    # ---- commits and tasks --------------------------------------------------------------------

    async def commit(
        self,
        keep_recent: int = 0,
        *,
        keep_turn_tokens: int | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> CommitResult:
        """Move the live messages into a new archive, and return at once.

        See `Session.commit`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        engine, kept = self._engine.blocking, (keep_recent, keep_turn_tokens)
        command = engine.plain_commit(self._core, self._fence, *kept)
        if command is None:
            command = await self._engine.run(engine.commit_command, self._core, *kept)
        observer = engine.observer
        if observer is None:
            result: CommitResult = await self._do(command, by)
            return result
        with observer.commit(self.id) as note:
            result = await self._do(command, by)
            note(result)
        return result

    async def retry(
        self,
        archive_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> RetryStatus:
        """Give a failed archive, or another failed task by its id, new attempts.

        See `Session.retry`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        status: RetryStatus = await self._do(arguments.retry(self.id, archive_id, reason), by)
        return status

    async def abandon(
        self,
        archive_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Abandon an unfinished archive, or another unfinished task by its id.

        See `Session.abandon`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        await self._do(arguments.abandon(self.id, archive_id, reason), by)

    async def queue_task(
        self,
        kind: str,
        payload: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Queue a task of an application's own kind, such as ``acme.index``; return its id.

        See `Session.queue_task`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        task_id: str = await self._do(arguments.task(kind, payload), by)
        return task_id

    # ---- the folder ---------------------------------------------------------------------------

    @property
    def folder(self) -> FolderView | None:
        """The attached folder as this process sees it, or None. No I/O."""
        from eventlog.folder import attaching

        return attaching.view(self._core)

    async def attach_folder(
        self, path: str | os.PathLike[str], *, mode: int | None = None
    ) -> FolderView:
        """Attach a folder: from now on its files follow the session.

        See `Session.attach_folder`.
        """
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.attach, self._engine.blocking, self._core, path, mode=mode
        )

    async def detach_folder(self) -> None:
        """Detach the folder: its files stay as they are and no longer follow the session."""
        from eventlog.folder import attaching

        await self._engine.run(attaching.detach, self._engine.blocking, self._core)

    async def materialize(self, path: str | os.PathLike[str]) -> FolderReport:
        """Write the session's folder once, without attaching it. Raises as `attach_folder` does."""
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.materialize, self._engine.blocking, self._core, path
        )

    async def heal(self, path: str | os.PathLike[str], *, check: bool = False) -> FolderReport:
        """Rewrite a folder from the records and record what differed; with ``check``, only report
        it.

        See `Session.heal`.
        """
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.heal, self._engine.blocking, self._core, path, check=check
        )

    # ---- the session itself -------------------------------------------------------------------

    async def ensure_created(
        self,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Record the creation of a new session at once, not with its first write; return whether
        this call created it.

        See `Session.ensure_created`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        created: bool = await self._do(CreateSession(self._core.creation), by)
        return created

    async def record(
        self,
        *events: Event | Message | dict[str, Any],
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Recorded, ...]:
        """Record events of an application's own types, in one atomic append.

        See `Session.record`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        recorded: tuple[Recorded, ...] = await self._do(
            arguments.events(
                self._core, self._engine.estimate_tokens, events, idempotency_key, self._fence
            ),
            by,
            arguments.expected_version(expected),
        )
        return recorded

    async def value(self, value: Value | str) -> bytes:
        """Return the bytes that an event of the session names by a `Value`, or by its SHA-256.

        See `Session.value`.
        """
        return await self._engine.run(queries.read_value, self._core, value)

    async def assign_project(
        self,
        project: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Set the project of a session that has none; return whether it was set."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = await self._do(arguments.project(project), by)
        return done

    async def set_failed_archives(
        self,
        policy: FailedArchives,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Have commits wait for archives that failed for good (``block``), or go on (``skip``).

        See `Session.set_failed_archives`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = await self._do(arguments.failed_archives(policy), by)
        return done

    async def memory_session(
        self,
        provider: str,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> str:
        """Return the session's id at a provider that has no sessions of its own.

        See `Session.memory_session`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        memory_session_id: str = await self._do(arguments.memory_session(provider), by)
        return memory_session_id

    async def close(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session: it takes no more messages. Its open tasks are still completed."""
        await self._do(
            arguments.closing(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    async def delete(
        self,
        *,
        reason: str | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Close the session for good, and abandon its open tasks.

        See `Session.delete`.
        """
        await self._do(
            arguments.deletion(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def __repr__(self) -> str:
        return f"<AsyncSession {self.id!r} at version {self.version}>"


async def _begin(engine: AsyncEngine, run: TurnRun, by: Metadata | None) -> None:
    """Begin a turn, once no other is open."""
    run.refuse_nesting()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + run.terms.wait_seconds
    while True:
        seen, command = await engine.run(run.prepare)
        beginning = engine.answer(SessionRequest(run.core, command, by))
        try:
            begun: Begun = await asyncio.shield(beginning)
            break
        except TurnOpen:
            left = deadline - loop.time()
            if left <= 0:
                raise
            await engine.wait(seen, min(left, run.longest_wait))
        except asyncio.CancelledError:
            await in_spite_of_cancellation(_take_in(run, beginning))
            raise
    if begun.is_done:
        await engine.run(run.begun, begun)
    else:
        run.begun(begun)


async def _take_in(run: TurnRun, beginning: asyncio.Future[Begun]) -> None:
    """Take in that a turn was begun although the task that began it is cancelled."""
    begun = await beginning
    if not begun.is_done:
        run.begun(begun)


class AsyncTurn(AsyncSession):
    """An attempt at a turn: the session, with commands that belong to the turn and carry its fence.

    See `Turn`.
    """

    def __init__(self, engine: AsyncEngine, run: TurnRun) -> None:
        super().__init__(engine, run.core)
        self._run = run

    @property
    def _fence(self) -> TurnFence | None:
        return self._run.fence

    @property
    def _steps(self) -> TurnSteps | None:
        return self._run.steps

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        return self._run.terms.turn_id

    @property
    def attempt(self) -> int:
        """Which attempt at the turn this is, from 1."""
        return self._run.attempt

    @property
    def fence(self) -> int:
        """The version at which the attempt began, by which others go on with it; 0 before that."""
        return self._run.begun_at_version

    @property
    def lease_until(self) -> str:
        """The end of the lease as this handle knows it, ISO 8601; empty if there is none."""
        return format_time(self._run.lease_until) if self._run.lease_until else ""

    @property
    def done(self) -> bool:
        """Whether the turn had been completed before, so that there is nothing to do."""
        return self._run.is_done

    @property
    def result(self) -> Any:
        """The result with which the turn was completed; None before."""
        return self._run.result

    async def __aenter__(self) -> Self:
        run = self._run
        run.refuse_another_beginning()
        try:
            await _begin(self._engine, run, None)
        except BaseException as error:
            await in_spite_of_cancellation(self._leave(error))
            raise
        if not run.is_done:
            run.keep_lease()
            run.bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        run.release()
        if error is not None:
            await in_spite_of_cancellation(self._leave(error))
        elif not run.has_ended:
            try:
                await whole(self.end())
            except (LeaseLost, SessionClosed):
                run.stop()
                if run.core.state.status == "open":
                    raise
            except BaseException as failure:
                await in_spite_of_cancellation(self._leave(failure))
                raise

    async def _leave(self, error: BaseException) -> None:
        """End the attempt because of an exception, which goes on whatever becomes of this."""
        run = self._run
        if run.attempt and not run.is_open:
            run.stop()
        if run.has_ended or not run.attempt:
            return
        try:
            await self._do(run.failure_command(error), None)
            run.stop()
        except Exception as failure:  # noqa: BLE001 - as above
            run.not_ended(failure)

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, and record its output and ``messages`` together; return the output.

        The function may be a coroutine function; a plain one runs in the event loop. See `Turn.step`.
        """
        run, engine = self._run, self._engine
        with run.steps.names.named(name):
            digest = run.digest(args, kwargs)
            found = await engine.run(run.steps.find, name, digest)
            if found is not None:
                if found.append is not None:
                    await self._do(found.append, None)
                return found.output
            made = function(*args, **kwargs)
            if inspect.isawaitable(made):
                made = await made
            said = messages(made) if callable(messages) else messages
            appends = arguments.append(self._core, engine.estimate_tokens, said, None, run.fence)
            _, command = await engine.run(run.step_command, name, digest, made, appends)
            version: int = await self._do(command, None)
            return await engine.run(run.read_step, version)

    async def recorded_step(self, name: str, digest: str = "") -> RecordedStep | None:
        """Return a finished step of this attempt or, with ``resume``, of an earlier one; or None.

        Changes nothing. ``digest`` is that of the step's arguments, see `step_digest`.
        """
        run = self._run
        return await self._engine.run(run.steps.recorded, check_step_name(name, digest), digest)

    async def resume_step(
        self,
        name: str,
        digest: str = "",
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> RecordedStep | None:
        """Return a finished step as `recorded_step` does, and append its messages again.

        `step` does this before it calls its function. Calling it again changes nothing.
        """
        again = await self._engine.run(self._run.steps.again, check_step_name(name, digest), digest)
        if again is not None:
            by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
            await self._do(again, by)
        return await self.recorded_step(name, digest)

    async def record_step(
        self,
        name: str,
        output: Any,
        *,
        digest: str = "",
        messages: Iterable[Message | dict[str, Any]] = (),
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Any:
        """Record a step that was done, with its messages; return its output as it is stored.

        `step` does this after it has called its function. Recording the same step again changes
        nothing; another one of the same name in one attempt raises `InvalidArgument`.
        """
        run = self._run
        check_step_name(name, digest)
        appends = arguments.append(
            self._core, self._engine.estimate_tokens, messages, None, run.fence
        )
        _, command = await self._engine.run(run.step_command, name, digest, output, appends)
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        version: int = await self._do(command, by)
        await self._engine.run(run.check_same_step, version, command)
        return await self._engine.run(run.read_step, version)

    async def end_message(
        self,
        message_id: str,
        fence: int,
        message: Message | dict[str, Any] | None = None,
        *,
        step: str | None = None,
        digest: str = "",
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """End a message that was begun in the turn, and return it as it was recorded.

        With ``step`` the message is the step of that name, see `Session.stream`. Otherwise as
        `Session.end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        of_turn = self._run.step_of(step, digest)
        command = await self._engine.run(
            late_verbs.end_message,
            self._engine.blocking,
            self._core,
            message_id,
            fence,
            message,
            of_turn,
        )
        ended: Message = await self._do(command, by)
        return ended

    async def renew(self, lease_seconds: float = 60.0) -> str:
        """Renew the lease of a turn that `Session.begin_turn` began; return its new end, ISO 8601.

        In a block a thread of the log does so. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        command = await self._engine.run(run.renew_command, lease_seconds)
        run.lease_until = await self._do(command, None)
        return self.lease_until

    async def fail(
        self,
        error: BaseException | str,
        *,
        cancelled: bool = False,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """End the turn ``failed``, or ``cancelled``; leaving the block by an exception does so.

        The same again changes nothing. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        how: TurnEnd = "cancelled" if cancelled else "failed"
        await self._do(run.end_by_error(error, how), by)
        run.stop()

    async def end(
        self,
        result: Any = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        See `Turn.end`.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = run.end_command(result)
        await self._do(command, by)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<AsyncTurn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"
