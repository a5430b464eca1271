"""Events that only those read who look back: what a model was given, and where a fork came from.

They change no state, not even the time of the last update.
"""

from __future__ import annotations

from eventlog.events import Event
from eventlog.session.version_ranges import VersionRange

__all__ = ["ContextGiven", "SessionForked"]


class ContextGiven(Event, type="context_given"):
    """A context was handed over, to a model as a rule.

    It is named, not repeated: ``as_of`` is the version that it was read at, ``ranges`` are the
    versions of its messages, ``overview_version`` that of the record whose overview it showed, and
    ``digest`` is the SHA-256 of what was handed over.
    """

    as_of: int
    ranges: list[VersionRange]
    overview_archive: int | None = None
    overview_version: int | None = None
    token_budget: int
    estimated_tokens: int
    total: int
    included: int
    dropped: int
    estimator: str
    digest: str


class SessionForked(Event, type="session_forked"):
    """The session was made from another one's records, which were changed on the way.

    The versions are those of the origin.
    """

    origin: str
    origin_version: int
    origin_hash: str
    edited: list[int]
    dropped: list[int]
    inserted: list[int]
