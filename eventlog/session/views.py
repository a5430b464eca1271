"""The views of a session's state that readers get: plain values, for both faces the same."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.clock import format_time
from eventlog.session.commit import archive_id, archive_uri
from eventlog.session.machine import SessionStatus
from eventlog.session.messages import Message
from eventlog.session.tasks.machine import POLLER_VIEW, PollerState, TaskState
from eventlog.session.tasks.state import add_usage
from eventlog.session.turns.machine import TurnState
from eventlog.session.turns.state import owner_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventlog.session.archive import Archive
    from eventlog.session.state import SessionState
    from eventlog.session.tasks.state import Task
    from eventlog.session.turns.state import Turn

__all__ = [
    "META_FIELDS",
    "TOKEN_KINDS",
    "ArchiveView",
    "ArchivedMessages",
    "SessionMeta",
    "StoredMessage",
    "TaskView",
    "TurnView",
    "session_meta",
    "turn_view",
]

TOKEN_KINDS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
)


class SessionMeta(NamedTuple):
    """The metadata of a session, as in ``.meta.json``. Times are ISO 8601 text, or empty.

    ``message_count`` counts the live messages, ``total_message_count`` all that were not withdrawn,
    and ``withdrawn_count`` those that were.
    ``pending_tokens`` are the tokens of the live messages except the newest ``keep_recent_count``.
    ``blocked_by`` is the archive that failed for good and that commits wait for, or None; it is not
    in the file.
    """

    session_id: str
    created_at: str
    updated_at: str
    message_count: int
    total_message_count: int
    commit_count: int
    memories_extracted: dict[str, int]
    last_commit_at: str
    last_message_at: str
    llm_token_usage: dict[str, int]
    embedding_token_usage: dict[str, int]
    pending_tokens: int
    keep_recent_count: int
    owner: str | None
    project: str | None
    workspace: str | None
    provider: str | None
    model: str | None
    status: SessionStatus
    blocked_by: str | None = None
    withdrawn_count: int = 0


class StoredMessage(NamedTuple):
    """A message with the results so far, and the version of the session at which it is stored."""

    message: Message
    version: int


class TurnView(NamedTuple):
    """A turn as readers see it. Times are ISO 8601 text, or empty.

    ``owner`` names the process that has an open turn, and ``lease_until`` says for how long.
    ``steps`` are those that are finished; ``error`` says why it did not complete. ``result`` is that
    of a completed turn that was asked for by its id; a list leaves it out.
    """

    turn_id: str
    state: TurnState
    attempt: int
    begun_at: str
    lease_until: str
    ended_at: str
    owner: str | None
    steps: tuple[str, ...]
    error: str | None
    result: Any = None


@lru_cache(maxsize=64)  # At most one of the times in the metadata changes with a message.
def _time(microseconds: int) -> str:
    return format_time(microseconds) if microseconds else ""


def _with_total(memories: Mapping[str, int]) -> dict[str, int]:
    """Return the counts with their sum as ``total``, in place of one that an extractor gave."""
    counts = {category: count for category, count in memories.items() if category != "total"}
    return {**counts, "total": sum(counts.values())}


def _blocked_by(state: SessionState) -> str | None:
    failed = state.blocking_failure()
    return None if failed is None or failed.archive is None else archive_id(failed.archive)


META_FIELDS: Final[dict[str, Callable[[SessionState], Any]]] = {
    "session_id": lambda state: state.session_id,
    "created_at": lambda state: _time(state.created_at),
    "updated_at": lambda state: _time(state.updated_at),
    "message_count": lambda state: state.window.count,
    "total_message_count": lambda state: state.total_message_count,
    "commit_count": lambda state: state.commit_count,
    "memories_extracted": lambda state: _with_total(state.memories),
    "last_commit_at": lambda state: _time(state.last_commit_at),
    "last_message_at": lambda state: _time(state.last_message_at),
    "llm_token_usage": lambda state: _token_usage(dict(state.usage)),
    "embedding_token_usage": lambda state: {
        "total_tokens": dict(state.usage).get("embedding_tokens", 0)
    },
    "pending_tokens": lambda state: state.window.tokens_before(state.keep_recent),
    "keep_recent_count": lambda state: state.keep_recent,
    "owner": lambda state: state.owner,
    "project": lambda state: state.project,
    "workspace": lambda state: state.workspace,
    "provider": lambda state: state.provider,
    "model": lambda state: state.model,
    "status": lambda state: state.status,
    "blocked_by": _blocked_by,
    "withdrawn_count": lambda state: state.withdrawn_count,
}
"""What each field of `SessionMeta` is of a state."""


def _token_usage(usage: dict[str, Any]) -> dict[str, int]:
    return {kind: usage.get(kind, 0) for kind in TOKEN_KINDS}


def session_meta(state: SessionState) -> SessionMeta:
    """Return the metadata of a session, from its state."""
    return SessionMeta(*(value(state) for value in META_FIELDS.values()))


class TaskView(NamedTuple):
    """A task as readers see it. Times are ISO 8601 text, or empty.

    ``state`` is the state of the machine; ``status`` is the same in four words: ``pending``,
    ``running``, ``completed`` or ``failed``. ``claimed_at`` is when the latest attempt began.
    ``steps`` are those that are completed; ``stage`` is the latest of them, or empty. ``result`` is
    the task's result; for an archive, with the results of its follow-ups so far. A retry begins a
    new ``generation`` of attempts.
    """

    task_id: str
    session_id: str
    kind: str
    state: TaskState
    status: PollerState
    archive_id: str | None
    archive_uri: str | None
    attempts: int
    generation: int
    worker: str | None
    created_at: str
    updated_at: str
    due_at: str
    claimed_at: str
    finished_at: str
    stage: str
    steps: tuple[str, ...]
    error: str | None
    result: Any


def task_view(task: Task, find: Callable[[str], Task | None]) -> TaskView:
    """Return the view of a task; ``find`` looks its follow-ups up."""
    state = _made(task)
    return TaskView(
        task_id=task.task_id,
        session_id=task.session_id,
        kind=task.kind,
        state=state,
        status=POLLER_VIEW[state],
        archive_id=None if task.archive is None else archive_id(task.archive),
        archive_uri=None if task.archive is None else archive_uri(task.session_id, task.archive),
        attempts=task.attempts,
        generation=task.generation,
        worker=task.worker,
        created_at=_time(task.created_at),
        updated_at=_time(task.updated_at),
        due_at=_time(task.due_at),
        claimed_at=_time(task.claimed_at),
        finished_at=_time(task.finished_at),
        stage=next(reversed(task.steps), ""),
        steps=tuple(task.steps),
        error=task.error,
        result=_archive_result(task, find) if task.ordered and task.result else task.result,
    )


def _made(task: Task) -> TaskState:
    """Return the state of a task, which is never `ABSENT` for one that is shown."""
    return cast("TaskState", task.state)


def _archive_result(task: Task, find: Callable[[str], Task | None]) -> dict[str, Any]:
    """Return the result of an archive: that of its task with those of its follow-ups (F10).

    ``token_usage`` is what the archive cost; ``session_token_usage`` what all tasks of the session
    cost up to its completion, and its follow-ups since.
    """
    index = task.archive or 0
    result: dict[str, Any] = {
        "session_id": task.session_id,
        "archive_id": archive_id(index),
        "archive_uri": archive_uri(task.session_id, index),
        **task.result,
        "memories_extracted": {},
        "session_skills_extracted": 0,
        "session_skill_uris": [],
        "active_count_updated": False,
    }
    for follow_up in task.result["follow_ups"]:
        found = find(follow_up["task_id"])
        if found is None:
            continue
        for usage in ("token_usage", "session_token_usage"):
            result[usage] = add_usage(result[usage], found.usage)
        own = cast("dict[str, Any] | None", found.result)
        if found.state == "completed" and isinstance(own, dict):
            result.update((name, own[name]) for name in own if name in result)
    return result


def turn_view(turn: Turn) -> TurnView:
    """Return the view of a turn."""
    is_open, owner = turn.state == "open", turn.owner
    return TurnView(
        turn_id=turn.turn_id,
        state=cast("TurnState", turn.state),
        attempt=turn.attempt,
        begun_at=_time(turn.begun_at),
        lease_until=_time(turn.lease_until) if is_open else "",
        ended_at=_time(turn.ended_at),
        owner=owner_name(owner) if is_open and owner else None,
        steps=tuple(turn.steps),
        error=turn.error,
    )


class ArchiveView(NamedTuple):
    """An archive in a list: its state and figures, without its messages."""

    archive_id: str
    archive_uri: str
    number: int
    task_id: str
    state: TaskState
    attempts: int
    error: str | None
    message_count: int
    tokens: int
    created_at: str


def archive_view(session: str, archive: Archive, task: Task) -> ArchiveView:
    """Return the entry of an archive in a list."""
    return ArchiveView(
        archive_id=archive_id(archive.index),
        archive_uri=archive_uri(session, archive.index),
        number=archive.index,
        task_id=archive.task_id,
        state=_made(task),
        attempts=task.attempts,
        error=task.error,
        message_count=archive.message_count,
        tokens=archive.tokens,
        created_at=_time(archive.prepared_at),
    )


class ArchivedMessages(NamedTuple):
    """The summaries and the messages of a completed archive."""

    archive_id: str
    abstract: str
    overview: str
    messages: tuple[Message, ...]
