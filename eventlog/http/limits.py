"""The limits of the server, each with its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BATCH_MESSAGES",
    "CHUNK_BYTES",
    "EVENT_BYTES",
    "LEASE_SECONDS",
    "PAGE",
    "PAGE_DEFAULT",
    "SCANNED",
    "WAIT_SECONDS",
    "WINDOW_SECONDS",
    "Limits",
]

BATCH_MESSAGES: Final = 100
"""The most messages of one batch."""

PAGE: Final = 1_000
"""The most entries of one page of a list."""

PAGE_DEFAULT: Final = 100

SCANNED: Final = 10_000
"""The most events that one request for events looks at, for those of the types that it names."""

EVENT_BYTES: Final = 4 * 1024 * 1024
"""How many bytes of events a page of a list has, beyond its last event: then it is shorter than asked."""

WAIT_SECONDS: Final = 60
"""The longest time for which a request for events may wait."""


LEASE_SECONDS: Final = 60.0
"""How long a message that is being written is its producer's after each chunk, and a turn its holder's
after each renewal."""

WINDOW_SECONDS: Final = 0.3
"""How long a client keeps what is written, at most, before it sends it as a chunk."""

CHUNK_BYTES: Final = 4_096
"""How much a client keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server accepts at a time.

    A body of more than ``body_bytes`` is refused while it comes, and so is one that is not complete
    after ``body_seconds``. Beyond ``requests`` at once the answer is 503; ``streams`` of events are
    counted apart. A stream says every ``heartbeat_seconds`` that it is alive.

    The rest is of connections, so `serve` sees to it, and an app that another server runs does not: a
    request's header has up to ``header_bytes`` and comes within ``header_seconds``, and a peer that
    reads nothing of its answer for ``write_seconds`` is cut off.
    """

    body_bytes: int = 8 * 1024 * 1024
    body_seconds: float = 30.0
    header_bytes: int = 64 * 1024
    header_seconds: float = 15.0
    write_seconds: float = 60.0
    requests: int = 256
    streams: int = 1_000
    heartbeat_seconds: float = 15.0
