"""The twin of `eventlog.faces.reading`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventlog.engine import arguments, queries
from eventlog.engine.chosen_reading import find_in_session
from eventlog.engine.watch import Watch, watch
from eventlog.faces.async_base import AsyncBase
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
    from collections.abc import AsyncIterator

    from eventlog.projection import Projection
    from eventlog.trace_context import TraceContext

__all__ = ["AsyncReadingVerbs"]


View = TypeVar("View")


class AsyncReadingVerbs(AsyncBase):
    """Reading a session: what is live, archived and shown to a model."""

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
