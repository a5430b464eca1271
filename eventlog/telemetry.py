"""Log lines as facts with fields, through structlog, silent until a service configures logging.

A library must not print. So the facts go to a stdlib logger with a `NullHandler`, and structlog is
imported only once that logger is enabled. Names of facts are snake_case in the past tense; payloads
are never logged.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from eventlog.redaction import redact

__all__ = ["log_fact"]

_logger = logging.getLogger("eventlog")
_logger.addHandler(logging.NullHandler())


def log_fact(level: int, fact: str, **fields: Any) -> None:
    """Log one fact, if the logger is enabled for the level; secrets in its texts are redacted."""
    if _logger.isEnabledFor(level) and _logger.hasHandlers():
        shown = {
            name: redact(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        _structured().log(level, fact, **shown)


@cache
def _structured() -> Any:
    import structlog

    return structlog.wrap_logger(
        _logger,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
