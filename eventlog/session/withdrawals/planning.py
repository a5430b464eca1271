"""What a withdrawal takes out of the session: the messages, their results, and what follows.

The state knows the live messages as ranges and sums. Which call a result answers, and which results
were recorded for a message, is read from the records: of the messages that are withdrawn, and of
those between the calls and results that belong to them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pydantic_core

from eventlog.errors import InvalidMessage
from eventlog.session.events import ToolResultRecorded
from eventlog.session.message_data import message_key, tool_result_key
from eventlog.session.parts import answerable, is_plain, readings_of
from eventlog.session.pending_calls import PendingCall, PendingCalls
from eventlog.session.reading import RESULT_KINDS
from eventlog.session.version_ranges import VersionRange, ascending, contains, intersection
from eventlog.session.withdrawals.events import MessagesWithdrawn, ReopenedCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventlog.recorded import Recorded
    from eventlog.session.appended import AppendedData
    from eventlog.session.message_data import MessageData
    from eventlog.session.reading import Newest
    from eventlog.session.state import SessionState

__all__ = ["Plan", "PlanFacts", "live_behind", "newest_live", "plan_withdrawal"]


class PlanFacts(Protocol):
    """The look-ups that planning takes, each as in `eventlog.session.command.Facts`."""

    def newest(self, keys: Sequence[str]) -> list[Newest]: ...

    def said(
        self, ranges: Sequence[VersionRange]
    ) -> Iterator[tuple[int, AppendedData | ToolResultRecorded]]: ...

    def appended(
        self, ranges: Sequence[VersionRange], *, holding: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[int, MessageData]]: ...

    def record(self, version: int) -> Recorded | None: ...


class _Pair(NamedTuple):
    """A call with what answered it."""

    call: PendingCall
    at: int
    """The version of the result."""
    is_message: bool
    """Whether the result is in a message, and not recorded by itself."""


class Plan(NamedTuple):
    """A withdrawal, ready to be recorded."""

    event: MessagesWithdrawn
    versions: tuple[int, ...]
    """Those of the messages, ascending."""


@dataclass(slots=True)
class _Said:
    """What was said in the ranges that a withdrawal concerns."""

    spans: list[VersionRange]
    messages: dict[int, MessageData] = field(default_factory=dict[int, "MessageData"])
    tokens: dict[int, int] = field(default_factory=dict[int, int])
    results: dict[int, ToolResultRecorded] = field(default_factory=dict[int, ToolResultRecorded])
    pairs: list[_Pair] = field(default_factory=list[_Pair])
    lone: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Results in messages that answer no call in the ranges: version and id of the call."""


def newest_live(facts: PlanFacts, state: SessionState, count: int) -> list[int]:
    """Return the versions of the newest live messages, in order."""
    known = state.window.newest(count)
    if known is not None:
        return known
    return live_behind(facts, state, 0)[-count:]


def live_behind(facts: PlanFacts, state: SessionState, version: int) -> list[int]:
    """Return the versions of the live messages after a version, in order."""
    known = state.window.behind(version)
    if known is not None:
        return known
    left = intersection(state.window.ranges(state.version), [(version + 1, state.version)])
    return [found for found, _ in facts.appended(left)]


def plan_withdrawal(
    facts: PlanFacts,
    state: SessionState,
    chosen: Iterable[int],
    *,
    results: Iterable[int] = (),
    closes: bool = False,
    clears: bool = False,
) -> Plan | None:
    """Plan to withdraw live messages, given by version; None if there is nothing to withdraw.

    ``results`` are recorded results of other messages to withdraw, too. A message that stays with a
    result for a call that goes is withdrawn as well if ``closes``; otherwise it is a refusal,
    `InvalidMessage`, which names both.
    """
    gone, recorded = set(chosen), set(results)
    if not gone and not recorded:
        return (
            Plan(MessagesWithdrawn(ranges=[], count=0, tokens=0, clears=True), ())
            if clears
            else None
        )
    live = state.window.ranges(state.version)
    said = _read(facts, _spans(state, sorted(gone), live))
    _complete(state, said, gone, closes=closes)
    own = _results_of(facts, said, gone) | recorded
    event = MessagesWithdrawn(
        ranges=_ranges(said, gone | own),
        count=len(gone),
        tokens=_tokens(state, said, gone),
        reopens=[
            *_reopened(facts, state, said, gone, live),
            *_reopened_by_results(facts, state, recorded, gone, live),
        ],
        unglued=_unglued(state, said, gone),
        clears=clears,
    )
    return Plan(event, tuple(sorted(gone)))


# ---- reading ----------------------------------------------------------------------------------


def _spans(
    state: SessionState, versions: Sequence[int], live: Sequence[VersionRange]
) -> list[VersionRange]:
    """Return the live ranges with some messages, and with all whose calls or results are theirs."""
    window, spans = state.window, list[VersionRange]()
    for version in versions:
        if spans and spans[-1][1] >= version:
            continue
        if window.knows(version):
            spans.append((window.glued_from(version), window.glued_until(version)))
        else:
            spans.append((version, state.version))
    known = window.behind(versions[0] - 1) if versions else None
    if known is not None and known == list(versions):  # Nothing stays behind the first of them.
        spans = [(spans[0][0], state.version)]
    return intersection(live, ascending(spans))


def _read(facts: PlanFacts, spans: Sequence[VersionRange]) -> _Said:
    said, calls = _Said(list(spans)), PendingCalls()
    for version, entry in facts.said(said.spans):
        if isinstance(entry, ToolResultRecorded):
            said.results[version] = entry
            if entry.status != "running":
                call = calls.pop(entry.message_id, entry.tool_id, entry.occurrence)
                if call is not None:
                    said.pairs.append(_Pair(call, version, is_message=False))
            continue
        said.messages[version] = entry["message"]
        said.tokens[version] = entry["tokens"]
        _pair(said, calls, version, entry["message"])
    return said


def _pair(said: _Said, calls: PendingCalls, version: int, data: MessageData) -> None:
    """Take in the calls and results of a message, as the fold of the session does."""
    if is_plain(data):
        return
    readings = readings_of(data)
    occurrences = {place: which for place, _, which in answerable(readings)}
    for place, found in enumerate(readings):
        if found.is_open and found.call is not None:
            calls.add(PendingCall(found.call.id, data["id"], version, 0, occurrences[place]))
        elif found.call is None and found.result is not None:
            call = calls.pop_newest(found.result.id)
            if call is None:
                said.lone.append((version, found.result.id))
            else:
                said.pairs.append(_Pair(call, version, is_message=True))


def _results_of(facts: PlanFacts, said: _Said, gone: set[int]) -> set[int]:
    """Return the versions of the results that were recorded for messages."""
    found, keys = set[int](), list[str]()
    for version in gone:
        data = said.messages.get(version)
        if data is None or is_plain(data):
            continue
        keys += [
            tool_result_key(data["id"], tool_id, kind, occurrence)
            for _, tool_id, occurrence in answerable(readings_of(data))
            for kind in RESULT_KINDS
        ]
    if keys:
        found = {newest.version for newest in facts.newest(keys) if newest.version}
    return found


# ---- what belongs together --------------------------------------------------------------------


def _complete(state: SessionState, said: _Said, gone: set[int], *, closes: bool) -> None:
    """Add the messages with results of calls that go, or refuse to part them."""
    grew = True
    while grew:
        grew = False
        for pair in said.pairs:
            if not pair.is_message or pair.call.version not in gone or pair.at in gone:
                continue
            if not closes:
                answer = said.messages[pair.at]["id"]
                raise InvalidMessage(
                    f"session {state.session_id!r}: message {answer!r} of version {pair.at} has the "
                    f"result of the call {pair.call.tool_id!r} in message {pair.call.message_id!r} of "
                    f"version {pair.call.version}; withdraw both",
                    field="message_ids",
                )
            gone.add(pair.at)
            grew = True


def _reopened(
    facts: PlanFacts,
    state: SessionState,
    said: _Said,
    gone: set[int],
    live: Sequence[VersionRange],
) -> list[ReopenedCall]:
    """Return the calls that stay and whose results are in messages that go."""
    calls = [
        pair.call
        for pair in said.pairs
        if pair.is_message and pair.at in gone and pair.call.version not in gone
    ]
    for version, tool_id in said.lone:
        if version in gone:
            call = _call_before(facts, state, version, tool_id, live)
            if call is not None and call.version not in gone:
                calls.append(call)
    return [
        ReopenedCall(
            message_id=call.message_id,
            tool_id=call.tool_id,
            occurrence=call.occurrence,
            version=call.version,
            tokens=0,
        )
        for call in calls
    ]


def _call_before(
    facts: PlanFacts, state: SessionState, version: int, tool_id: str, live: Sequence[VersionRange]
) -> PendingCall | None:
    """Return the call that a result answers although it is far before it."""
    written = pydantic_core.to_json(tool_id)[1:-1]
    left = intersection(live, [(1, version - 1)])
    for found, data in facts.appended(left, holding=written, reverse=True):
        for place, id_, occurrence in answerable(readings_of(data)):
            open_call = readings_of(data)[place].is_open
            pending = state.window.pending.get(data["id"], tool_id, occurrence)
            if id_ == tool_id and open_call and pending is None:
                return PendingCall(tool_id, data["id"], found, 0, occurrence)
    return None


def _reopened_by_results(
    facts: PlanFacts,
    state: SessionState,
    recorded: set[int],
    gone: set[int],
    live: Sequence[VersionRange],
) -> list[ReopenedCall]:
    """Return the calls that have no result left once recorded ones are withdrawn."""
    reopened: dict[tuple[str, str, int], ReopenedCall] = {}
    for version in sorted(recorded):
        found = facts.record(version)
        result = None if found is None else found.event
        if not isinstance(result, ToolResultRecorded) or result.status == "running":
            continue
        name = result.message_id, result.tool_id, result.occurrence
        (message,) = facts.newest([message_key(result.message_id)])
        at = message.version or 0
        if name in reopened or at in gone or not contains(live, at):
            continue
        keys = [
            tool_result_key(*name[:2], kind, result.occurrence)
            for kind in RESULT_KINDS
            if kind != "running"
        ]
        others = {newest.version for newest in facts.newest(keys)} - {None}
        if others - recorded or state.window.pending.get(*name) is not None:
            continue
        reopened[name] = ReopenedCall(
            message_id=result.message_id,
            tool_id=result.tool_id,
            occurrence=result.occurrence,
            version=at,
            tokens=result.tokens,
        )
    return list(reopened.values())


# ---- the figures ------------------------------------------------------------------------------


def _tokens(state: SessionState, said: _Said, gone: set[int]) -> int:
    total = 0
    for version in gone:
        weight = state.window.weight(version)
        if weight is None:
            id_ = said.messages[version]["id"]
            weight = said.tokens[version] + sum(
                result.tokens for result in said.results.values() if result.message_id == id_
            )
        total += weight
    return total


def _ranges(said: _Said, versions: set[int]) -> list[VersionRange]:
    """Return versions as ranges with nothing of the conversation between that stays."""
    kept = sorted((said.messages.keys() | said.results.keys()) - versions)
    ranges: list[VersionRange] = []
    for version in sorted(versions):
        if ranges and (version == ranges[-1][1] + 1 or _joins(said, kept, ranges[-1][1], version)):
            ranges[-1] = (ranges[-1][0], version)
        else:
            ranges.append((version, version))
    return ranges


def _joins(said: _Said, kept: Sequence[int], last: int, version: int) -> bool:
    """Return whether everything between two versions was read, and nothing of it stays."""
    place = bisect_right(said.spans, last, key=_first) - 1
    is_read = place >= 0 and version <= said.spans[place][1]
    return is_read and bisect_right(kept, last) == bisect_right(kept, version)


def _first(span: VersionRange) -> int:
    return span[0]


def _unglued(state: SessionState, said: _Said, gone: set[int]) -> list[int]:
    """Return the messages that stay, and that no call and result lie around any more."""
    depth: Counter[int] = Counter()
    for pair in said.pairs:
        if pair.is_message and pair.call.version not in gone and pair.at not in gone:
            depth[pair.call.version] += 1
            depth[pair.at] -= 1
    for version, _ in said.lone:
        if version not in gone:
            depth[0] += 1
            depth[version] -= 1
    unglued: list[int] = []
    open_spans, left = 0, sorted(depth)
    for version in said.messages:
        while left and left[0] < version:
            open_spans += depth[left.pop(0)]
        if version not in gone and not open_spans and state.window.is_glued(version):
            unglued.append(version)
    return unglued
