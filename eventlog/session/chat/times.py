"""Reading times as other programs write them, into ISO 8601 with a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from eventlog.clock import format_time, parse_time

__all__ = ["written_time"]

UNIX_SECONDS_FROM: Final = 1_000_000_000
"""A smaller number (before 2001) is not a time but an offset, or a count of something else."""

UNIX_MILLISECONDS_FROM: Final = 100_000_000_000
"""From here on a number counts milliseconds: in seconds it would be the year 5138."""

UNIX_MICROSECONDS_FROM: Final = 100_000_000_000_000
UNIX_NANOSECONDS_FROM: Final = 100_000_000_000_000_000
UNIX_NANOSECONDS_UNTIL: Final = 100_000_000_000_000_000_000
"""A larger number is not a time: in nanoseconds it would be beyond the year 5138."""

LONGEST: Final = 64
"""Characters of the longest text that is tried as a time."""

_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]

_MAIL: Final = re.compile(
    r"(?:[A-Za-z]{3},\s+)?(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})\s+(\d\d):(\d\d)(?::(\d\d))?"
    r"\s+(GMT|UTC|UT|Z|[+-]\d{4})"
)
_FRACTION: Final = re.compile(r"(\.\d{6})\d+")


def written_time(value: Any, *, assume_utc: bool = True) -> str | None:
    """Return a time as text with a zone, or None if the value cannot be read as a time.

    ISO 8601 with a zone is kept verbatim; without a zone it is taken as UTC, or refused if
    ``assume_utc`` is false. The form of mail and HTTP headers is read, too. Numbers (also those in
    text) are seconds, milliseconds, microseconds or nanoseconds since 1970, by their size.
    """
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, str):
            return _of_text(value, assume_utc=assume_utc) if len(value) <= LONGEST else None
        if isinstance(value, int | float):
            return _of_number(value)
    except (ValueError, OverflowError):
        pass
    return None


def _of_number(value: float) -> str | None:
    if not UNIX_SECONDS_FROM <= value < UNIX_NANOSECONDS_UNTIL:
        return None
    if value >= UNIX_NANOSECONDS_FROM:
        return format_time(int(value) // 1_000)
    if value >= UNIX_MICROSECONDS_FROM:
        return format_time(int(value))
    return format_time(round(value * (1_000 if value >= UNIX_MILLISECONDS_FROM else 1_000_000)))


def _of_text(text: str, *, assume_utc: bool) -> str | None:
    try:
        parse_time(text)
    except ValueError:
        return _of_other_text(text.strip(), assume_utc=assume_utc)
    return text


def _of_other_text(text: str, *, assume_utc: bool) -> str | None:
    mail = _MAIL.fullmatch(text)
    if mail is not None:
        return _of_mail(mail)
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
        if moment.tzinfo is None and not assume_utc:
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return format_time(parse_time(aware.isoformat()))
    return _of_number(number)


def _of_mail(match: re.Match[str]) -> str | None:
    day, month, year, hour, minute, second, zone = match.groups()
    if month.lower() not in _MONTHS:
        return None
    offset = "+00:00" if zone.isalpha() else f"{zone[:3]}:{zone[3:]}"
    number = _MONTHS.index(month.lower()) + 1
    iso = f"{year}-{number:02}-{int(day):02}T{hour}:{minute}:{second or '00'}{offset}"
    return format_time(parse_time(iso))
