"""Whether and when a failed attempt is repeated (F3, F4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from math import inf
from typing import Any, Final, Literal, TypeAlias, cast

from eventlog.argument_checks import check_count, check_seconds
from eventlog.error_text import shown, text_of
from eventlog.errors import (
    CorruptError,
    InvalidError,
    NonRetryableError,
    RetryableError,
    UnavailableError,
)
from eventlog.worker.requests import Summary

__all__ = [
    "Classifier",
    "ErrorClass",
    "ResultClassifier",
    "RetryPolicy",
    "as_text",
    "classify",
    "classify_result",
    "holds",
    "retry_after",
]

ErrorClass: TypeAlias = Literal["transient", "fatal"]

Classifier: TypeAlias = Callable[[BaseException], ErrorClass]
"""A function that returns whether another attempt may succeed after an error."""

ResultClassifier: TypeAlias = Callable[[object], ErrorClass | None]
"""A function that returns the class of error that a returned value stands for, or None for a
result."""


ERROR_TEXT_LENGTH: Final = 300
"""A result with fewer characters may be an error that was returned as text: an overview that
mentions errors is longer, and begins with its title."""

READ_CHARACTERS: Final = 10_000
"""How much of an error's text is read to classify it."""

LONGEST_HINT: Final = 3_600_000_000
"""The longest wait that a service may ask for, in microseconds; a longer one is cut to this."""

CAUSES: Final = 5
"""How many errors in a chain of causes are searched for an HTTP status."""

_TOO_LONG: Final = re.compile(
    r"prompt is too long|prompt too long|input is too long|context[ _-]length"
    r"|context window|maximum context|too many tokens",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(r"rate.?limit|too many requests|overloaded", re.IGNORECASE)
_ERROR_TEXT: Final = re.compile(
    r"""["'{\[\s]*(?:(?:api|http|internal|server)[ _-])*(?:error|exception)\b""", re.IGNORECASE
)
_REFUSED: Final = re.compile(
    r"(?:your )?credit balance (?:is )?too low"
    r"|(?:invalid|incorrect|missing|expired) (?:x-)?api[ _-]key"
    r"|(?:oauth|access) token (?:has )?(?:expired|been revoked)"
    r"|not logged in\b|please run /login",
    re.IGNORECASE,
)
"""The beginnings of texts that clients return for problems with the account, which do not pass."""

_PASSING: Final = re.compile(
    r"(?:claude )?(?:ai )?(?:usage|rate|session|daily|weekly|monthly|\d{1,2}-hour) limit"
    r" (?:has been )?(?:reached|exceeded|hit)\b"
    r"|you(?:'ve|’ve| have)? (?:hit|reached|exceeded) your (?:\w{1,20} ){0,3}(?:limit|quota)\b"
    r"|quota exceeded\b|rate_limit_error\b|too many requests\b|overloaded(?:_error)?\b"
    r"|(?:the )?(?:\w{1,20} )?(?:request|connection|operation|call|read) (?:has )?timed[ -]?out\b"
    r"|timed out\b|(?:request|gateway|read|connect(?:ion)?) time-?out\b|timeouterror\b"
    r"|time-?out(?=[.:!]|$| after\b| exceeded\b| while\b)"
    r"|(?:api )?connection error\b|service (?:is )?(?:temporarily )?unavailable\b"
    r"|internal server error\b|bad gateway\b",
    re.IGNORECASE,
)
"""The beginnings of texts that clients return when another attempt may succeed."""

_SERVICE_ERROR: Final = re.compile(r"""["'{\[\s]*(?:api|http|server)[ _-]?error:""", re.IGNORECASE)
"""The beginning of a text that is an error, whatever follows."""

_STATUS_TEXT: Final = re.compile(r"\b[45]\d\d\b")
_TRANSIENT_STATUS: Final = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts a task has, and how long it waits between them.

    The wait before attempt n + 1 is drawn uniformly from 0 to ``base_seconds`` · 2ⁿ⁻¹, but at most
    ``cap_seconds`` (full jitter).
    """

    attempts: int = 3
    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts, "attempts", lowest=1)
        check_seconds("base_seconds", self.base_seconds, may_be_zero=True)
        check_seconds("cap_seconds", self.cap_seconds, may_be_zero=True)

    def delay(self, attempt: int, drawn: float) -> int:
        """Return the wait after the ``attempt``-th attempt in microseconds.

        ``drawn`` is a random number from 0 to 1.
        """
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))
        share = drawn if 0 <= drawn <= 1 else 1.0  # NaN becomes 1, too.
        return int(longest * share * 1_000_000)


# ---- errors -----------------------------------------------------------------------------------


def classify(error: BaseException) -> ErrorClass:
    """Return the class of an error: whether another attempt may succeed.

    The first of these decides: whether the error is a `NonRetryableError` or a `RetryableError`;
    its text (a rate limit passes, a prompt that is too long does not); an HTTP status, wherever the
    usual clients keep it, also on the error that it was raised from; its type. An unknown error is
    worth another attempt, since attempts are limited. A group of errors is fatal if one of them is.
    """
    if isinstance(error, NonRetryableError):
        return "fatal"
    if isinstance(error, (RetryableError, UnavailableError)):
        return "transient"
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return "fatal" if "fatal" in map(classify, _members(group)) else "transient"
    status = next((found for found in map(_http_status, _chain(error)) if found), None)
    text = text_of(error)[:READ_CHARACTERS]
    if status == 429 or (status is None and _BUSY.search(text)):
        return "transient"
    if _TOO_LONG.search(text):
        return "fatal"
    if status is not None:
        return _class_of_status(status)
    if isinstance(error, (OSError, TimeoutError)):
        return "transient"
    if isinstance(error, (CorruptError, InvalidError)):
        return "fatal"
    if isinstance(error, (ValueError, TypeError, LookupError, AttributeError)):
        return "fatal"
    return "transient"


def holds(error: BaseException, kind: type[BaseException]) -> bool:
    """Return whether an error is of a kind, or a group with one that is."""
    return any(isinstance(each, kind) for each in (error, *_members(error)))


def _members(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group and in the groups in it, however deep; of any other error, itself."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", each)
            waiting.extend(reversed(group.exceptions))
        else:
            yield each


def _class_of_status(status: int) -> ErrorClass:
    return "transient" if status >= 500 or status in _TRANSIENT_STATUS else "fatal"


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def _http_status(error: BaseException) -> int | None:
    for holder in (error, _attribute(error, "response")):
        for name in ("status_code", "status", "http_status", "code"):
            value = _attribute(holder, name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    return None


def _attribute(holder: object, name: str) -> Any:
    """Return an attribute of an error; None if there is none, or it raises."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property of a user's class
        return None


# ---- results ----------------------------------------------------------------------------------


def classify_result(result: object) -> ErrorClass | None:
    """Return the class of an error that was returned as text, or None for a real result.

    Some clients return "Prompt is too long", "API Error: 529 …", "Invalid API key", or words about
    a usage limit or a time-out in place of an answer. Only a text of fewer than 300 characters that
    begins like these counts as an error.
    """
    text = result.overview if isinstance(result, Summary) else result
    if not isinstance(text, str) or len(text) >= ERROR_TEXT_LENGTH:
        return None
    text = str.__str__(text).strip()
    if _TOO_LONG.match(text) or _REFUSED.match(text):
        return "fatal"
    if _PASSING.match(text):
        return "transient"
    return _class_of_error_text(text) if _ERROR_TEXT.match(text) else None


def as_text(result: object) -> str:
    """Return the text of a result that stands for an error; it is cut where it is recorded."""
    return str.__str__(result) if isinstance(result, str) else shown(result)


def _class_of_error_text(text: str) -> ErrorClass | None:
    """Return the class of a text that begins like an error, or None if it only mentions errors."""
    if _TOO_LONG.search(text) or _REFUSED.search(text):
        return "fatal"
    if _BUSY.search(text):
        return "transient"
    status = _STATUS_TEXT.search(text)
    if status is not None:
        return _class_of_status(int(status.group()))
    return "transient" if _SERVICE_ERROR.match(text) or _PASSING.search(text) else None


# ---- hints ------------------------------------------------------------------------------------


def retry_after(error: BaseException, now: int) -> int:
    """Return the microseconds to wait that a service asked for, or 0.

    It reads the error's attribute ``retry_after`` (seconds), and of a response the headers
    ``retry-after-ms`` and ``retry-after`` (seconds or a date, RFC 9110).
    """
    try:
        hints = (hint for found in _chain(error) for hint in _hints(found, now))
        return min(LONGEST_HINT, max(0, next(hints, 0)))
    except Exception:  # noqa: BLE001 - attributes of an error may be users' code that raises
        return 0


def _hints(error: BaseException, now: int) -> Iterator[int]:
    wish = _attribute(error, "retry_after")
    if isinstance(wish, (int, float)):
        yield from _number(wish, 1_000_000)
    headers = _attribute(_attribute(error, "response"), "headers")
    if not isinstance(headers, Mapping):
        return
    said = cast("Mapping[object, object]", headers)
    fields = {str(name).lower(): str(value) for name, value in said.items()}
    yield from _number(fields.get("retry-after-ms"), 1_000)
    text = fields.get("retry-after")
    yield from _number(text, 1_000_000)
    yield from _until(text, now)


def _number(said: str | float | None, unit: int) -> Iterator[int]:
    try:
        yield int(float("" if said is None else said) * unit)
    except OverflowError:  # Infinity says nothing; a whole number that no float holds is one.
        is_whole = said.isdecimal() if isinstance(said, str) else said not in (inf, -inf)
        if is_whole:
            yield 0 if isinstance(said, int) and said < 0 else LONGEST_HINT
    except ValueError:
        return


def _until(text: str | None, now: int) -> Iterator[int]:
    from email.utils import parsedate_to_datetime  # Imported when needed, since that takes long.

    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    yield int(moment.timestamp() * 1_000_000) - now
