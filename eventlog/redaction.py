"""Texts that are stored or shown without the secrets that they may hold."""

from __future__ import annotations

import re
from typing import Final

from eventlog.error_text import printable, text_of

__all__ = ["ERROR_LENGTH", "redacted"]

ERROR_LENGTH: Final = 500
"""Characters of an error that are kept in an event."""

READ_LENGTH: Final = 10 * ERROR_LENGTH
"""Characters of an error that are looked at: what lies beyond is never shown."""

_SECRETS: Final = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}"
    r"|\bgh[oprsu]_[A-Za-z0-9]{16,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{16,}"
    r"|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\bhf_[A-Za-z0-9]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{8,}"
    r"|\bAKIA[A-Z0-9]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{6,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)


def redacted(error: BaseException | str) -> str:
    """Return an error's text without secrets, in at most `ERROR_LENGTH` characters (F11)."""
    if isinstance(error, str):
        text = printable(error)
    else:
        text = f"{printable(type(error).__name__)}: {text_of(error)}"
    text = _SECRETS.sub("[redacted]", text[:READ_LENGTH])
    return text if len(text) <= ERROR_LENGTH else text[: ERROR_LENGTH - 1] + "…"
