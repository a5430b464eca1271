"""The W3C trace context of a command: the distributed trace that it is part of.

The two headers are those of https://www.w3.org/TR/trace-context/: ``traceparent`` names the trace
and the span that caused the command, ``tracestate`` is what tracing systems add for themselves.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from eventlog.error_text import shown
from eventlog.errors import InvalidArgument

__all__ = ["TraceContext", "as_trace_context"]

_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?!0{32})[0-9a-f]{32}"  # The trace.
    r"-(?!0{16})[0-9a-f]{16}"  # The span.
    r"-[0-9a-f]{2}"  # The flags.
    r"(?P<rest>-[!-~]*)?"
)
"""Version ff is invalid, and so are ids of zeros alone; later versions may append more fields."""

_MEMBER: Final = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)

MEMBERS: Final = 32
"""The most members that a tracestate may have."""


class TraceContext(NamedTuple):
    """The two headers of a W3C trace context."""

    traceparent: str
    tracestate: str | None = None


def as_trace_context(trace: TraceContext | str) -> TraceContext:
    """Check a trace context, or a traceparent alone; raise `InvalidArgument` for another text."""
    found = TraceContext(trace) if isinstance(trace, str) else trace
    if not isinstance(found, TraceContext):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"trace must be a traceparent or a TraceContext, not {shown(trace)}")
    _check_traceparent(found.traceparent)
    if found.tracestate is not None:
        _check_tracestate(found.tracestate)
    return found


def _check_traceparent(value: Any) -> None:
    match = _TRACEPARENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match["version"] == "00" and match["rest"] is not None):
        raise InvalidArgument(
            f"traceparent {shown(value)} is not in the W3C form, such as "
            "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'"
        )


def _check_tracestate(value: Any) -> None:
    members = [part.strip(" \t") for part in value.split(",")] if isinstance(value, str) else [""]
    matches = [_MEMBER.fullmatch(member) for member in members if member]
    keys = [match["key"] for match in matches if match is not None]
    if not matches or len(keys) < len(matches) or len({*keys}) < len(keys) or len(keys) > MEMBERS:
        raise InvalidArgument(
            f"tracestate {shown(value)} is not a list of at most {MEMBERS} members with different "
            "keys, such as 'vendor=value,other=value'"
        )
