"""A session as it was at one version: the names of `Session` for what it shows, and some more."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from eventlog.codec import records_to_come
from eventlog.engine import queries
from eventlog.errors import InvalidArgument
from eventlog.forensics.given import GivenContext, contexts_given
from eventlog.forensics.paths import child, parse_path
from eventlog.forensics.picture import (
    META_ALONE,
    MISSING_ROOT,
    ROOTS,
    Picture,
    Pictures,
    values_of,
)
from eventlog.projection import Projection, check_projection
from eventlog.recorded import Recorded
from eventlog.session.index import TASKS, keys_under, read_task
from eventlog.session.tool_output import CONTEXT_CHARACTERS, SEARCH_LIMIT
from eventlog.session.views import session_meta, task_view

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from eventlog.engine.core import Core
    from eventlog.engine.shelter import Shelter
    from eventlog.forensics.past import Past
    from eventlog.records import Record
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

__all__ = ["Moment", "core_of"]

View = TypeVar("View")


class Moment:
    """A session right after the event at a version, folded when something of it is asked for.

    The methods are those of `Session`, and give what they gave then, by the code of today; tool
    results that came later are not in the messages.
    """

    def __init__(self, past: Past, version: int, *, record: Record | None = None) -> None:
        self._past = past
        self._version = version
        self._picture: Picture | None = None
        if record is not None:
            self.__dict__["_record"] = record

    @property
    def id(self) -> str:
        """The session's id."""
        return self._past.session

    @property
    def version(self) -> int:
        """How many records the session had; 0 before the first one."""
        return self._version

    @cached_property
    def _record(self) -> Record | None:
        return self._past.record(self._version) if self._version else None

    @property
    def event(self) -> Recorded | None:
        """The event after which this is the state; None at version 0."""
        return None if self._record is None else Recorded(self._record)

    @property
    def time(self) -> str:
        """The time of that event as ISO 8601 text, or empty."""
        return "" if self._record is None else Recorded(self._record).time

    @property
    def was_live(self) -> bool:
        """Whether the session ever was in this state: false inside an append of several events."""
        return self._record is None or not records_to_come(self._record)

    @cached_property
    def _core(self) -> Core:
        return self._shelter.read(self._past.core_at, self._version)

    @property
    def _shelter(self) -> Shelter:
        return self._past.store.shelter

    # ---- what `Session` has too ---------------------------------------------------------------

    @property
    def meta(self) -> SessionMeta:
        """The metadata of that moment."""
        picture = self._picture
        return session_meta(self._core.state if picture is None else picture.session)

    def tail(self, last: int | None = None) -> tuple[Message, ...]:
        """Return the messages that were live, in order, or only the ``last`` of them."""
        return self._shelter.read(queries.read_tail, self._core, last)

    def history(self, *, hydrate: bool = False, withdrawn: bool = False) -> tuple[Message, ...]:
        """Return every message recorded until then, in order. See `Session.history`."""
        return self._shelter.read(
            queries.read_history, self._core, hydrate=hydrate, withdrawn=withdrawn
        )

    def message(self, message_id: str) -> StoredMessage:
        """Return the newest message with an id until then. See `Session.message`."""
        return self._shelter.read(queries.read_message, self._core, message_id)

    def context(self, token_budget: int = 128_000) -> Context:
        """Return the context as today's code builds it of that moment.

        What was really handed over then is in `given`, where it was recorded.
        """
        return self._shelter.read(
            queries.read_context, self._core, self._past.estimate, token_budget
        )

    def context_for_search(self, query: str, max_messages: int = 20) -> SearchContext:
        """Return the latest overview and the newest messages, for a search over memories."""
        return self._shelter.read(queries.read_search_context, self._core, query, max_messages)

    def truncated(self, *, keep_first_user: bool = True, recent: int = 20) -> tuple[Message, ...]:
        """Return the first live user message and the ``recent`` newest, tool pairs whole."""
        return self._shelter.read(
            queries.read_truncated, self._core, keep_first_user=keep_first_user, recent=recent
        )

    def archive(self, archive_id: str, *, hydrate: bool = False) -> ArchivedMessages:
        """Return the summaries and messages of an archive that was completed then."""
        return self._shelter.read(queries.read_archived, self._core, archive_id, hydrate=hydrate)

    def archives(self) -> tuple[ArchiveView, ...]:
        """Return all archives with the states that they had, the oldest first."""
        return self._shelter.read(queries.read_archives, self._core)

    def tool_output(
        self,
        message_id: str,
        tool_id: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        occurrence: int = 0,
    ) -> ToolOutput:
        """Return a tool's output as it was known then. See `Session.tool_output`."""
        return self._shelter.read(
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
        """Return where a text occurs in a tool's output. See `Session.search_tool_output`."""
        return self._shelter.read(
            queries.search_tool_output,
            self._core,
            message_id,
            tool_id,
            text,
            limit=limit,
            context=context,
            occurrence=occurrence,
        )

    # ---- and what only a moment has -----------------------------------------------------------

    def turns(self) -> tuple[TurnView, ...]:
        """Return the turns of that moment. See `Session.turns`."""
        return self._shelter.read(queries.read_turns, self._core)

    def tasks(self) -> tuple[TaskView, ...]:
        """Return all tasks of the session with the states that they had, by id."""
        return self._shelter.read(_read_tasks, self._core)

    @property
    def given(self) -> tuple[GivenContext, ...]:
        """The contexts that were recorded as handed over until then, the newest last.

        `Session.context` records them with ``record=True``.
        """
        return self._shelter.read(contexts_given, self._past, self._version)

    def project(self, projection: Projection[Any, View]) -> View:
        """Fold the session up to this moment through any projection, and return its view."""
        check_projection(projection)
        records = self._past.records(0, self._version) if self._version else iter(())
        return projection.view(projection.fold(projection.initial(), records))

    def values(self) -> Mapping[str, Any]:
        """Return what paths lead to: ``version``, ``status``, ``meta``, ``tail``, ``archives``,
        ``tasks``, ``turns``, ``runs``, ``overview`` and ``findings``, as plain values."""
        if self._picture is None:
            fold = Pictures(self._past.session)
            self._picture = self._shelter.read(self.project, fold)
        return values_of(self._picture)

    @contextmanager
    def seen_as(self, picture: Picture) -> Generator[Moment]:
        """Show the values of a picture that was folded already, for as long as it is not folded further."""
        self._picture = picture
        try:
            yield self
        finally:
            self._picture = None

    def value(self, path: str) -> Any:
        """Return the value at a path, such as ``archives[archive_001].state``; None where there
        is nothing.

        Raises `InvalidArgument` for a path that can lead to nothing.
        """
        names = parse_path(path)
        if names[0] not in ROOTS:
            raise InvalidArgument(MISSING_ROOT.format(names[0], ", ".join(ROOTS)))
        found: Any
        if self._picture is None and names[0] in META_ALONE:
            found = values_of(Picture(self._core.state))  # No message has to be read for it.
        else:
            found = self.values()
        for name in names:
            found = child(found, name)
        return found

    def __repr__(self) -> str:
        return f"<Moment {self.id!r}@{self.version}>"


def _read_tasks(core: Core) -> tuple[TaskView, ...]:
    found = core.store.scan(*keys_under(TASKS))
    tasks = {task.task_id: task for task in (read_task(value) for _, value in found)}
    return tuple(task_view(task, tasks.get) for _, task in sorted(tasks.items()))


def core_of(moment: Moment) -> Core:
    """Return the core that a moment is read with, for the library's own tools."""
    return moment._core  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
