"""`Moment` for asyncio: the same names, to await."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventlog.session.tool_output import CONTEXT_CHARACTERS, SEARCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.forensics.given import GivenContext
    from eventlog.forensics.moment import Moment
    from eventlog.projection import Projection
    from eventlog.recorded import Recorded
    from eventlog.session.context import Context, SearchContext
    from eventlog.session.messages import Message
    from eventlog.session.tool_output import OutputMatch, ToolOutput
    from eventlog.session.views import (
        ArchivedMessages,
        ArchiveView,
        SessionMeta,
        StoredMessage,
        TaskView,
        TurnView,
    )

__all__ = ["AsyncMoment"]

View = TypeVar("View")


class AsyncMoment:
    """A session right after the event at a version. See `Moment`; what reads is awaited here."""

    def __init__(self, engine: AsyncEngine, moment: Moment) -> None:
        self._engine = engine
        self.moment = moment
        """The moment itself, whose methods block."""

    @property
    def id(self) -> str:
        """The session's id."""
        return self.moment.id

    @property
    def version(self) -> int:
        """How many records the session had; 0 before the first one."""
        return self.moment.version

    async def event(self) -> Recorded | None:
        """Return the event after which this is the state; None at version 0."""
        return await self._engine.run(lambda: self.moment.event)

    async def time(self) -> str:
        """Return the time of that event as ISO 8601 text, or empty."""
        return await self._engine.run(lambda: self.moment.time)

    async def was_live(self) -> bool:
        """Return whether the session ever was in this state."""
        return await self._engine.run(lambda: self.moment.was_live)

    async def meta(self) -> SessionMeta:
        """Return the metadata of that moment."""
        return await self._engine.run(lambda: self.moment.meta)

    async def given(self) -> tuple[GivenContext, ...]:
        """Return the contexts that were recorded as handed over until then, the newest last."""
        return await self._engine.run(lambda: self.moment.given)

    async def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the messages that were live, in order, or only the ``last`` of them."""
        return await self._engine.run(self.moment.tail, last)

    async def history(
        self, *, hydrate: bool = False, withdrawn: bool = False
    ) -> tuple[Message, ...]:
        """Return every message recorded until then, in order."""
        return await self._engine.run(self.moment.history, hydrate=hydrate, withdrawn=withdrawn)

    async def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id until then."""
        return await self._engine.run(self.moment.message, message_id)

    async def context(self, token_budget: int = 128_000) -> Context:
        """Return the context as today's code builds it of that moment."""
        return await self._engine.run(self.moment.context, token_budget)

    async def context_for_search(self, query: str, max_messages: int = 20) -> SearchContext:
        """Return the latest overview and the newest messages, for a search over memories."""
        return await self._engine.run(self.moment.context_for_search, query, max_messages)

    async def truncated(
        self, *, keep_first_user: bool = True, recent: int = 20
    ) -> tuple[Message, ...]:
        """Return the first live user message and the ``recent`` newest, tool pairs whole."""
        return await self._engine.run(
            self.moment.truncated, keep_first_user=keep_first_user, recent=recent
        )

    async def archive(self, archive_id: str, *, hydrate: bool = False) -> ArchivedMessages:
        """Return the summaries and messages of an archive that was completed then."""
        return await self._engine.run(self.moment.archive, archive_id, hydrate=hydrate)

    async def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with the states that they had, the oldest first."""
        return await self._engine.run(self.moment.archives)

    async def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return a tool's output as it was known then."""
        return await self._engine.run(
            self.moment.tool_output,
            message_id,
            tool_id,
            offset=offset,
            limit=limit,
            occurrence=occurrence,
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
        """Return where a text occurs in a tool's output."""
        return await self._engine.run(
            self.moment.search_tool_output,
            message_id,
            tool_id,
            text,
            limit=limit,
            context=context,
            occurrence=occurrence,
        )

    async def turns(self) -> tuple[TurnView, ...]:
        """Return the turns of that moment."""
        return await self._engine.run(self.moment.turns)

    async def tasks(self) -> tuple[TaskView, ...]:
        """Return all tasks of the session with the states that they had, by id."""
        return await self._engine.run(self.moment.tasks)

    async def project(self, projection: Projection[Any, View]) -> View:
        """Fold the session up to this moment through any projection, and return its view."""
        return await self._engine.run(self.moment.project, projection)

    async def values(self) -> Mapping[str, Any]:
        """Return what paths lead to, as plain values."""
        return await self._engine.run(self.moment.values)

    async def value(self, path: str) -> Any:
        """Return the value at a path; None where there is nothing."""
        return await self._engine.run(self.moment.value, path)

    def __repr__(self) -> str:
        return f"<AsyncMoment {self.id!r}@{self.version}>"
