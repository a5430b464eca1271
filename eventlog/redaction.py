"""Texts that are stored or shown without the secrets that they may hold."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ERROR_LENGTH", "redacted"]

ERROR_LENGTH: Final = 500
"""Characters of an error that are kept in an event."""

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
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    text = _SECRETS.sub("[redacted]", text)
    return text if len(text) <= ERROR_LENGTH else text[: ERROR_LENGTH - 1] + "…"
