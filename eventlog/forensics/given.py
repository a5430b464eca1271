"""Contexts that were recorded as they were handed over, found again and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.errors import CorruptError
from eventlog.recorded import Recorded
from eventlog.session.context import paired, unique
from eventlog.session.context_digest import context_digest
from eventlog.session.forensic_events import ContextGiven
from eventlog.session.tasks.events import ArchiveFinalized

if TYPE_CHECKING:
    from eventlog.forensics.past import Past
    from eventlog.session.messages import Message

__all__ = ["GivenContext", "contexts_given", "made_again"]


class GivenContext(NamedTuple):
    """A context that was handed to a model, rebuilt from what its event names."""

    version: int
    """That of the event."""
    as_of: int
    """The version that the context was read at."""
    time: str
    actor: str | None
    overview_archive: int | None
    latest_archive_overview: str
    messages: tuple[Message, ...]
    token_budget: int
    estimated_tokens: int
    total: int
    included: int
    dropped: int
    estimator: str
    digest: str
    is_exact: bool
    """Whether the digest of this is the one that was recorded: it is to the letter what was given."""


def contexts_given(past: Past, until: int) -> tuple[GivenContext, ...]:
    """Return the contexts that were recorded up to a version, in order."""
    if not until:
        return ()
    return tuple(
        made_again(past, Recorded(record))
        for record in past.records(0, until)
        if record.type == ContextGiven.event_type
    )


def made_again(past: Past, recorded: Recorded) -> GivenContext:
    """Return the context that an event says was handed over."""
    event = cast("ContextGiven", recorded.event)
    reader = past.core_at(event.as_of).reader
    found = paired(unique(reader.messages(event.ranges)))
    overview = _overview(past, event.overview_version)
    return GivenContext(
        version=recorded.version,
        as_of=event.as_of,
        time=recorded.time,
        actor=recorded.metadata.actor,
        overview_archive=event.overview_archive,
        latest_archive_overview=overview,
        messages=tuple(entry.message for entry in found),
        token_budget=event.token_budget,
        estimated_tokens=event.estimated_tokens,
        total=event.total,
        included=event.included,
        dropped=event.dropped,
        estimator=event.estimator,
        digest=event.digest,
        is_exact=context_digest(overview, [entry.message for entry in found]) == event.digest,
    )


def _overview(past: Past, version: int | None) -> str:
    if version is None:
        return ""
    try:
        event = Recorded(past.record(version)).event
    except CorruptError:
        return ""
    return event.overview if isinstance(event, ArchiveFinalized) else ""
