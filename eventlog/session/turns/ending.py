"""What ends together with a turn: its open calls get a result, or its messages are withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.identifiers import derived_id
from eventlog.session.command import Draft
from eventlog.session.events import ToolResultRecorded
from eventlog.session.message_data import tool_result_key
from eventlog.session.tokens import estimate_tokens
from eventlog.session.turns.events import TurnAbandoned
from eventlog.session.version_ranges import contains, intersection, withdrawal_of
from eventlog.session.withdrawals.planning import plan_withdrawal

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventlog.session.pending_calls import PendingCall
    from eventlog.session.state import SessionState
    from eventlog.session.turns.events import TurnEvent
    from eventlog.session.turns.state import Turn
    from eventlog.session.withdrawals.planning import Plan, PlanFacts

__all__ = [
    "INTERRUPTED",
    "Ending",
    "abandoned",
    "end_drafts",
    "gather_ending",
    "interrupted",
    "live_part",
]

LOST: Final = "its lease lapsed and was not renewed"
"""The reason for which a stale turn is abandoned."""

INTERRUPTED: Final = "interrupted"
"""The output of a call whose work ended before its answer; a later result replaces it."""


class Ending(NamedTuple):
    """How an open turn is to end: with what is withdrawn, and the open calls that are closed."""

    plan: Plan | None = None
    calls: tuple[tuple[PendingCall, str], ...] = ()
    """The calls, each with the key of its result."""
    unfinished: tuple[Draft, ...] = ()
    """What ends the messages that are still being written; it comes first."""


def live_part(facts: PlanFacts, state: SessionState, turn: Turn) -> tuple[set[int], set[int]]:
    """Return the versions of the messages of a turn that are live, and of the results that were not
    withdrawn."""
    live = state.window.ranges(state.version)
    messages = {version for version, _ in facts.appended(intersection(live, turn.messages))}
    results = {version for version in turn.results if not withdrawal_of(state.withdrawn, version)}
    return messages, results


def gather_ending(facts: PlanFacts, state: SessionState, *, withdraws: bool) -> Ending:
    """Read what ends together with the open turn."""
    turn = state.turn
    if turn is None:
        return Ending()
    if withdraws:
        messages, results = live_part(facts, state, turn)
        return Ending(plan_withdrawal(facts, state, messages, results=results, closes=True))
    calls = own_calls(state)
    keys = [
        tool_result_key(call.message_id, call.tool_id, INTERRUPTED, call.occurrence)
        for call in calls
    ]
    if keys and state.withdrawn:
        keys = [newest.key for newest in facts.newest(keys)]
    return Ending(None, tuple(zip(calls, keys, strict=True)))


def abandoned(turn: Turn, reason: str = LOST) -> TurnAbandoned:
    """Return the end of a turn that others end."""
    return TurnAbandoned(turn=turn.turn_id, attempt=turn.attempt, reason=reason)


def own_calls(state: SessionState) -> list[PendingCall]:
    """Return the open calls that messages of the open turn make."""
    turn = state.turn
    if turn is None:
        return []
    return [call for call in state.window.pending if contains(turn.messages, call.version)]


def end_drafts(
    state: SessionState,
    ending: Ending,
    event: TurnEvent | None,
    *,
    without: Collection[int] = (),
) -> list[Draft]:
    """Return the drafts that end what is unfinished, the last of them with ``event``, the end of the open
    turn, if there is one.

    Calls of messages ``without`` which the session is from then on get no result.
    """
    drafts = [*ending.unfinished]
    if ending.plan is not None:
        drafts.append(Draft(ending.plan.event))
    drafts += [
        Draft(interrupted(call), derived_id(state.session_id, key))
        for call, key in ending.calls
        if call.version not in without
    ]
    return drafts if event is None else [*drafts, Draft(event)]


def interrupted(call: PendingCall) -> ToolResultRecorded:
    """Return the result of a call that nobody answers any more."""
    return ToolResultRecorded(
        message_id=call.message_id,
        tool_id=call.tool_id,
        output=INTERRUPTED,
        status="error",
        tokens=estimate_tokens(INTERRUPTED),
        occurrence=call.occurrence,
        interrupted=True,
    )
