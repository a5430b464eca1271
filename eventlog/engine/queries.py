"""The queries of a session, written once for both faces. They do I/O but never write."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from eventlog.argument_checks import check_count
from eventlog.engine.large_output import CallName, find_in_output, hydrated, read_output
from eventlog.engine.reader import read_entry
from eventlog.error_text import shown
from eventlog.errors import (
    ArchiveNotFound,
    CorruptError,
    CorruptLog,
    InvalidArgument,
    InvalidMessage,
    MessageWithdrawn,
    TaskNotFound,
)
from eventlog.event_values import Value
from eventlog.session.commit import archive_id, archive_index
from eventlog.session.context import (
    Context,
    SearchContext,
    assemble,
    fills,
    last_whole,
    paired,
    truncated,
    unique,
    weighed_anew,
)
from eventlog.session.context_digest import context_digest
from eventlog.session.forensic_events import ContextGiven
from eventlog.session.given import RecordGiven
from eventlog.session.index import (
    archive_key,
    archive_prefix,
    keys_under,
    read_archive,
    read_task,
    read_turn,
    task_key,
    turn_prefix,
)
from eventlog.session.recent import Findings, FirstQuestion, Recent
from eventlog.session.tasks.events import ArchiveFinalized
from eventlog.session.version_ranges import ascending, joined, without
from eventlog.session.views import ArchivedMessages, ArchiveView, TurnView, archive_view, turn_view
from eventlog.session.views import StoredMessage as StoredMessageView
from eventlog.storable import check_text

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.session.archive import Archive
    from eventlog.session.messages import Message
    from eventlog.session.reading import StoredMessage
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.state import Task
    from eventlog.session.tokens import TokenEstimator
    from eventlog.session.tool_output import OutputMatch, ToolOutput
    from eventlog.session.turns.state import Turn
    from eventlog.session.withdrawals.events import MessagesWithdrawn
    from eventlog.store import Store

__all__ = [
    "find_archive",
    "find_task",
    "known_task",
    "latest_overview",
    "read_archived",
    "read_archives",
    "read_context",
    "read_context_to_record",
    "read_history",
    "read_message",
    "read_search_context",
    "read_tail",
    "read_tool_output",
    "read_truncated",
    "read_turns",
    "read_value",
    "read_withdrawn",
    "search_tool_output",
]


def read_tail(core: Core, last: int | None = None) -> tuple[Message, ...]:
    """Return the live messages in order, or the ``last`` of them with the calls they answer."""
    if last is not None:
        check_count("last", last, "messages")
    if last == 0:
        return ()
    core.refresh()
    state = core.state_to_read()
    unfinished = _unfinished(core, state) if state.streams else []
    if last is None:
        return (*core.reader.shown(state.window.ranges(state.version)), *unfinished)
    if len(unfinished) >= last:
        return tuple(unfinished[-last:])
    recent = _recent_live(core, state)
    finished = last - len(unfinished)
    recent.read_messages(finished)
    found = last_whole(recent.entries(), finished)
    return (*(entry.message for entry in found), *unfinished)


def _unfinished(core: Core, state: SessionState) -> list[Message]:
    """Return the messages that are being written; they come last, since they are not recorded."""
    from eventlog.engine.streams.reading import read_streaming  # Seldom needed.

    return read_streaming(core, state)


def _recent_live(core: Core, state: SessionState) -> Recent:
    window = state.window
    return Recent(core.reader, window.ranges(state.version), window, core.found_live)


def read_truncated(core: Core, *, keep_first_user: bool, recent: int) -> tuple[Message, ...]:
    """Return the first live user message and the last ``recent`` ones, tool pairs whole (X6)."""
    check_count("recent", recent, "messages")
    core.refresh()
    state = core.state_to_read()
    messages = _last_paired(_recent_live(core, state), recent)
    if keep_first_user:
        ranges = state.window.ranges(state.version)
        question = FirstQuestion(core.reader, ranges, core.found_live).found()
        messages = _behind(next(iter(question), None), messages)
    found = truncated(messages, keep_first_user=keep_first_user, recent=recent)
    return tuple(entry.message for entry in found)


def read_history(core: Core, *, hydrate: bool, withdrawn: bool = False) -> tuple[Message, ...]:
    """Return every message ever recorded, in order, whatever the state of its archive (X7)."""
    core.refresh()
    reader = core.reader
    whole = reader.whole_range() if withdrawn else reader.shown_ranges()
    if not hydrate:
        return tuple(reader.shown(whole))
    return tuple(entry.message for entry in hydrated(reader, reader.messages(whole)))


def read_message(core: Core, message_id: str) -> StoredMessageView:
    """Return the newest message with an id, live or archived."""
    message_id = check_text("message_id", message_id)
    core.refresh()
    recorded = core.reader.message(message_id)
    if recorded is None:
        raise InvalidMessage(
            f"session {core.session!r} has no message {message_id!r}", field="message_id"
        )
    at = core.reader.withdrawal_of(recorded.version)
    if at:
        raise MessageWithdrawn(core.session, message_id, recorded.version, at)
    (stored,) = core.reader.messages([(recorded.version, recorded.version)])
    return StoredMessageView(stored.message, stored.version)


def read_turns(core: Core, turn_id: str | None = None) -> tuple[TurnView, ...]:
    """Return the turns of the session that ended, by id, and the open one; or the one with an id."""
    turn = core.refresh().turn
    if turn_id is not None:
        return _read_turn(core, turn, check_text("turn_id", turn_id))
    ended = [
        read_turn(value) for _, value in core.store.scan(*keys_under(turn_prefix(core.session)))
    ]
    others = [each for each in ended if turn is None or each.turn_id != turn.turn_id]
    return tuple(turn_view(each) for each in [*others, *([] if turn is None else [turn])])


def _read_turn(core: Core, turn: Turn | None, turn_id: str) -> tuple[TurnView, ...]:
    """Return one turn, with its result if it was completed; nothing if there is none."""
    found = turn if turn is not None and turn.turn_id == turn_id else core.reader.turn(turn_id)
    if found is None:
        return ()
    recorded = core.reader.record(found.ended) if found.state == "completed" else None
    result = getattr(recorded.event, "result", None) if recorded is not None else None
    return (turn_view(found)._replace(result=result),)


def read_withdrawn(core: Core, version: int) -> tuple[Message, ...]:
    """Return the messages that the event at a version withdrew, as they were before it."""
    recorded = core.reader.record(version) if version else None
    if recorded is None:
        return ()
    event = cast("MessagesWithdrawn", recorded.event)
    ranges = without(event.ranges, event.moved)
    found = core.reader.messages(ranges, as_of=version - 1)
    return tuple(entry.message for entry in found)


def read_context(core: Core, estimate: TokenEstimator, token_budget: int) -> Context:
    """Return the latest overview and the messages that it does not cover (X1)."""
    return _context(core, estimate, token_budget)[0]


def read_context_to_record(
    core: Core, estimate: TokenEstimator, token_budget: int
) -> tuple[Context, RecordGiven]:
    """Return a context, and the command that records that it was handed over (A3)."""
    context, state, messages = _context(core, estimate, token_budget)
    versions = {entry.data["id"]: entry.version for entry in unique(messages)}
    shows_latest = bool(context.latest_archive_overview) and not context.stats.unreadable_overviews
    overview = state.overview if shows_latest else None
    given = ContextGiven(
        as_of=state.version,
        ranges=joined(versions[message.id] for message in context.messages),
        overview_archive=None if overview is None else overview.archive,
        overview_version=None if overview is None else overview.version,
        token_budget=token_budget,
        estimated_tokens=context.estimated_tokens,
        total=context.stats.total,
        included=context.stats.included,
        dropped=context.stats.dropped,
        estimator=getattr(estimate, "__qualname__", type(estimate).__qualname__),
        digest=context_digest(context.latest_archive_overview, context.messages),
    )
    return context, RecordGiven(given)


def _context(
    core: Core, estimate: TokenEstimator, token_budget: int
) -> tuple[Context, SessionState, list[StoredMessage]]:
    """Return a context, the state that it is of, and the messages that it was chosen from."""
    check_count("token_budget", token_budget, "tokens")
    core.refresh()
    shown = _Shown(core, core.state_to_read())
    messages = _within_budget(shown, estimate, token_budget)
    context = assemble(
        shown.overview,
        estimate(shown.overview),
        messages,
        token_budget=token_budget,
        total=shown.count,
        failed_archives=len(shown.state.failed),
        unreadable_overviews=shown.unreadable,
    )
    return context, shown.state, messages


class _Shown:
    """What a model is shown of a state: the latest overview, and the messages beside it."""

    def __init__(self, core: Core, state: SessionState) -> None:
        self.state = state
        self.overview, self.unreadable, uncovered = latest_overview(core, state)
        archives = [archive.takes for archive in uncovered]
        spans = [span for takes in archives for span in takes]
        self.ranges = ascending([*spans, *state.window.ranges(state.version)])
        self.count = state.window.count + sum(archive.message_count for archive in uncovered)
        # Where an overview is unreadable, messages are shown again that were not before.
        findings = Findings() if self.unreadable else core.found_shown
        self.recent = Recent(core.reader, self.ranges, state.window, findings, archives)
        self.questions = FirstQuestion(core.reader, self.ranges, findings)


def _within_budget(
    shown: _Shown, estimate: TokenEstimator, token_budget: int
) -> list[StoredMessage]:
    """Read the newest messages until they pass the budget, and the first question of the user."""
    recent = shown.recent
    while not recent.is_whole and recent.tokens <= token_budget:
        recent.read_more()
    recent.settle()
    messages = weighed_anew(recent.entries(), estimate)
    if recent.is_whole:
        return messages
    question = next(iter(weighed_anew(shown.questions.found(), estimate)), None)
    while not recent.is_whole and not fills(messages, token_budget, question):
        recent.read_more()
        recent.settle()
        messages = weighed_anew(recent.entries(), estimate)
    return _behind(question, messages)


def _behind(question: StoredMessage | None, messages: list[StoredMessage]) -> list[StoredMessage]:
    if question is None or (messages and messages[0].version <= question.version):
        return messages
    return [question, *messages]


def _last_paired(recent: Recent, last: int) -> list[StoredMessage]:
    """Read the messages among which the ``last`` are that a model is given, pairs whole."""
    recent.read_messages(last)
    while not recent.is_whole and len(paired(unique(recent.entries()))) < last:
        recent.read_more()
        recent.settle()
    return recent.entries()


def read_search_context(core: Core, query: str, max_messages: int) -> SearchContext:
    """Return what a memory search needs to understand a query, with whole tool pairs (X5)."""
    check_count("max_messages", max_messages, "messages")
    core.refresh()
    shown = _Shown(core, core.state_to_read())
    messages = _last_paired(shown.recent, max_messages)
    recent = last_whole(paired(unique(messages)), max_messages)
    return SearchContext(query, shown.overview, tuple(entry.message for entry in recent))


def latest_overview(core: Core, state: SessionState) -> tuple[str, int, list[Archive]]:
    """Return the newest readable overview, the number of unreadable ones that were skipped, and the
    archives that it does not cover (X3)."""
    uncovered = state.uncovered()
    if state.overview is None:
        return "", 0, uncovered
    text = _overview_text(core, state.overview.version)
    if text is not None:
        return text, 0, uncovered
    unreadable = 1
    archives = list(_stored_archives(core.store, core.session))
    bare: set[int] = {
        index
        for archive in archives
        if archive.index == state.overview.archive
        for index in archive.covers
    }
    text = ""
    for archive in reversed(archives):
        if archive.finalized is None or archive.index >= state.overview.archive:
            continue
        if archive.index <= state.cleared:
            continue
        older = _overview_text(core, archive.finalized)
        if older is not None:
            text = older
            break
        unreadable += 1
        bare.update(archive.covers)
    known = {archive.index for archive in uncovered}
    again = [archive for archive in archives if archive.index in bare - known]
    return text, unreadable, sorted([*uncovered, *again], key=lambda archive: archive.index)


def _overview_text(core: Core, version: int) -> str | None:
    try:
        recorded = core.reader.record(version)
        if recorded is None or not isinstance(recorded.event, ArchiveFinalized):
            return None
    except CorruptError:
        return None
    return recorded.event.overview or None


def read_tool_output(
    core: Core, message_id: str, tool_id: str, offset: int, limit: int | None, occurrence: int = 0
) -> ToolOutput:
    """Return a piece of a tool's output, wherever it is stored (M6)."""
    check_count("offset", offset, "characters")
    if limit is not None:
        check_count("limit", limit, "characters")
    return read_output(core.reader, _checked_name(message_id, tool_id, occurrence), offset, limit)


def search_tool_output(
    core: Core,
    message_id: str,
    tool_id: str,
    text: str,
    *,
    limit: int,
    context: int,
    occurrence: int = 0,
) -> tuple[OutputMatch, ...]:
    """Return the places where a text occurs in a tool's output (M6)."""
    call = _checked_name(message_id, tool_id, occurrence)
    if not check_text("text", text):
        raise InvalidArgument("text is empty; give at least one character to look for")
    check_count("limit", limit, "places")
    check_count("context", context, "characters")
    return find_in_output(core.reader, call, text, limit=limit, context=context)


def read_value(core: Core, value: Value | str) -> bytes:
    """Return the bytes of a value beside the log, by the value or its digest (L11)."""
    if isinstance(value, str):
        value = Value.named(value, 0)
    if not isinstance(value, Value):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"{shown(value)} is not a Value; give one, or its SHA-256")
    return core.reader.value(value.sha256) if value.data is None else value.data


def _checked_name(message_id: str, tool_id: str, occurrence: int) -> CallName:
    check_count("occurrence", occurrence, "calls")
    return CallName(
        check_text("message_id", message_id), check_text("tool_id", tool_id), occurrence
    )


def read_archives(core: Core) -> tuple[ArchiveView, ...]:
    """Return all archives of the session with their states, oldest first."""
    core.refresh()
    return tuple(
        archive_view(core.session, archive, _task_of(core.store, archive))
        for archive in _stored_archives(core.store, core.session)
    )


def read_archived(core: Core, archive: str, *, hydrate: bool = False) -> ArchivedMessages:
    """Return the summaries and messages of a completed archive (X7)."""
    core.refresh()
    found = find_archive(core, archive)
    recorded = None if found.finalized is None else core.reader.record(found.finalized)
    if recorded is None:
        state = _task_of(core.store, found).state
        raise InvalidArgument(
            f"{archive} of session {core.session!r} is {state!r}, so it has no overview yet; "
            "run a worker, or read history()"
        )
    event = recorded.event
    if not isinstance(event, ArchiveFinalized):
        raise CorruptLog(
            f"session {core.session!r}, version {recorded.version}: this is not the end of {archive}, "
            "as the index says; run `eventlog doctor --rebuild-index`"
        )
    return ArchivedMessages(
        archive_id=archive_id(found.index),
        abstract=event.abstract,
        overview=event.overview,
        messages=archived_messages(core, found, hydrate=hydrate),
    )


def archived_messages(
    core: Core, archive: Archive, *, hydrate: bool = False, previews_will_do: bool = False
) -> tuple[Message, ...]:
    """Return the messages that an archive took, with the results known so far."""
    if not hydrate:
        return tuple(core.reader.shown(archive.takes))
    found = core.reader.messages(archive.takes)
    found = hydrated(core.reader, found, previews_will_do=previews_will_do)
    return tuple(entry.message for entry in found)


def find_archive(core: Core, archive: str) -> Archive:
    """Return an archive by its id; raise `ArchiveNotFound`."""
    index = archive_index(check_text("archive_id", archive))
    if index is not None:
        value = read_entry(core.store, archive_key(core.session, index))
        if value is not None:
            return read_archive(value)
    raise ArchiveNotFound(core.session, archive, core.state.commit_count)


def find_task(store: Store, task_id: str) -> Task | None:
    """Return a task by its id, as its last record left it (L14)."""
    value = read_entry(store, task_key(task_id))
    return None if value is None else read_task(value)


def known_task(store: Store, task_id: str) -> Task:
    """Return a task by its id; raise `TaskNotFound`."""
    task = find_task(store, check_text("task_id", task_id))
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _stored_archives(store: Store, session: str) -> list[Archive]:
    prefix = archive_prefix(session)
    return [read_archive(value) for _, value in store.scan(*keys_under(prefix))]


def _task_of(store: Store, archive: Archive) -> Task:
    task = find_task(store, archive.task_id)
    if task is None:
        raise CorruptError(
            f"the index has no task {archive.task_id}; run `eventlog doctor --rebuild-index`"
        )
    return task
