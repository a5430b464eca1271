"""The synchronous twin of a session; `eventlog.async_session_face` has the other. No logic lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from eventlog.engine import arguments, queries
from eventlog.recorded import Recorded
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.commands import ABANDONED
from eventlog.session.commit import Commit, CommitResult
from eventlog.session.context import Context, SearchContext
from eventlog.session.messages import Message
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
    from collections.abc import Iterable, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.events import Event
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.command import Command
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.trace_context import TraceContext

__all__ = ["Session"]


class Session:
    """One conversation: commands that record events, and reads that fold them.

    Any number of these may be open on one session, in any number of threads; they share one core.
    Every command is durable at return, as far as the store's class says. All of them take an
    ``idempotency_key``: the same key again gives the first outcome (P8).
    """

    def __init__(self, engine: Engine, core: Core) -> None:
        self._engine = engine
        self._core = core

    def _do(self, command: Command[Any], by: Metadata | None, expected: Expected = ANY) -> Any:
        return self._engine.execute(self._core, command, by, expected)

    # ---- without I/O --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's id."""
        return self._core.session

    @property
    def version(self) -> int:
        """How many records were folded so far."""
        return self._core.state.version

    @property
    def meta(self) -> SessionMeta:
        """The metadata as folded so far (M8); `refresh` folds what others recorded since."""
        return session_meta(self._core.snapshot_of_state())

    # ---- reading ------------------------------------------------------------------------------

    def refresh(self) -> SessionMeta:
        """Fold what others recorded, and return the metadata; an attached folder follows, too."""
        self._core.catch_up()
        return self.meta

    def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the live messages in order, or only the ``last`` of them."""
        return queries.read_tail(self._core, last)

    def history(self, *, hydrate: bool = False) -> tuple[Message, ...]:
        """Return every message ever recorded, in order, whatever its archive's state (X7).

        With ``hydrate`` large tool outputs stand in them as they were appended, not as previews;
        raises `CorruptLog` if one is missing or damaged.
        """
        return queries.read_history(self._core, hydrate=hydrate)

    def context(self, token_budget: int = 128_000) -> Context:
        """Return the latest overview and the messages that it does not cover (X1)."""
        return queries.read_context(self._core, self._engine.estimate_tokens, token_budget)

    def context_for_search(self, query: str, max_messages: int = 20) -> SearchContext:
        """Return what a memory search needs to understand ``query`` (X5)."""
        return queries.read_search_context(self._core, query, max_messages)

    def truncated(self, *, keep_first_user: bool = True, recent: int = 20) -> tuple[Message, ...]:
        """Return the first live user message and the last ``recent`` ones, tool pairs whole."""
        return queries.read_truncated(self._core, keep_first_user=keep_first_user, recent=recent)

    def archive(self, archive_id: str, *, hydrate: bool = False) -> ArchivedMessages:
        """Return a completed archive's summaries and messages (X7); raises `ArchiveNotFound`.

        With ``hydrate`` large tool outputs stand in the messages, as in `history`.
        """
        return queries.read_archived(self._core, archive_id, hydrate=hydrate)

    def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with their states, oldest first."""
        return queries.read_archives(self._core)

    def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return what a tool put out, from character ``offset`` on, at most ``limit`` of them (M6).

        Also of outputs that are too large for their message. Raises `ToolOutputNotFound`, and
        `CorruptLog` if what was kept is missing or damaged.
        """
        return queries.read_tool_output(self._core, message_id, tool_id, offset, limit, occurrence)

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
        """Return where ``text`` stands in what a tool put out, to the letter, without overlaps (M6).

        The first ``limit`` places, each with ``context`` characters on both sides. Raises as
        `tool_output` does.
        """
        return queries.search_tool_output(
            self._core,
            message_id,
            tool_id,
            text,
            limit=limit,
            context=context,
            occurrence=occurrence,
        )

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
        """Append one message and return it with its id, which is its idempotency key (M3).

        A tool output that is too large for its message is kept beside it (M6); what is returned,
        and stands in the tail, has a preview in its place. Raises `InvalidMessage`,
        `SessionClosed`, `DuplicateEvent`.
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
        """Append messages in one atomic batch, all validated before anything is stored (M3)."""
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
        """Record the result of a call that a message made (M4); raises `InvalidMessage`.

        Where the message has several calls with this id, ``occurrence`` names one, counted from 0;
        without it the first open one is answered. Idempotent by message, call and status: another
        output for the same is `DuplicateEvent`, and without ``occurrence`` an output that one of
        several calls has already is taken for a repetition. These are the key of the command; an
        ``idempotency_key`` is recorded beside them.
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
        """Close a live call that nobody will answer; return whether it was open.

        Its result has the status ``error``, the output ``reason`` and the field ``abandoned``, so
        that its round can be archived and the next request to a model is valid. A result that
        comes after all replaces it. ``occurrence`` is as in `record_tool_result`. Raises
        `InvalidMessage` for a call that no message made.
        """
        command = arguments.abandoned_call(
            self._engine.estimate_tokens, message_id, tool_id, reason, occurrence
        )
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        was_open: bool = self._do(command, by)
        return was_open

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
        """Record which contexts (URIs) and which skill were used; the next commit takes it (M5)."""
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
        """Archive the live messages but the newest ``keep_recent``, and return at once (C1, C2).

        ``keep_turn_tokens`` keeps the newest whole turns within so many tokens instead. A turn
        with a tool call that awaits its result stays live in any case (C3). Raises
        `CommitBlocked` if an earlier archive failed for good and the policy is to wait for it.
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
        """Ask for a failed archive to be finalised again, or by its id for any failed task (F9)."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        status: RetryStatus = self._do(arguments.retry(self.id, archive_id, reason), by)
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
        """Give an unfinished archive, or by its id any unfinished task, up; what follows goes on."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        self._do(arguments.abandon(self.id, archive_id, reason), by)

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
        """Queue a task of a kind of your own, such as ``acme.index``; return its id (L16)."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        task_id: str = self._do(arguments.task(kind, payload), by)
        return task_id

    # ---- the folder ---------------------------------------------------------------------------

    @property
    def folder(self) -> FolderView | None:
        """How the attached folder stands; None without one. No I/O."""
        from eventlog.folder import attaching

        return attaching.view(self._core)

    def attach_folder(self, path: str | os.PathLike[str]) -> FolderView:
        """Let the files in a folder follow the session: now, and whenever it is opened (O1, O2).

        One process owns a folder and alone writes it, before its caller has the answer to a
        command; a commit's task can be claimed once its archive is on disk. What other processes
        record, workers among them, is written with the owner's next command or `refresh`. The
        attachment is recorded, so the next process that opens the session owns the folder, if no
        other does.

        Raises `FolderLocked` if another process owns it, `CorruptFolder` if it holds what the
        session does not have, `InvalidArgument` if it is another session's or the session has
        another folder, `FolderUnavailable` if it cannot be written.
        """
        from eventlog.folder import attaching

        return self._engine.shelter.write(attaching.attach, self._engine, self._core, path)

    def detach_folder(self) -> None:
        """Let the folder follow no longer; its files stay as they are."""
        from eventlog.folder import attaching

        self._engine.shelter.write(attaching.detach, self._engine, self._core)

    def materialize(self, path: str | os.PathLike[str]) -> FolderReport:
        """Write the session's folder once, without attaching it (O1); raises as `attach_folder`."""
        from eventlog.folder import attaching

        return self._engine.shelter.write(attaching.materialize, self._engine, self._core, path)

    def heal(self, path: str | os.PathLike[str], *, check: bool = False) -> FolderReport:
        """Make a folder what the records say, and record what it was not; or only look (O3).

        What a file has beyond the log is kept in quarantine beside it, unknown files are left
        alone, and a healthy folder is not touched. Raises `InvalidArgument` if there is no folder,
        or another session's, `FolderLocked`, `FolderUnavailable`.
        """
        from eventlog.folder import attaching

        return self._engine.shelter.write(
            attaching.heal, self._engine, self._core, path, check=check
        )

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
        """Record events of your own types, atomically, if the session is at ``expected`` (L16).

        Raises `VersionConflict`, `IllegalTransition` for one of the library's own types.
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
        """Set the project if the session has none; tell whether it did (M9)."""
        by = arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key)
        done: bool = self._do(arguments.project(project), by)
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
        """Return the synthetic id of this session for a provider without sessions (M10)."""
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
        """End the session: it takes no more messages; open tasks go on to their end."""
        self._do(
            arguments.closing(reason),
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
        """Take the session out of use and abandon its open tasks (M1)."""
        self._do(
            arguments.deletion(reason),
            arguments.metadata_for(actor, correlation_id, causation_id, trace, idempotency_key),
        )

    def __repr__(self) -> str:
        return f"<Session {self.id!r} at version {self.version}>"
