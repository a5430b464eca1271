"""When an attempt is worth repeating, and after how long (F3, F4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from eventlog.errors import InvalidArgument, NonRetryableError, RetryableError, UnavailableError

__all__ = ["Classifier", "RetryPolicy", "classify", "redacted"]

ErrorClass: TypeAlias = Literal["transient", "fatal"]
Classifier: TypeAlias = Callable[[BaseException], ErrorClass]

ERROR_LENGTH: Final = 500
"""Characters of an error that are kept in an event."""

_TOO_LONG: Final = re.compile(
    r"prompt is too long|prompt too long|context[ _-]length|maximum context|too many tokens",
    re.IGNORECASE,
)
_SECRETS: Final = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}"
    r"|\bgh[oprsu]_[A-Za-z0-9]{16,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{8,}"
    r"|\bAKIA[A-Z0-9]{12,}"
    r"|(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{6,}"
)
_TRANSIENT_STATUS: Final = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts a task gets, and how long it waits between them.

    The wait before attempt n + 1 is drawn evenly from 0 to ``base_seconds`` times 2 to the n - 1,
    capped at ``cap_seconds`` (full jitter).
    """

    attempts: int = 3
    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_seconds < 0 or self.cap_seconds < 0:
            raise InvalidArgument(f"{self}: at least one attempt, and no negative time")

    def delay(self, attempt: int, drawn: float) -> int:
        """Return the wait after the ``attempt``-th attempt in microseconds.

        ``drawn`` is a random number from 0 to 1.
        """
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))
        return int(longest * drawn * 1_000_000)


def classify(error: BaseException) -> ErrorClass:
    """Tell whether another attempt may succeed.

    What the raiser says goes first; then the text (a prompt that is too long stays so); then an
    HTTP status, wherever the usual clients keep it; then the type. What nothing is known of is
    worth another attempt: attempts are bounded.
    """
    if isinstance(error, NonRetryableError):
        return "fatal"
    if isinstance(error, (RetryableError, UnavailableError)):
        return "transient"
    if _TOO_LONG.search(str(error)):
        return "fatal"
    status = _http_status(error)
    if status is not None:
        return "transient" if status >= 500 or status in _TRANSIENT_STATUS else "fatal"
    if isinstance(error, (OSError, TimeoutError)):
        return "transient"
    if isinstance(error, (ValueError, TypeError, LookupError, AttributeError)):
        return "fatal"
    return "transient"


def _http_status(error: BaseException) -> int | None:
    holders: tuple[Any, ...] = (error, getattr(error, "response", None))
    for holder in holders:
        for name in ("status_code", "status", "http_status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    return None


def redacted(error: BaseException | str) -> str:
    """Return an error's text without secrets, in at most `ERROR_LENGTH` characters (F11)."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    text = _SECRETS.sub("[redacted]", text)
    return text if len(text) <= ERROR_LENGTH else text[: ERROR_LENGTH - 1] + "…"
