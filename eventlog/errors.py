"""Every error the library raises, in four kinds that a caller can act on.

========== ============================================== =========================
kind       what happened                                  what to do
========== ============================================== =========================
conflict   somebody was first                             reload and decide again
invalid    the call asks for what cannot be               mend the call
corrupt    stored bytes are not what was written          stop, look, restore
unavail.   the store cannot answer now                    try again later
========== ============================================== =========================

The attributes carry the data; the text says what happened, where, and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.positions import Position

__all__ = [
    "ArchiveNotFound",
    "ChainBroken",
    "CommitBlocked",
    "ConflictError",
    "CorruptError",
    "CorruptFolder",
    "CorruptLog",
    "DuplicateEvent",
    "EventLogError",
    "FolderLocked",
    "FolderUnavailable",
    "HistoryConflict",
    "IllegalTransition",
    "Indeterminate",
    "InvalidArgument",
    "InvalidError",
    "InvalidMessage",
    "LeaseLost",
    "LogClosed",
    "NonRetryableError",
    "RetryableError",
    "SessionClosed",
    "SessionNotFound",
    "StoreUnavailable",
    "TaskNotFound",
    "TooLarge",
    "ToolOutputNotFound",
    "UnavailableError",
    "UnknownEventType",
    "UnsupportedStore",
    "VersionConflict",
]


class EventLogError(Exception):
    """The root of all errors of this library."""


class ConflictError(EventLogError):
    """Somebody was first: what the caller knew is out of date."""


class InvalidError(EventLogError):
    """The call asks for something that cannot be; nothing was changed by it."""


class CorruptError(EventLogError):
    """Stored bytes are not what was once written."""


class _WithoutSecrets(EventLogError):
    """An error that may say what a driver, a server or the system said: shown without secrets."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class UnavailableError(_WithoutSecrets):
    """The store cannot answer now; the same call may succeed later."""


class _OfStream:
    """What is said of one stream: that of a session, so both words name it."""

    stream: str

    @property
    def session_id(self) -> str:
        """The session that the stream is of."""
        return self.stream


# ---- conflict ---------------------------------------------------------------------------------


class VersionConflict(ConflictError, _OfStream):
    """The stream is not at the version that the caller expected."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"session {stream!r} is at version {actual}, expected {expected}; "
            "reload and decide again"
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class DuplicateEvent(ConflictError, _OfStream):
    """An event id (or the idempotency key behind it) is already stored with other content."""

    def __init__(self, stream: str, detail: str) -> None:
        super().__init__(f"session {stream!r}: {detail}")
        self.stream = stream


class LeaseLost(ConflictError):
    """A worker no longer owns the task that it works on; its result is refused (fencing)."""

    def __init__(self, task_id: str, fence: int, detail: str) -> None:
        super().__init__(
            f"task {task_id}: the lease with fence {fence} is lost ({detail}); "
            "drop the result, another attempt owns the task"
        )
        self.task_id = task_id
        self.fence = fence


class CommitBlocked(ConflictError):
    """An earlier archive failed for good, and the session's policy is to wait for it."""

    def __init__(self, session_id: str, archive_id: str, attempts: int, last_error: str) -> None:
        super().__init__(
            f"session {session_id!r}: {archive_id} failed after {attempts} attempts ({last_error}); "
            f"`eventlog retry {session_id} {archive_id}` or abandon it, then commit again"
        )
        self.session_id = session_id
        self.archive_id = archive_id
        self.attempts = attempts
        self.last_error = last_error


class FolderLocked(ConflictError):
    """Another process owns the session folder and alone writes it."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"folder {path}: another process owns it and keeps it up to date; call this there, or "
            "stop that process first"
        )
        self.path = path


class HistoryConflict(ConflictError, _OfStream):
    """Two logs hold different records of one session at one version."""

    def __init__(self, stream: str, version: int, detail: str) -> None:
        super().__init__(f"session {stream!r}, version {version}: {detail}")
        self.stream = stream
        self.version = version


# ---- invalid ----------------------------------------------------------------------------------


class InvalidArgument(InvalidError, ValueError):
    """An argument has a value outside of what the call accepts."""


class InvalidMessage(InvalidError, ValueError):
    """Something handed over as a message is not one.

    ``field`` is the path of the first offending field, ``line`` the 1-based line of the imported
    file where there is one, ``index`` the 0-based place in a batch.
    """

    def __init__(
        self,
        reason: str,
        *,
        field: str | None = None,
        line: int | None = None,
        index: int | None = None,
    ) -> None:
        places = [
            f"line {line}" if line is not None else None,
            f"message {index}" if index is not None else None,
            f"field {field!r}" if field is not None else None,
        ]
        where = ", ".join(place for place in places if place)
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason = reason
        self.field = field
        self.line = line
        self.index = index


class IllegalTransition(InvalidError):
    """The state machine has no such transition from the state it is in."""

    def __init__(self, subject: str, state: str, event: str) -> None:
        super().__init__(f"{subject} is {state!r}; {event!r} is not possible from there")
        self.subject = subject
        self.state = state
        self.event = event


class SessionNotFound(InvalidError, LookupError):
    """No session has this id."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"no session {session_id!r}; create it with create=True, or check the id")
        self.session_id = session_id


class ArchiveNotFound(InvalidError, LookupError):
    """The session has no such archive."""

    def __init__(self, session_id: str, archive_id: str, archives: int | None) -> None:
        if archives is None:
            known = "archives are named archive_001, archive_002 and so on, tasks by their ids"
        elif archives:
            known = f"it has archive_001 to archive_{archives:03d}"
        else:
            known = "it has none yet"
        super().__init__(f"session {session_id!r} has no archive {archive_id!r}; {known}")
        self.session_id = session_id
        self.archive_id = archive_id


class TaskNotFound(InvalidError, LookupError):
    """No task has this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"no task {task_id!r}; `eventlog tasks` lists the known ones")
        self.task_id = task_id


class ToolOutputNotFound(InvalidError, LookupError):
    """The session has no such tool output, or not the whole of it."""

    def __init__(self, session_id: str, message_id: str, tool_id: str, reason: str) -> None:
        super().__init__(
            f"session {session_id!r}: no output of call {tool_id!r} in message {message_id!r} can be "
            f"read; {reason}"
        )
        self.session_id = session_id
        self.message_id = message_id
        self.tool_id = tool_id


class SessionClosed(InvalidError):
    """The session was closed or deleted, or is still being adopted; it takes no writes."""

    def __init__(self, session_id: str, how: str) -> None:
        if how == "adopting":
            remedy = "`eventlog import` its folder once more to go on where the adoption stopped"
        else:
            remedy = "start a new session under another id"
        super().__init__(f"session {session_id!r} is {how}; {remedy}")
        self.session_id = session_id
        self.how = how


class LogClosed(InvalidError):
    """The log was closed; no further call can be served by it."""

    def __init__(self) -> None:
        super().__init__("this log is closed; open it again")


class UnsupportedStore(InvalidError, _WithoutSecrets):
    """No store serves this URL, or the file behind it is not one of ours."""


class TooLarge(InvalidError, _OfStream):
    """One append is larger than the store accepts; nothing of it was stored."""

    def __init__(
        self, stream: str, what: str, size: int, limit: int, advice: str | None = None
    ) -> None:
        text = f"session {stream!r}: {what} is {size:,}, the limit is {limit:,}"
        super().__init__(f"{text}; {advice}" if advice else text)
        self.stream = stream
        self.size = size
        self.limit = limit


# ---- corrupt ----------------------------------------------------------------------------------


class CorruptLog(CorruptError):
    """The store holds bytes that no eventlog wrote, or lost some that it did.

    ``stream`` and ``version`` name the first record that is concerned, where that is known, and
    ``position`` the last place of the log that is: behind it more can be read.
    """

    def __init__(
        self,
        detail: str,
        *,
        stream: str | None = None,
        version: int | None = None,
        position: Position | None = None,
    ) -> None:
        super().__init__(detail)
        self.stream = stream
        self.version = version
        self.position = position

    @property
    def session_id(self) -> str | None:
        """The session that the stream is of, where that is known."""
        return self.stream


class UnknownEventType(CorruptError):
    """A record's type or schema is not known here: a newer library, or a missing import."""

    def __init__(self, type: str, schema: int, detail: str) -> None:
        super().__init__(f"event type {type!r} with schema {schema}: {detail}")
        self.type = type
        self.schema = schema


class ChainBroken(CorruptError, _OfStream):
    """The hash chain of a stream does not verify."""

    def __init__(self, stream: str, version: int, detail: str) -> None:
        super().__init__(f"session {stream!r}, version {version}: {detail}")
        self.stream = stream
        self.version = version


class CorruptFolder(CorruptError):
    """A session folder holds what cannot be read as one."""


# ---- unavailable ------------------------------------------------------------------------------


class StoreUnavailable(UnavailableError):
    """The store cannot be reached, is locked, or has no room; nothing was stored."""


_HEAL = (
    "nothing is lost, for the log has everything: mend that, and `eventlog heal` writes the files "
    "again"
)


class FolderUnavailable(UnavailableError):
    """A session folder cannot be read or written; nothing is lost by that."""

    def __init__(self, path: str, problem: str, remedy: str = _HEAL) -> None:
        super().__init__(f"folder {path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem


class Indeterminate(UnavailableError):
    """The outcome of an append is unknown: stored entirely, or not at all.

    Repeating the command is safe: it looks its event ids up before it decides again.
    """

    def __init__(self, detail: str, event_ids: Sequence[bytes] = ()) -> None:
        super().__init__(f"{detail}; the outcome is unknown, repeat the call: it is idempotent")
        self.event_ids = tuple(event_ids)


# ---- raised by users' callables, read by the worker -------------------------------------------


class NonRetryableError(Exception):
    """Raise it from any callable of a finalizer: the task fails for good at once (F4)."""


class RetryableError(Exception):
    """Raise it from any callable of a finalizer: the attempt is worth repeating (F4).

    ``retry_after`` is for how many seconds it is not worth it yet.
    """

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after
