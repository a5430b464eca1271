"""Messages that are still being written when their turn ends: they end in the same append.

What comes after them in the append depends on them: a turn that is begun again withdraws them with the
rest, and an end closes calls. So that is planned on the state and the facts as they will be then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.chain import EMPTY_METADATA, chained_record
from eventlog.codec import encode_event
from eventlog.identifiers import derived_id
from eventlog.recorded import Recorded
from eventlog.session.events import MessageAppended, ToolResultRecorded
from eventlog.session.folding import apply
from eventlog.session.streams.interrupting import arrived, interruptions
from eventlog.session.version_ranges import contains

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.session.appended import AppendedData
    from eventlog.session.command import Draft, Facts
    from eventlog.session.message_data import MessageData
    from eventlog.session.reading import Newest
    from eventlog.session.state import SessionState
    from eventlog.session.tokens import TokenEstimator
    from eventlog.session.version_ranges import VersionRange
    from eventlog.session.withdrawals.planning import PlanFacts

__all__ = ["Unfinished", "end_unfinished"]


class Unfinished(NamedTuple):
    """What ends the messages that the open turn has not finished; the state and the facts after it."""

    drafts: tuple[Draft, ...]
    state: SessionState
    facts: PlanFacts


def end_unfinished(
    facts: Facts,
    state: SessionState,
    estimate: TokenEstimator,
    reason: str,
    *,
    outside_too: bool = False,
) -> Unfinished:
    """Plan the end of what the open turn has not finished; with ``outside_too``, of all that is being
    written in the session (I/O)."""
    turn = state.turn
    own = [
        stream
        for stream in state.streams.values()
        if outside_too or (turn is not None and stream.turn == turn.fence)
    ]
    if not own:
        return Unfinished((), state, facts)
    drafts = interruptions(state, arrived(facts, state, own), estimate, reason)
    after = state.copy()
    recorded = [_foreseen(after, draft) for draft in drafts]
    return Unfinished(tuple(drafts), after, _FactsAfter(facts, state.session_id, recorded))


def _foreseen(state: SessionState, draft: Draft) -> Recorded:
    """Fold a draft as if it were stored; return its record."""
    event = draft.event
    marks = EMPTY_METADATA if draft.turn is None else draft.turn.as_metadata()
    record = chained_record(
        state.hash,
        state.session_id,
        state.version + 1,
        draft.event_id or derived_id(state.session_id, f"foreseen\0{state.version}"),
        event.event_type,
        event.event_schema,
        state.time,
        encode_event(event),
        marks,
    )
    recorded = Recorded(record, event)
    apply(state, recorded)
    return recorded


class _FactsAfter:
    """The facts that planning needs, as they are once some records are stored."""

    def __init__(self, facts: Facts, session: str, recorded: Sequence[Recorded]) -> None:
        self._facts = facts
        self._session = session
        self._recorded = recorded

    def newest(self, keys: Sequence[str]) -> list[Newest]:
        own = {entry.record.event_id: entry.version for entry in self._recorded}
        found = self._facts.newest(keys)
        return [
            each._replace(version=own.get(derived_id(self._session, each.key), each.version))
            for each in found
        ]

    def said(
        self, ranges: Sequence[VersionRange]
    ) -> Iterator[tuple[int, AppendedData | ToolResultRecorded]]:
        yield from self._facts.said(ranges)
        for entry in self._recorded:
            if not contains(ranges, entry.version):
                continue
            event = entry.event
            if isinstance(event, MessageAppended):
                yield entry.version, {"message": event.message, "tokens": event.tokens}
            elif isinstance(event, ToolResultRecorded):
                yield entry.version, event

    def appended(
        self, ranges: Sequence[VersionRange], *, holding: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[int, MessageData]]:
        if reverse:
            yield from reversed(list(self._own_messages(ranges, holding)))
        yield from self._facts.appended(ranges, holding=holding, reverse=reverse)
        if not reverse:
            yield from self._own_messages(ranges, holding)

    def _own_messages(
        self, ranges: Sequence[VersionRange], holding: bytes
    ) -> Iterator[tuple[int, MessageData]]:
        for entry in self._recorded:
            is_in = contains(ranges, entry.version) and holding in entry.record.data
            if is_in and isinstance(entry.event, MessageAppended):
                yield entry.version, entry.event.message

    def record(self, version: int) -> Recorded | None:
        first = self._recorded[0].version
        if version < first:
            return self._facts.record(version)
        return self._recorded[version - first] if version - first < len(self._recorded) else None
