"""The errors of the library on the wire: one table for the server and both clients."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, cast

import eventlog
from eventlog import (
    ConflictError,
    CorruptError,
    EventLogError,
    InvalidArgument,
    InvalidError,
    OwnerMismatch,
    UnavailableError,
)

__all__ = [
    "CODES",
    "Failure",
    "NotThere",
    "RequestRefused",
    "code_of",
    "error_from",
    "failure_of",
    "session_exists",
]


class Kind(NamedTuple):
    """How an error is sent: its status, and the attributes that go into the details."""

    status: int
    fields: tuple[str, ...] = ()


_TABLE: Final[dict[str, Kind]] = {
    # Somebody was first.
    "VersionConflict": Kind(409, ("stream", "expected", "actual")),
    "DuplicateEvent": Kind(409, ("stream",)),
    "LeaseLost": Kind(409, ("task_id", "fence")),
    "CommitBlocked": Kind(412, ("session_id", "archive_id", "attempts", "last_error")),
    "OwnerMismatch": Kind(409),
    "MessageWithdrawn": Kind(409, ("session_id", "message_id", "version", "withdrawn_at")),
    "TurnOpen": Kind(409, ("session_id", "turn_id", "owner", "age_seconds", "lease_seconds")),
    "TurnClosed": Kind(409, ("session_id", "turn_id", "state")),
    "FolderLocked": Kind(409),
    "HistoryConflict": Kind(409, ("stream", "version")),
    "ConflictError": Kind(409),
    # The call cannot succeed.
    "InvalidArgument": Kind(422),
    "InvalidMessage": Kind(422, ("reason", "field", "line", "index")),
    "IllegalTransition": Kind(409, ("subject", "state", "event")),
    "SessionNotFound": Kind(404, ("session_id",)),
    "ArchiveNotFound": Kind(404, ("session_id", "archive_id")),
    "TaskNotFound": Kind(404, ("task_id",)),
    "ToolOutputNotFound": Kind(404, ("session_id", "message_id", "tool_id")),
    "SessionClosed": Kind(410, ("session_id", "how")),
    "LogClosed": Kind(503),
    "UnsupportedStore": Kind(422),
    "UnsupportedFeature": Kind(422),
    "TooLarge": Kind(413, ("stream", "size", "limit")),
    "InvalidError": Kind(422),
    # The stored bytes.
    "CorruptLog": Kind(500, ("stream", "version")),
    "UnknownEventType": Kind(500, ("type", "schema")),
    "ChainBroken": Kind(500, ("stream", "version")),
    "CorruptFolder": Kind(500),
    "CorruptError": Kind(500),
    # Try again.
    "StoreUnavailable": Kind(503),
    "FolderUnavailable": Kind(503),
    "Indeterminate": Kind(503),
    "UnavailableError": Kind(503),
    "EventLogError": Kind(500),
}
"""Every error of the library, by name. A test compares it with `eventlog.__all__`. Paths of this
machine, such as a folder's, stay in the log of the server."""

_SILENT: Final = frozenset({"FolderLocked", "FolderUnavailable", "CorruptFolder"})
"""Errors whose text names a path of the server."""

OWN_CODES: Final[dict[str, int]] = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "message_not_found": 404,
    "turn_not_found": 404,
    "step_not_found": 404,
    "method_not_allowed": 405,
    "session_exists": 409,
    "out_of_order": 409,
    "not_completed": 409,
    "timeout": 408,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_argument": 422,
    "duplicate_key": 422,
    "internal_error": 500,
    "overloaded": 503,
}
"""Codes of refusals that the library itself has no error for."""


def snake_case(name: str) -> str:
    """Write the name of a class as a code: ``CommitBlocked`` as ``commit_blocked``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


CODES: Final[dict[str, int]] = {
    **OWN_CODES,
    **{snake_case(name): kind.status for name, kind in _TABLE.items()},
}
"""Every code that an answer may have, with its status."""

_CLASSES: Final[dict[str, type[EventLogError]]] = {
    snake_case(name): getattr(eventlog, name) for name in _TABLE
}

_SAME: Final = {
    "duplicate_key": "duplicate_event",
    "message_not_found": "invalid_message",
    "out_of_order": "invalid_argument",
    "not_completed": "invalid_argument",
}
"""Codes whose status is that of the request; the library itself has one error for both."""

_ABSENT: Final = frozenset({"turn_not_found", "step_not_found"})

_BY_STATUS: Final[dict[int, type[EventLogError]]] = {
    409: ConflictError,
    412: ConflictError,
    500: CorruptError,
    408: UnavailableError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""The kind of an answer whose code this version does not know, such as a proxy's."""


class Failure(NamedTuple):
    """A refusal as it is answered."""

    status: int
    code: str
    message: str
    details: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


class NotThere(InvalidError):
    """A turn or a step that is not there; methods of the clients return None or nothing for it."""


class RequestRefused(EventLogError):
    """A request that is refused before the library is called."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.failure = Failure(OWN_CODES[code], code, message, details or {}, headers)


def session_exists() -> RequestRefused:
    """Return the refusal of a session's id that is taken, by whomever."""
    return RequestRefused("session_exists", "a session has this id; take another one")


def code_of(error: EventLogError) -> tuple[str, Kind]:
    """Return the name of an error in the table, its own or that of its nearest base, and its row."""
    for cls in type(error).__mro__:
        if cls.__name__ in _TABLE:
            return snake_case(cls.__name__), _TABLE[cls.__name__]
    raise AssertionError(error)


def failure_of(error: EventLogError) -> Failure:
    """Return how an error is answered."""
    if isinstance(error, RequestRefused):
        return error.failure
    if isinstance(error, OwnerMismatch):
        # As of the caller's own session: an id that is taken says no more than that it is.
        return session_exists().failure
    code, kind = code_of(error)
    details = {name: getattr(error, name) for name in kind.fields}
    message = str(error)
    if type(error).__name__ in _SILENT:
        message = "the session's folder cannot be used; the server's log says why"
    retry_after = (("Retry-After", "1"),) if kind.status == 503 else ()
    return Failure(kind.status, code, message, details, retry_after)


def error_from(status: int, document: Any) -> EventLogError:
    """Return the error that an answer is about, of the type that the library raises itself.

    A message and attributes are as the server has them. An answer that is none of the API's, such
    as a proxy's, becomes an error of the kind that its status means.
    """
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    said = found.get("error")
    sent = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    code, message = sent.get("code"), sent.get("message")
    if code in _ABSENT:
        return NotThere(str(message))
    code = _SAME.get(str(code), str(code))
    cls = _CLASSES.get(code) or _by_status(status)
    details = sent.get("details")
    error = cls.__new__(cls)
    # The classes build their text from their arguments; here it is built already.
    Exception.__init__(error, str(message or f"the server answered with status {status}"))
    fields = _TABLE[cls.__name__].fields
    values = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    for name in fields:
        setattr(error, name, values.get(name))
    return error


def _by_status(status: int) -> type[EventLogError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return InvalidArgument if status == 422 else InvalidError
