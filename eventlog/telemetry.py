"""Log lines as facts with fields, through structlog, silent until a service configures logging.

A library must not print. So the facts go to a stdlib logger with a `NullHandler`, and structlog is
imported only once that logger is enabled. Names of facts are snake_case in the past tense; payloads
are never logged.

The fields are attributes of the log record, where structlog's `ProcessorFormatter` and formatters
for JSON find them. Where every handler has a plain `logging.Formatter`, as after
`logging.basicConfig`, which shows the message alone, they are in the message, too.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from eventlog.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.trace_context import TraceContext

__all__ = ["log_fact", "trace_sources"]

trace_sources: list[Callable[[], TraceContext | None]] = []
"""Where the trace of a command that is given none comes from: nowhere, or from the one function that
`eventlog.instrumentation` puts here."""

_logger = logging.getLogger("eventlog")
_logger.addHandler(logging.NullHandler())


def log_fact(level: int, fact: str, **fields: Any) -> None:
    """Log one fact, if the logger is enabled for the level; secrets in its texts are redacted."""
    if _logger.isEnabledFor(level) and _logger.hasHandlers():
        shown = {
            name: redact(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        _structured().log(level, _with_fields(fact, shown) if _shows_messages() else fact, **shown)


def _shows_messages() -> bool:
    """Return whether all handlers that the logger reaches show the message of a record alone."""
    logger: logging.Logger | None = _logger
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, logging.NullHandler) and type(handler.formatter) not in (
                logging.Formatter,
                type(None),
            ):
                return False
        logger = logger.parent if logger.propagate else None
    return True


def _with_fields(fact: str, fields: dict[str, Any]) -> str:
    shown = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
    return f"{fact} {shown}" if shown else fact


def _shown(value: Any) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else ascii(text)


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
