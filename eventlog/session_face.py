"""The synchronous face of a session: `Session`. Its twin is `eventlog.async_session_face`.

No logic lives here: arguments become commands, the engine runs them, and queries read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from eventlog import late_verbs
from eventlog.argument_checks import check_count
from eventlog.engine import arguments, queries
from eventlog.recorded import Recorded
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.commands import ABANDONED
from eventlog.session.commit import Commit, CommitResult
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
    session_meta,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.stream_reading import MessageUpdate, StreamView
    from eventlog.events import Event
    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.fork import Edit
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.past import Past
    from eventlog.forensics.refold import Refolded
    from eventlog.message_streams import MessageStream
    from eventlog.projection import Projection
    from eventlog.records import Position
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.command import Command
    from eventlog.session.events import FailedArchives
    from eventlog.session.messages import Role, ToolPart
    from eventlog.session.streams.commands import BegunMessage
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.trace_context import TraceContext

__all__ = ["Session", "core_of", "past_of"]


class Session:
    """One conversation: commands that record events, and reads that fold them.

    When a command returns, its events are stored, as durably as `Log.durability` says. Any number
    of `Session` objects may be open on one session, in any number of threads.

    All commands take the same options. With an ``idempotency_key``, a repeated command changes
    nothing and returns the result of the first one. ``actor``, ``correlation_id``, ``causation_id``
    and ``trace`` (a W3C trace context) are recorded with the events.
    """

    def __init__(self, engine: Engine, core: Core) -> None:
        self._engine = engine
        self._core = core
        self._known_past: Past | None = None

    def _do(self, command: Command[Any], by: Metadata | None, expected: Expected = ANY) -> Any:
        return self._engine.execute(self._core, command, by, expected)

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
        return session_meta(self._engine.shelter.read(self._core.snapshot_of_state))

    # ---- reading ------------------------------------------------------------------------------

    def refresh(self) -> SessionMeta:
        """Fold what others have recorded, update an attached folder, and return the metadata."""
        self._core.catch_up()
        return self.meta

    def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        return self._engine.shelter.read(queries.read_tail, self._core, last)

    def history(self, *, hydrate: bool = False) -> tuple[Message, ...]:
        """Return every message ever recorded, in order, whatever the state of its archive.

        With ``hydrate``, large tool outputs are returned in full instead of as previews; raises
        `CorruptLog` if one is missing or damaged.
        """
        return self._engine.shelter.read(queries.read_history, self._core, hydrate=hydrate)

    def context(
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

        The messages are those of archives without a finished overview and the live tail, each once
        and in order. They stay within ``token_budget`` tokens, by the log's estimate: the oldest
        whole rounds are dropped first. The first user message and the newest round are always
        included, even if they alone exceed the budget.

        With ``record`` an event says what was given, and by which ``actor``, without repeating it:
        `Moment.given` finds it again.
        """
        estimate, shelter = self._engine.estimate_tokens, self._engine.shelter
        if not record:
            return shelter.read(queries.read_context, self._core, estimate, token_budget)
        context, command = shelter.read(
            queries.read_context_to_record, self._core, estimate, token_budget
        )
        self._do(command, arguments.metadata_for(actor, correlation_id, causation_id, trace))
        return context

    def context_for_search(self, query: str, max_messages: int = 20) -> SearchContext:
        """Return the latest overview and the newest messages, for a search over memories."""
        return self._engine.shelter.read(
            queries.read_search_context, self._core, query, max_messages
        )

    def truncated(self, *, keep_first_user: bool = True, recent: int = 20) -> tuple[Message, ...]:
        """Return the first live user message and the ``recent`` newest, tool pairs whole."""
        return self._engine.shelter.read(
            queries.read_truncated, self._core, keep_first_user=keep_first_user, recent=recent
        )

    def archive(self, archive_id: str, *, hydrate: bool = False) -> ArchivedMessages:
        """Return a completed archive's summaries and messages.

        ``hydrate`` does what it does in `history`. Raises `ArchiveNotFound`, and `InvalidArgument`
        if the archive is not completed yet.
        """
        return self._engine.shelter.read(
            queries.read_archived, self._core, archive_id, hydrate=hydrate
        )

    def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with their states, the oldest first."""
        return self._engine.shelter.read(queries.read_archives, self._core)

    def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return up to ``limit`` characters of a tool's output, from character ``offset`` on.

        Reads outputs that are stored beside the log as well as those in their message. Raises
        `ToolOutputNotFound`, and `CorruptLog` if a stored output is missing or damaged.
        """
        return self._engine.shelter.read(
            queries.read_tool_output, self._core, message_id, tool_id, offset, limit, occurrence
        )

    def search_tool_output(
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

        The search is literal and the places do not overlap. Each comes with up to ``context``
        characters on both sides. Raises as `tool_output` does.
        """
        return self._engine.shelter.read(
            queries.search_tool_output,
            self._core,
            message_id,
            tool_id,
            text,
            limit=limit,
            context=context,
            occurrence=occurrence,
        )

    # ---- looking back -------------------------------------------------------------------------

    @property
    def _past(self) -> Past:
        if self._known_past is None:
            self._known_past = self._engine.shelter.read(late_verbs.past, self._engine, self._core)
        return self._known_past

    def at(
        self,
        *,
        version: int | None = None,
        time: str | datetime | None = None,
        position: Position | str | None = None,
    ) -> Moment:
        """Return the session as it was right after the event at a version.

        A ``time``, ISO 8601 text with an offset or an aware datetime, or a ``position`` of the log
        means the last version with an earlier or the same one. With one position several sessions
        are seen at the same moment. Nothing is folded before something of the moment is asked for.

        Raises `InvalidArgument` for a version that the session has not reached, for a time or
        position at which it was not there yet, and for a position of another log.
        """
        return self._engine.shelter.read(late_verbs.at, self._past, version, time, position)

    def diff(self, first: int, second: int) -> tuple[Change, ...]:
        """Return what is different at version ``second`` from what was at ``first``, by path, each
        with the event that changed it last.

        Paths lead to what `Moment.values` has: ``meta.pending_tokens``, ``tail[m-1].role``,
        ``archives[archive_001].state``. Raises `InvalidArgument` for a version that the session has
        not reached.
        """
        return self._engine.shelter.read(late_verbs.diff, self._past, first, second)

    def blame(self, path: str, version: int | None = None) -> Change | None:
        """Return the last change of what is at a path, up to a version or by default to the newest.

        None if there never was anything. Raises `InvalidArgument` for a path that can lead to
        nothing.
        """
        return self._engine.shelter.read(late_verbs.blame, self._past, path, version)

    def bisect(self, predicate: str | Callable[[Moment], object]) -> Found | None:
        """Return the first event after which a predicate holds, with the moments on both sides.

        The predicate is an expression, such as ``meta.pending_tokens > 8000`` (the page
        ``eventlog docs forensics`` has the language), a callable of a `Moment`, or the name of one
        that ships, such as ``token_jump``, ``doubled_ids``, ``orphans``, ``first_error`` and
        ``first_retry``; the page has them all. The session is folded once and every event looked
        at, so the answer is exact. None if it never holds. Raises `InvalidArgument` for what is not
        an expression.
        """
        return self._engine.shelter.read(late_verbs.bisect, self._past, predicate)

    def timeline(
        self,
        *,
        types: Sequence[str] | None = None,
        actor: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        text: str | None = None,
    ) -> tuple[Recorded, ...]:
        """Return the events in order that are of one of ``types``, by ``actor``, from ``since`` to
        ``until``, and say ``text`` in any case; what is not given does not matter.

        Filters choose what is returned and change no state. Raises `InvalidArgument` for a time
        without a zone.
        """
        return self._engine.shelter.read(
            late_verbs.timeline, self._past, types, actor, since, until, text
        )

    def why(self, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
        """Return the event at a version and what led to it, the nearest cause first.

        With ``tree``, the event and all that it led to, each with its depth and followed by what it
        led to itself. A cause is what the metadata name, or the step before of the same task, or the
        message that made the call.
        """
        return self._engine.shelter.read(late_verbs.why, self._past, version, tree)

    def fork(
        self,
        into: str,
        *,
        version: int | None = None,
        edit: Edit | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Session:
        """Make a new session of this one's events up to a version, changed on the way; return it.

        ``edit`` is a callable that is given each event (`Recorded`), or a mapping from versions: what
        it returns takes the event's place: another event, a `Message`, the event itself, None for
        nothing, or a list of those. The events keep their times; what names the session, its tasks or
        its versions follows. A last event, ``session_forked``, says where the session came from. This
        session stays as it is; its folder is not the fork's.

        Repeating a fork changes nothing. Raises `InvalidArgument` if what is left cannot have
        been a history, saying at which version, and `HistoryConflict` if another session has
        the id.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        core = self._engine.shelter.write(
            late_verbs.fork, self._engine, self._past, into, version, edit, by
        )
        return Session(self._engine, core)

    def refold(
        self,
        projection: Projection[Any, Any] | None = None,
        against: Projection[Any, Any] | None = None,
    ) -> Refolded:
        """Fold the session again, and compare with what is stored or with other code.

        The state is held against the stored snapshot. With a projection and another version of it,
        ``against``, both fold the session side by side: the first event after which their views
        differ is the divergence.
        """
        return self._engine.shelter.read(late_verbs.refold, self._past, projection, against)

    # ---- messages -----------------------------------------------------------------------------

    def append(
        self,
        message: Message | dict[str, Any],
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> Message:
        """Append one message and return it, with its id.

        The message's id is its idempotency key: appending the same message again changes nothing
        and returns the stored one. A dictionary in the chat format, ``{"role": …, "content": …}``,
        is accepted too. A tool output that is too large for its message is stored beside the log;
        the returned message, and every later reading of it, has a preview in its place.

        Raises `InvalidMessage`, `SessionClosed`, and `DuplicateEvent` if another message has this
        id.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        request = arguments.append_one(
            self._core, self._engine.estimate_tokens, message, idempotency_key, by
        )
        appended: Message = self._engine.answer(request)
        return appended

    def extend(
        self,
        messages: Iterable[Message | dict[str, Any]],
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Message, ...]:
        """Append messages in one atomic batch, all validated first; raises as `append` does."""
        command = arguments.append(
            self._core, self._engine.estimate_tokens, messages, idempotency_key
        )
        if not command.messages:
            return ()
        appended: tuple[Message, ...] = self._do(
            command, arguments.metadata_for(actor, correlation_id, causation_id, trace)
        )
        return appended

    def record_tool_result(
        self,
        message_id: str,
        tool_id: str,
        output: str,
        status: Literal["running", "completed", "error"] = "completed",
        *,
        duration_ms: float | None = None,
        occurrence: int | None = None,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Record the result of a tool call; every later read of the call's message includes it.

        Message, call and status together are the idempotency key: the same output again changes
        nothing, another one raises `DuplicateEvent`. If the message has several calls with one id,
        ``occurrence`` picks one, counted from 0; without it the first open call is answered, and an
        output that one of them already has counts as a repetition. An ``idempotency_key`` is
        recorded, but decides nothing. Raises `InvalidMessage` if the session has no such message or
        call, and `SessionClosed`.
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
        self._do(
            command,
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def abandon_call(
        self,
        message_id: str,
        tool_id: str,
        *,
        occurrence: int | None = None,
        reason: str = ABANDONED,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> bool:
        """Close a live call that will get no answer; return whether it was open.

        Its result has the status ``error``, the output ``reason`` and the field ``abandoned``, so
        that its round can be archived and the next request to a model is valid. A result that
        arrives later replaces it. ``occurrence`` is as in `record_tool_result`. Raises
        `InvalidMessage` for a call that no message made.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = self._do(command, by)
        return was_open

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
    ) -> MessageStream:
        """Return a context manager in which one message is written while it arrives.

        What is written is stored in chunks: at most ``window_seconds`` after it came, when it has
        ``chunk_bytes``, at a tool call and at the end. Until then the message is last in `tail`,
        marked ``streaming``, and in no context, count, commit or folder. Leaving the block ends it,
        and it is recorded as any other message. Leaving it by an exception, a cancellation or
        ``SystemExit``, or closing the log, records what arrived as one message marked
        ``interrupted``, with a result for each open call; so does the next command on the session,
        or a worker, once the producer's process has died or nothing was heard of it for
        ``lease_seconds``.

        A thread of the log stores the chunks, so a slow disk does not slow the producer. Only when
        ``buffer_bytes`` wait, writing waits, too; nothing is dropped. Without ``background`` the
        producer stores the chunks itself as it writes. ``fields`` are further fields of the message.
        ``name`` has no effect outside of a turn.
        """
        from eventlog.message_streams import MessageStream, stream_terms

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
        )
        return MessageStream(self._engine, self._core, terms)

    def begin_message(
        self,
        role: Role = "assistant",
        *,
        message_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> BegunMessage:
        """Begin to write a message in chunks; return its id, and the fence of its producer.

        `stream` does this and what follows. The id is taken from here on: it is that of the message,
        also if it is interrupted. Raises `DuplicateEvent` for an id that is in use.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            late_verbs.begin_message,
            self._engine,
            self._core,
            role,
            message_id,
            fields,
            lease_seconds,
            idempotency_key,
        )
        begun: BegunMessage = self._do(command, by)
        return begun

    def append_chunk(
        self,
        message_id: str,
        fence: int,
        sequence: int,
        content: str | Sequence[Mapping[str, Any] | ToolPart],
    ) -> None:
        """Append a chunk of a message that was begun: a text, or parts; and renew the lease.

        ``sequence`` counts the chunks from 1. Appending a chunk again changes nothing, so it can be
        repeated when its answer was lost. Raises `LeaseLost` if the message was ended by others,
        `DuplicateEvent` if the number was used for another chunk, and `InvalidArgument` if chunks
        before it are missing. Chunks carry no actor: who began the message wrote it.
        """
        command = self._engine.shelter.read(
            late_verbs.append_chunk,
            self._engine,
            self._core,
            message_id,
            fence,
            sequence,
            content,
        )
        self._do(command, None)

    def end_message(
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

        Without ``message`` it is what its chunks said; a given one takes their place. Results that
        came meanwhile are written into its calls. Ending it again changes nothing and returns it.
        Raises `LeaseLost` if the message was ended by others.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.end_message, self._engine, self._core, message_id, fence, message
        )
        ended: Message = self._do(command, by)
        return ended

    def interrupt_message(
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

        Its open calls get a result with the status ``error``, which a real one that comes later
        replaces. None if nothing had arrived: then there is no message. Raises as `end_message`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.interrupt_message, self._engine, message_id, fence
        )
        message: Message | None = self._do(command, by)
        return message

    def streams(self) -> tuple[StreamView, ...]:
        """Return the messages that are being written, in the order in which they began."""
        return self._engine.shelter.read(late_verbs.streams, self._core)

    def follow_message(self, message_id: str, after: int = 0) -> Iterator[MessageUpdate]:
        """Yield the chunks of a message as they are stored, and its end; then stop.

        Whoever comes late gets what is there first, and goes on. ``after`` is the ``sequence`` of the
        last chunk that the caller has: nothing comes twice, and nothing is missing. The last update
        has ``ended`` and the whole ``message``. Raises `InvalidArgument` for an unknown message.
        """
        check_count("after", after, "chunks")
        from eventlog.engine.stream_reading import following_message

        entries = following_message(self._core, message_id, after)
        return (update for update in entries if update is not None)

    def used(
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
        self._do(arguments.usage(contexts, skill), by)

    # ---- commits and tasks --------------------------------------------------------------------

    def commit(
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

        The newest ``keep_recent`` messages stay live; with ``keep_turn_tokens`` instead, the newest
        whole rounds within that number of tokens do. A round is a user message and what follows it.
        A round with a tool call that awaits its result always stays live. A worker summarises the
        archive later.

        Returns ``skipped``, with the reason, if there is nothing to archive. Raises `CommitBlocked`
        if an earlier archive failed for good and the session's policy is to wait for it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        result: CommitResult = self._do(Commit(keep_recent, keep_turn_tokens), by)
        return result

    def retry(
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

        Returns ``accepted``, ``already_completed``, or ``running`` for a task that has not failed.
        Raises `ArchiveNotFound`, `TaskNotFound`, and `IllegalTransition` for a task that was
        abandoned.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.retry, self.id, archive_id, reason)
        status: RetryStatus = self._do(command, by)
        return status

    def abandon(
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

        A running attempt can no longer change anything, and the archives after it are no longer
        blocked; its messages stay in contexts until a later overview covers them. Raises
        `ArchiveNotFound`, `TaskNotFound`, and `IllegalTransition` for a task that is completed.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.abandon, self.id, archive_id, reason)
        self._do(command, by)

    def queue_task(
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

        ``payload`` is JSON. A worker whose `Finalizer` has a callable for the kind runs it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.task, kind, payload)
        task_id: str = self._do(command, by)
        return task_id

    # ---- the folder ---------------------------------------------------------------------------

    @property
    def folder(self) -> FolderView | None:
        """The attached folder as this process sees it, or None. No I/O."""
        return late_verbs.view(self._core)

    def attach_folder(self, path: str | os.PathLike[str], *, mode: int | None = None) -> FolderView:
        """Attach a folder: from now on its files follow the session.

        One process owns a folder and alone writes it. It writes before the answer to a command is
        returned; the task of a commit can be claimed once its archive is on disk. Records of other
        processes, such as workers, are written with the owner's next command or `refresh`. The
        attachment is recorded, so the next process that opens the session takes the folder over,
        unless another one owns it.

        ``mode`` sets the permissions of new files, such as ``0o660``. By default a new folder is
        its owner's alone, and new files in an existing one take its read and write bits. Nothing
        outside the folder is touched, since links in it are not followed.

        Raises `FolderLocked` if another process owns the folder, `CorruptFolder` if it holds
        content that the session does not have or an entry that is not a file, `InvalidArgument` if
        it belongs to another session or the session has another folder, `FolderUnavailable` if it
        cannot be written, and `UnsupportedStore` on a platform that cannot confine files to a
        folder.
        """
        return self._engine.shelter.write(late_verbs.attach, self._engine, self._core, path, mode)

    def detach_folder(self) -> None:
        """Detach the folder: its files stay as they are and no longer follow the session."""
        self._engine.shelter.write(late_verbs.detach, self._engine, self._core)

    def materialize(self, path: str | os.PathLike[str]) -> FolderReport:
        """Write the session's folder once, without attaching it. Raises as `attach_folder` does."""
        return self._engine.shelter.write(late_verbs.materialize, self._engine, self._core, path)

    def heal(self, path: str | os.PathLike[str], *, check: bool = False) -> FolderReport:
        """Rewrite a folder from the records and record what differed; with ``check``, only report
        it.

        Content that the log does not have is kept in quarantine beside its file. Files that are not
        the session's are left alone, and a healthy folder is not touched. Raises `FolderLocked`,
        `FolderUnavailable`, and `InvalidArgument` if there is no folder or it belongs to another
        session.
        """
        return self._engine.shelter.write(late_verbs.heal, self._engine, self._core, path, check)

    # ---- the session itself -------------------------------------------------------------------

    def record(
        self,
        *events: Event,
        expected: Expected = ANY,
        idempotency_key: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> tuple[Recorded, ...]:
        """Record events of an application's own types, in one atomic append.

        ``expected`` is the version that the session must be at; another one raises
        `VersionConflict`. Raises `IllegalTransition` for an event of one of the library's own
        types.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        recorded: tuple[Recorded, ...] = self._do(
            arguments.events(events), by, arguments.expected_version(expected)
        )
        return recorded

    def assign_project(
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
        done: bool = self._do(arguments.project(project), by)
        return done

    def set_failed_archives(
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

        Under ``skip`` the messages of a failed archive stay in contexts until a later overview
        covers them. Returns whether the policy was another one before.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = self._do(arguments.failed_archives(policy), by)
        return done

    def memory_session(
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

        The first call records ``{provider}-{session id}-{seconds}``; later calls return the same
        id.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        memory_session_id: str = self._do(arguments.memory_session(provider), by)
        return memory_session_id

    def close(
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
        self._do(
            arguments.closing(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def delete(
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

        The records stay in the log. Raises `SessionClosed` if it was deleted before.
        """
        self._do(
            arguments.deletion(reason, self._engine.estimate_tokens),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def __repr__(self) -> str:
        return f"<Session {self.id!r} at version {self.version}>"


def past_of(session: Session) -> Past:
    """Return the past of a session, for the library's own tools."""
    return session._past  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def core_of(session: Session) -> Core:
    """Return the core behind a session, for the face that shares it."""
    return session._core  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
