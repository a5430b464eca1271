"""Reading a session: what is live, archived and shown to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventlog.engine import arguments, queries
from eventlog.engine.chosen_reading import find_in_session
from eventlog.engine.watch import Watch, watch
from eventlog.faces.base import Base
from eventlog.recorded import Recorded
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
    StoredMessage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.projection import Projection
    from eventlog.trace_context import TraceContext

__all__ = ["ReadingVerbs"]


View = TypeVar("View")


class ReadingVerbs(Base):
    """Reading a session: what is live, archived and shown to a model."""

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
