"""The synchronous face of a session: `Session`. Its twin is `eventlog.async_session_face`.

No logic lives here: arguments become commands, the engine runs them, and queries read.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from eventlog import late_verbs
from eventlog.argument_checks import check_count
from eventlog.clock import format_time
from eventlog.engine import arguments, queries
from eventlog.engine.chosen_reading import find_in_session
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.streams.reading import MessageUpdate, StreamView
    from eventlog.engine.turn_steps import RecordedStep, TurnSteps
    from eventlog.engine.turns import TurnRun
    from eventlog.event_values import Value
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
    from eventlog.session.turns.events import OnError
    from eventlog.session.turns.machine import TurnEnd
    from eventlog.session.turns.state import TurnFence
    from eventlog.trace_context import TraceContext

__all__ = ["Session", "Turn", "core_of", "past_of"]


View = TypeVar("View")


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
        return self._engine.execute(self._core, command, by, expected, fence=self._fence)

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
        return session_meta(self._engine.shelter.read(self._core.snapshot_of_state))

    # ---- reading ------------------------------------------------------------------------------

    def refresh(self) -> SessionMeta:
        """Fold what others have recorded, update an attached folder, and return the metadata."""
        self._core.catch_up()
        return self.meta

    def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        return self._engine.shelter.read(queries.read_tail, self._core, last)

    def history(self, *, hydrate: bool = False, withdrawn: bool = False) -> tuple[Message, ...]:
        """Return every message ever recorded, in order, whatever the state of its archive.

        With ``hydrate``, large tool outputs are returned in full instead of as previews; raises
        `CorruptLog` if one is missing or damaged. Messages that were withdrawn are left out, unless
        ``withdrawn`` is true; then several messages may have one id.
        """
        return self._engine.shelter.read(
            queries.read_history, self._core, hydrate=hydrate, withdrawn=withdrawn
        )

    def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id, with its version and the results so far.

        It may be archived. Raises `InvalidMessage` if the session has no such message, and
        `MessageWithdrawn` if it was withdrawn.
        """
        return self._engine.shelter.read(queries.read_message, self._core, message_id)

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

    def watch(self, projection: Projection[Any, View]) -> Watch[View]:
        """Fold the session through a projection as records come; `Watch.view` reads it without I/O.

        The watch is as fresh as `meta`: it has what this process records at once, and what others
        record after a `refresh` or the next command. What is read is a copy. If the fold raises,
        reading the watch raises that, and nothing else is affected. The watch lasts as long as it
        is referred to. Raises `InvalidArgument` for what is not a projection.
        """
        return self._engine.shelter.read(watch, self._core, self._engine.shelter, projection)

    def find(self, key: str, /, **fields: str | int) -> Iterator[Recorded]:
        """Yield the session's events with an index key, in order, without reading others.

        The classes of the events name their keys, see `Event`. What a field contains is escaped in
        the key, so for other values than plain words write ``find("run/{run_id}", run_id="a/b")``.
        Raises `InvalidArgument` for a text that cannot be a key.
        """
        return find_in_session(self._engine.store, self.id, key, fields)

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
        """Return how version ``second`` differs from ``first``, path by path, each with the event
        that changed it last.

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
        """Return the events, in order, of these ``types``, by this ``actor``, from ``since`` to
        ``until``, that contain ``text`` in upper or lower case. A filter that is left out admits all.

        Filters choose what is returned and change no state. Raises `InvalidArgument` for a time
        without a zone.
        """
        return self._engine.shelter.read(
            late_verbs.timeline, self._past, types, actor, since, until, text
        )

    def why(self, version: int, *, tree: bool = False) -> tuple[Cause, ...]:
        """Return the event at a version and what led to it, the nearest cause first.

        With ``tree``, the event and all that it led to, each with its depth and followed by what it
        led to itself. A cause is the event that the metadata name, or else follows from what the
        event is about: a result from the message that made the call, a message from the step or
        turn that it was said in, a turn from its run, a run from the queued message, and an event
        of a task from the one before it. Raises `InvalidArgument` for a version that the session
        has not reached.
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
        expected: Expected = ANY,
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

        With ``expected``, a version of the session, the message is appended only if no other
        message, result, withdrawal or commit came after that version; otherwise `VersionConflict`
        is raised. The same call again is still a repetition, as everywhere.

        Raises `InvalidMessage`, `SessionClosed`, `DuplicateEvent` if another message has this id,
        and `MessageWithdrawn` if the message was withdrawn.
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
        appended: Message = self._engine.append_one(request)
        return appended

    def extend(
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
        appended: tuple[Message, ...] = self._do(command, by, arguments.expected_version(expected))
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
        expected: Expected = ANY,
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
        recorded, but decides nothing. ``expected`` is as in `append`. Raises `InvalidMessage` if the
        session has no such message or call, `MessageWithdrawn` if the message was withdrawn, and
        `SessionClosed`.
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
        self._do(command, by, arguments.expected_version(expected))

    def abandon_call(
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

        Its result has the status ``error``, the output ``reason`` and the field ``abandoned``, so
        that its round can be archived and the next request to a model is valid. A result that
        arrives later replaces it. ``occurrence`` is as in `record_tool_result`. Raises
        `InvalidMessage` for a call that no message made.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = self._do(command, by, arguments.expected_version(expected))
        return was_open

    def withdraw(
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

        Exactly one of the three says which: the newest ``last``, those with ``message_ids``, or all
        ``after`` a version. What is withdrawn is in no tail, context, archive or folder any more;
        `history` has it with ``withdrawn=True``. Results go with the messages of their calls; a call
        whose result is in a withdrawn message awaits one again. ``expected`` is as in `append`; with
        it, or with an ``idempotency_key``, the same call again changes nothing.

        Raises `InvalidMessage` for an id that is not live, saying where it is, and where a result
        would stay without its call.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            arguments.withdrawal, last, message_ids, after, expected
        )
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

    def replace(
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

        Either ``message_ids`` says which, or ``after`` a version, which means all behind it. As many
        messages as there were ids are put in one by one; otherwise all at the place of the first. The
        live messages behind that place keep their order: they are recorded once more, with the
        results so far. The ids of replaced messages may be used again. Otherwise as `withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(
            arguments.replacement,
            self._core,
            self._engine.estimate_tokens,
            messages,
            message_ids,
            after,
            expected,
        )
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

    def clear(
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

        Archives and their tasks stay, and can be read; neither contexts nor the summaries of later
        archives see anything of them. Otherwise as `withdraw`.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        command = self._engine.shelter.read(arguments.clearing, expected)
        version: int = self._do(command, by, arguments.expected_version(expected))
        return self._engine.shelter.read(queries.read_withdrawn, self._core, version)

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

        In a turn, the turn's lease takes the place of the message's own, and commands of a producer that
        lost the turn raise `LeaseLost`. There a ``name`` makes the message a step, whose name is used
        once in an attempt: with ``resume``, one that an earlier attempt finished is appended again,
        and ``done`` is true; look at it before you write. Outside of a turn a name has no effect.

        If the block is never left, the end of the turn, of the session or of the log interrupts the
        message, with all that was written; it is no finished step. Only the death of the process, or
        an end that another process brings, loses what came after the last chunk.
        """
        self._engine.shelter.read(import_module, "eventlog.message_streams")
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
            self._fence,
            self._steps,
        )
        return MessageStream(self._engine, self._core, terms)

    def begin_message(
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

        `stream` does this and what follows. The id is taken from here on: it is that of the message,
        also if it is interrupted. ``holder`` says who writes it if it is not this process: then only
        the lease says that the producer is lost. Raises `DuplicateEvent` for an id that is in use.
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
            self._fence is not None,
            holder,
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
        self._engine.shelter.read(import_module, "eventlog.engine.streams.reading")
        from eventlog.engine.streams.reading import following_message

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
    ) -> Turn:
        """Return a turn to enter: one unit of an agent's work, with an id of the application's.

        For use in a ``with`` block. Commands in the block, through the handle or any `Session` of
        this id, belong to the turn; so do those of tasks that it starts. It ends completed when the
        block is left, failed with an exception, cancelled with `KeyboardInterrupt`, `SystemExit` or
        `asyncio.CancelledError`. A completed turn is not run again: `Turn.done` is true and
        `Turn.result` what it had. Any other one can be begun again with its id: what was added by the
        attempt before is withdrawn first, and results of its calls with it. With ``resume``, steps
        that an earlier attempt finished are read back instead of run.

        One turn is open per session. While another one is, this one waits up to ``wait_seconds``.
        Its lease, of ``lease_seconds``, is renewed by a thread of the log for as long as the process
        lives; after its end the same turn can be begun again elsewhere, and the commands of the
        attempt before raise `LeaseLost`. A turn that is not begun again is abandoned
        ``stale_seconds`` after that. ``on_error`` says what becomes of the messages of a turn that
        does not complete: ``keep`` them, with an ``interrupted`` result for open calls, or
        ``withdraw`` them.

        Entering raises `TurnOpen`, and `TurnClosed` for a turn of which a commit took a part.
        """
        run = self._engine.shelter.read(
            late_verbs.turn,
            self._engine,
            self._core,
            (turn_id, resume, wait_seconds, lease_seconds, stale_seconds, on_error),
        )
        return Turn(self._engine, run)

    def begin_turn(
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
    ) -> Turn:
        """Begin a turn without a block, and return it, for code that goes on with it elsewhere.

        `turn` has the arguments. Nothing renews the lease but `Turn.renew`, and nothing ends the
        turn but `Turn.end` and `Turn.fail`. `Turn.fence` is what others need to go on with it, see
        `held_turn`. ``holder`` names who holds the turn if it is not this process: then it is
        lost when its lease lapses, and not when this process ends. With an ``idempotency_key``, beginning it
        again returns the same attempt.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        run = self._engine.shelter.read(
            late_verbs.turn,
            self._engine,
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
        _begin(self._engine, run, by)
        return Turn(self._engine, run)

    def held_turn(self, fence: int) -> Turn:
        """Return the turn that began at a version, its ``fence``, to go on with it.

        Once the turn has ended, or another attempt owns it, the commands of this one raise
        `LeaseLost`. Raises `InvalidArgument` if no turn began at that version.
        """
        return Turn(
            self._engine,
            self._engine.shelter.read(late_verbs.held_turn, self._engine, self._core, fence),
        )

    def turns(self, turn_id: str | None = None) -> tuple[TurnView, ...]:
        """Return the session's turns: how each ended, and the open one; or the one with an id.

        Those that have ended come first, by id; the open one is the last. A completed turn has its
        result only if it is asked for by ``turn_id``; for an unknown id the tuple is empty.
        """
        return self._engine.shelter.read(queries.read_turns, self._core, turn_id)

    # ---- runs ---------------------------------------------------------------------------------

    def enqueue(
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

        The id is also that of the run's task and of its turn. The message is in the tail once its run
        begins; until then it is in the queue, and is not lost either. The messages of a session are
        run one after another, in this order; one that failed for good holds up no other.

        The message's id is its idempotency key, here and in `append`: queuing it again changes nothing
        and returns the same id. Raises `InvalidMessage`, `SessionClosed`, and `DuplicateEvent` if
        another message has this id or the session has the message already. Until the run has begun,
        its id is taken: `append` and whatever else records messages raise `DuplicateEvent` for it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.enqueue, self._engine, self._core, message, idempotency_key
        )
        run_id: str = self._do(command, by)
        return run_id

    def stop_run(
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

        One that is executed is cancelled by its supervisor: what has arrived of its messages is kept,
        marked ``interrupted``. One that only waits is cancelled at once. None if there is none to
        cancel. Messages behind it in the queue stay there.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = self._engine.shelter.read(
            late_verbs.stop_run, self._engine, self._core, run_id, reason
        )
        stopped: str | None = self._do(command, by)
        return stopped

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
        A round with a tool call that awaits its result always stays live, and so does what came
        after the beginning of an open turn. A worker summarises the archive later.

        Returns ``skipped``, with the reason, if there is nothing to archive. Raises `CommitBlocked`
        if an earlier archive failed for good and the session's policy is to wait for it.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        engine = self._engine
        kept = keep_recent, keep_turn_tokens
        command = engine.plain_commit(self._core, self._fence, *kept)
        if command is None:
            command = engine.shelter.read(engine.commit_command, self._core, *kept)
        observer = engine.observer
        if observer is None:
            result: CommitResult = self._do(command, by)
            return result
        with observer.commit(self.id) as note:
            result = self._do(command, by)
            note(result)
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

    def ensure_created(
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

        An existing session stays as it is, also if it is closed. Raises `OwnerMismatch` if another
        owner has created the session since it was opened here.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        created: bool = self._do(CreateSession(self._core.creation), by)
        return created

    def record(
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

        Messages may be among them, as `append` takes them: they are recorded in the same append, at
        their place. So whoever reads sees all of it or nothing. The bytes of a `Value` in an event
        are stored before. Repeating the call records events again, unless it has an
        ``idempotency_key``.

        ``expected`` is the version that the session must be at; another one raises
        `VersionConflict`. Raises `IllegalTransition` for an event of one of the library's own
        types, `InvalidMessage`, and `DuplicateEvent` if another message has the id of one of these.
        """
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        recorded: tuple[Recorded, ...] = self._do(
            arguments.events(
                self._core, self._engine.estimate_tokens, events, idempotency_key, self._fence
            ),
            by,
            arguments.expected_version(expected),
        )
        return recorded

    def value(self, value: Value | str) -> bytes:
        """Return the bytes that an event of the session names by a `Value`, or by its SHA-256.

        Raises `CorruptLog` if they are missing or damaged.
        """
        return self._engine.shelter.read(queries.read_value, self._core, value)

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


def _begin(engine: Engine, run: TurnRun, by: Metadata | None) -> None:
    """Begin a turn, once no other is open."""
    run.refuse_nesting()
    deadline = time.monotonic() + run.terms.wait_seconds
    while True:
        seen, command = engine.shelter.read(run.prepare)
        try:
            engine.shelter.write(run.begin, command, by)
            break
        except TurnOpen:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            engine.shelter.read(engine.store.wait, seen, min(left, run.longest_wait))


class Turn(Session):
    """An attempt at a turn: the session, with commands that belong to the turn and carry its fence.

    Code in another thread uses the handle; code in the block may use any `Session` of this id. Once
    the turn has ended, or another attempt owns it, its commands raise `LeaseLost`.
    """

    def __init__(self, engine: Engine, run: TurnRun) -> None:
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

    def __enter__(self) -> Self:
        run = self._run
        run.refuse_another_beginning()
        try:
            _begin(self._engine, run, None)
            if not run.is_done:
                self._engine.shelter.write(run.keep_lease)
                run.bind()
            return self
        except BaseException as error:
            self._leave(error)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        try:
            run.release()
            if error is None and not run.has_ended:
                self.end()
        except (LeaseLost, SessionClosed):
            run.stop()
            if run.core.state.status == "open":
                raise
        except BaseException as interrupt:
            self._leave(interrupt)
            raise
        if error is not None:
            self._leave(error)

    def _leave(self, error: BaseException) -> None:
        """End the attempt because of an exception, which goes on whatever becomes of this."""
        run = self._run
        if run.attempt and not run.is_open:
            run.stop()
        if run.has_ended or not run.attempt:
            return
        try:
            self._do(run.failure_command(error), None)
            run.stop()
        except Exception as failure:  # noqa: BLE001 - as above
            run.not_ended(failure)

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: object,
        messages: Iterable[Message | dict[str, Any]]
        | Callable[[Any], Iterable[Message | dict[str, Any]]] = (),
        **kwargs: object,
    ) -> Any:
        """Run a function once, and record its output and ``messages`` together; return the output.

        With ``resume``, a step of this name that an earlier attempt finished with the same arguments
        is read back instead, and its messages are appended again. ``messages`` may be a callable
        that makes them from the output. The output is JSON, and is returned as a later attempt will
        read it. Raises `InvalidArgument` for a name that was used before in this attempt.
        """
        run, shelter = self._run, self._engine.shelter
        with run.steps.names.named(name):
            digest = run.digest(args, kwargs)
            found = shelter.read(run.steps.find, name, digest)
            if found is not None:
                if found.append is not None:
                    self._do(found.append, None)
                return found.output
            made = function(*args, **kwargs)
            said = messages(made) if callable(messages) else messages
            appends = arguments.append(
                self._core, self._engine.estimate_tokens, said, None, run.fence
            )
            _, command = shelter.write(run.step_command, name, digest, made, appends)
            version: int = self._do(command, None)
            return shelter.read(run.read_step, version)

    def recorded_step(self, name: str, digest: str = "") -> RecordedStep | None:
        """Return a finished step of this attempt or, with ``resume``, of an earlier one; or None.

        Changes nothing. ``digest`` is that of the step's arguments, see `step_digest`.
        """
        run = self._run
        return self._engine.shelter.read(run.steps.recorded, check_step_name(name, digest), digest)

    def resume_step(
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
        again = self._engine.shelter.read(
            self._run.steps.again, check_step_name(name, digest), digest
        )
        if again is not None:
            by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
            self._do(again, by)
        return self.recorded_step(name, digest)

    def record_step(
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
        _, command = self._engine.shelter.write(run.step_command, name, digest, output, appends)
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        version: int = self._do(command, by)
        self._engine.shelter.read(run.check_same_step, version, command)
        return self._engine.shelter.read(run.read_step, version)

    def end_message(
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
        command = self._engine.shelter.read(
            late_verbs.end_message, self._engine, self._core, message_id, fence, message, of_turn
        )
        ended: Message = self._do(command, by)
        return ended

    def renew(self, lease_seconds: float = 60.0) -> str:
        """Renew the lease of a turn that `Session.begin_turn` began; return its new end, ISO 8601.

        In a block a thread of the log does so. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        command = self._engine.shelter.read(run.renew_command, lease_seconds)
        run.lease_until = self._do(command, None)
        return self.lease_until

    def fail(
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
        self._do(run.end_by_error(error, how), by)
        run.stop()

    def end(
        self,
        result: Any = None,
        *,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: TraceContext | str | None = None,
    ) -> None:
        """Complete the turn with a result, which is JSON; leaving the block does so with None.

        The same result again changes nothing. Raises `LeaseLost` if another attempt owns the turn.
        """
        run = self._run
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace)
        command = run.end_command(result)
        self._do(command, by)
        run.ended(command.value)

    def __repr__(self) -> str:
        return f"<Turn {self.turn_id!r} of session {self.id!r}, attempt {self.attempt}>"


def past_of(session: Session) -> Past:
    """Return the past of a session, for the library's own tools."""
    return session._past  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def core_of(session: Session) -> Core:
    """Return the core behind a session, for the face that shares it."""
    return session._core  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
