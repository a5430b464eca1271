"""The errors of the library, in four kinds that a caller can act on::

    EventLogError
    ├── ConflictError                 somebody was first: reload, and decide again
    │   ├── VersionConflict           the session is not at the expected version
    │   ├── DuplicateEvent            the id or the idempotency key is stored with other content
    │   ├── LeaseLost                 another attempt owns the task or the turn
    │   ├── CommitBlocked             an earlier archive failed for good
    │   ├── OwnerMismatch             the session is not the owner's
    │   ├── MessageWithdrawn          the message was taken out of the session
    │   ├── TurnOpen                  a turn of the session is open
    │   ├── TurnClosed                a commit took part of the turn: take a new id
    │   ├── FolderLocked              another process owns the session's folder
    │   └── HistoryConflict           two logs have different records of one session
    ├── InvalidError                  the call cannot succeed: correct it; nothing was changed
    │   ├── InvalidArgument           also a ValueError
    │   ├── InvalidMessage            also a ValueError
    │   ├── IllegalTransition         the state machine does not allow the event
    │   ├── SessionNotFound           also a LookupError, like the next three
    │   ├── ArchiveNotFound
    │   ├── TaskNotFound
    │   ├── ToolOutputNotFound
    │   ├── SessionClosed             closed, deleted, or still being adopted
    │   ├── LogClosed
    │   ├── UnsupportedStore          no store serves the URL, or the file is not a log
    │   ├── UnsupportedFeature        an optional package is not installed
    │   └── TooLarge                  an append is larger than the store accepts
    ├── CorruptError                  stored bytes are damaged: stop, inspect, restore
    │   ├── CorruptLog
    │   ├── UnknownEventType          written by a newer version, or by a module not imported
    │   ├── ChainBroken               the hash chain of a session does not verify
    │   └── CorruptFolder
    └── UnavailableError              the store or folder cannot answer now: try again later
        ├── StoreUnavailable          nothing was stored
        ├── FolderUnavailable         nothing is lost
        └── Indeterminate             the append is stored or not: repeat the call, it is safe

The attributes carry the data. The text says what happened, where, and what to do next.

Callables of a worker, and agents, may raise three more, which are not subclasses of `EventLogError`:
`NonRetryableError`, `RetryableError` and `ProviderGone`.
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
    "MessageWithdrawn",
    "NonRetryableError",
    "OwnerMismatch",
    "ProviderGone",
    "RetryableError",
    "SessionClosed",
    "SessionNotFound",
    "StoreUnavailable",
    "TaskNotFound",
    "TooLarge",
    "ToolOutputNotFound",
    "TurnClosed",
    "TurnOpen",
    "UnavailableError",
    "UnknownEventType",
    "UnsupportedFeature",
    "UnsupportedStore",
    "VersionConflict",
]


class EventLogError(Exception):
    """The base class of all errors that the library raises."""


class ConflictError(EventLogError):
    """Somebody was first: what the caller knows is out of date."""


class InvalidError(EventLogError):
    """The call cannot succeed as it is; nothing was changed."""


class CorruptError(EventLogError):
    """Stored bytes are not what was written."""


class _WithoutSecrets(EventLogError):
    """An error that may quote a driver, a server or the system; secrets in it are redacted."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class UnavailableError(_WithoutSecrets):
    """The store cannot answer now; the same call may succeed later."""


class _OfStream:
    """An error about one stream: that of a session, so it has both names."""

    stream: str

    @property
    def session_id(self) -> str:
        """The id of the session; the same as ``stream``."""
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
    """An event id, or the idempotency key behind it, is already stored with other content."""

    def __init__(self, stream: str, detail: str) -> None:
        super().__init__(f"session {stream!r}: {detail}")
        self.stream = stream


class LeaseLost(ConflictError):
    """A worker no longer owns its task, an attempt its turn, or a producer its message.

    ``task_id`` is the id of the task, the turn or the message, and ``of`` says which; ``fence`` is
    that of the claim, the number of the attempt at the turn, or the fence of the producer.
    """

    def __init__(self, task_id: str, fence: int, detail: str, *, of: str = "task") -> None:
        advice = (
            "stop writing it; what had arrived was recorded, begin another message"
            if of == "message"
            else f"drop the result, another attempt owns the {of}"
        )
        super().__init__(
            f"{of} {task_id}: the lease with fence {fence} is lost ({detail}); {advice}"
        )
        self.task_id = task_id
        self.of = of
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


class OwnerMismatch(ConflictError):
    """The session has another owner than the one that was named, or none.

    The error does not name the owner: the caller may be a stranger.
    """

    def __init__(self, session_id: str, owner: str) -> None:
        super().__init__(
            f"session {session_id!r} is not a session of owner {owner!r}; take another id, or "
            "open it as the owner it was created with"
        )
        self.session_id = session_id
        self.owner = owner


class MessageWithdrawn(ConflictError):
    """The message was taken out of the session: it gets no result, and cannot be appended again.

    ``version`` is that of the message, ``withdrawn_at`` that of the event that withdrew it.
    """

    def __init__(self, session_id: str, message_id: str, version: int, withdrawn_at: int) -> None:
        super().__init__(
            f"session {session_id!r}: the message {message_id!r} of version {version} was withdrawn "
            f"at version {withdrawn_at}; append it under a new id if it is to be live again"
        )
        self.session_id = session_id
        self.message_id = message_id
        self.version = version
        self.withdrawn_at = withdrawn_at


class TurnOpen(ConflictError):
    """A turn of the session is open, and only one can be.

    ``owner`` names the process that has it; ``age_seconds`` is how long ago it was begun, and
    ``lease_seconds`` how long its lease lasts from now on.
    """

    def __init__(
        self,
        session_id: str,
        turn_id: str,
        owner: str,
        age_seconds: float,
        lease_seconds: float,
        detail: str | None = None,
    ) -> None:
        advice = detail or "wait for its end with wait_seconds=, or for the end of its lease"
        super().__init__(
            f"session {session_id!r}: turn {turn_id!r} is open; {owner} began it {age_seconds:.1f} s "
            f"ago, and its lease lasts {max(0.0, lease_seconds):.1f} s more; {advice}"
        )
        self.session_id = session_id
        self.turn_id = turn_id
        self.owner = owner
        self.age_seconds = age_seconds
        self.lease_seconds = lease_seconds


class TurnClosed(ConflictError):
    """The turn ended, and a commit took part of it since, so it cannot be begun again."""

    def __init__(self, session_id: str, turn_id: str, state: str) -> None:
        super().__init__(
            f"session {session_id!r}: turn {turn_id!r} is {state}, and a commit has archived messages "
            "of it since; begin a turn with a new id"
        )
        self.session_id = session_id
        self.turn_id = turn_id
        self.state = state


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
    """An argument has a type or a value that the call does not accept."""


class InvalidMessage(InvalidError, ValueError):
    """A value that should be a message is not one.

    ``field`` is the path of the first wrong field, ``line`` the line in an imported file (from 1),
    and ``index`` the place in a batch (from 0); each is None if it does not apply.
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
    """The state machine does not allow the event in its current state."""

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
    """The session has no such tool output, or only its preview."""

    def __init__(self, session_id: str, message_id: str, tool_id: str, reason: str) -> None:
        super().__init__(
            f"session {session_id!r}: no output of call {tool_id!r} in message {message_id!r} can be "
            f"read; {reason}"
        )
        self.session_id = session_id
        self.message_id = message_id
        self.tool_id = tool_id


class SessionClosed(InvalidError):
    """The session accepts no writes: it was closed or deleted, or is still being adopted."""

    def __init__(self, session_id: str, how: str) -> None:
        if how == "adopting":
            remedy = "`eventlog import` its folder once more to go on where the adoption stopped"
        else:
            remedy = "start a new session under another id"
        super().__init__(f"session {session_id!r} is {how}; {remedy}")
        self.session_id = session_id
        self.how = how


class LogClosed(InvalidError):
    """The log was closed; it answers no more calls."""

    def __init__(self) -> None:
        super().__init__("this log is closed; open it again")


class UnsupportedStore(InvalidError, _WithoutSecrets):
    """No store serves this URL, or the file behind it is not a log of this library."""


class UnsupportedFeature(InvalidError):
    """Something needs an optional package that is not installed; the text names its extra."""


class TooLarge(InvalidError, _OfStream):
    """An append is larger than the store accepts; nothing was stored."""

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
    """Stored bytes were changed or lost.

    ``stream`` and ``version`` name the first record concerned, and ``position`` the last place in
    the log that is concerned, after which reading can go on; each is None if it is not known.
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
        """The id of the session, if it is known; the same as ``stream``."""
        return self.stream


class UnknownEventType(CorruptError):
    """A record has a type or schema unknown here: a newer version wrote it, or an import is missing."""

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
    """A session folder cannot be read as one."""


# ---- unavailable ------------------------------------------------------------------------------


class StoreUnavailable(UnavailableError):
    """The store cannot be reached, is locked, or has no room; nothing was stored."""


_HEAL = (
    "nothing is lost, since the log has everything: correct that, then write the files again with "
    "`eventlog heal`"
)


class FolderUnavailable(UnavailableError):
    """A session folder cannot be read or written; nothing is lost, since the log has it all."""

    def __init__(self, path: str, problem: str, remedy: str = _HEAL) -> None:
        super().__init__(f"folder {path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem


class Indeterminate(UnavailableError):
    """The outcome of an append is unknown: it is stored entirely, or not at all.

    Repeating the command is safe: its event ids are looked up before it decides again.
    """

    def __init__(self, detail: str, event_ids: Sequence[bytes] = ()) -> None:
        super().__init__(f"{detail}; the outcome is unknown, repeat the call: it is idempotent")
        self.event_ids = tuple(event_ids)


# ---- raised by callables, read by the worker -------------------------------------------


class NonRetryableError(Exception):
    """Raise it from a callable of a `Finalizer`: the task fails for good, without another attempt."""


class RetryableError(Exception):
    """Raise it from a callable of a `Finalizer`: another attempt may succeed.

    With ``retry_after``, at least that many seconds pass before it.
    """

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after = retry_after


class ProviderGone(RetryableError):
    """An agent raises this when its provider can no longer be used: the next attempt takes another.

    It is for a provider that is gone, such as one whose key was revoked. What passes, such as a rate
    limit, is an ordinary error: the next attempt tries the same provider.
    """
