"""The live messages: those that no commit has taken, and those that commits retained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from eventlog.projection import Projection
from eventlog.session.events import ToolResultRecorded
from eventlog.session.folding import apply
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message
from eventlog.session.reading import message_of, with_result
from eventlog.session.state import SessionState
from eventlog.session.version_ranges import contains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.recorded import Recorded
    from eventlog.session.events import MessageAppended
    from eventlog.session.version_ranges import VersionRange
    from eventlog.session.withdrawals.events import MessagesWithdrawn

__all__ = ["LiveTail", "LiveTailState"]


@dataclass(slots=True)
class LiveTailState:
    """The live messages by version, ascending, and the version of each by its id."""

    session: SessionState
    messages: dict[int, MessageData] = field(default_factory=dict[int, MessageData])
    versions: dict[str, int] = field(default_factory=dict[str, int])
    appended: dict[int, MessageData] = field(default_factory=dict[int, MessageData])
    """The messages as they were appended, without the results that came later."""
    results: dict[int, ToolResultRecorded] = field(default_factory=dict[int, ToolResultRecorded])
    """The results of the live messages, by version."""


class LiveTail(Projection[LiveTailState, tuple[Message, ...]]):
    """The messages that `Session.tail` returns, from any records, with the results of their calls.

    The state holds the messages themselves and grows with the tail, so there are no snapshots.
    """

    name = "live_tail"
    types = SESSION_MACHINE.events

    def initial(self) -> LiveTailState:
        return LiveTailState(SessionState(""))

    def apply(self, state: LiveTailState, recorded: Recorded) -> LiveTailState:
        illegal_steps = len(state.session.findings)
        apply(state.session, recorded)
        if len(state.session.findings) > illegal_steps:
            return state
        match recorded.type:
            case "message_appended":
                _append(state, recorded)
            case "tool_result_recorded":
                result = cast("ToolResultRecorded", recorded.event)
                state.results[recorded.version] = result
                _complete(state, result)
            case "commit_prepared":
                _retain(state, state.session.window.closed)
            case "messages_withdrawn":
                _withdraw(state, cast("MessagesWithdrawn", recorded.event))
            case _:
                pass
        return state

    def view(self, state: LiveTailState) -> tuple[Message, ...]:
        return tuple(message_of(data, version) for version, data in state.messages.items())


def _append(state: LiveTailState, recorded: Recorded) -> None:
    data = cast("MessageAppended", recorded.event).message
    state.messages[recorded.version] = state.appended[recorded.version] = data
    state.versions[data["id"]] = recorded.version


def _complete(state: LiveTailState, result: ToolResultRecorded) -> None:
    version = state.versions.get(result.message_id)
    if version is not None:
        state.messages[version] = with_result(state.messages[version], result)


def _withdraw(state: LiveTailState, event: MessagesWithdrawn) -> None:
    """Take out what is withdrawn; a message that stays and loses its result is read without it."""
    gone = [version for version in state.appended if contains(event.ranges, version)]
    results = [version for version in state.results if contains(event.ranges, version)]
    losing = {state.results.pop(version).message_id for version in results}
    for version in gone:
        del state.appended[version]
    _retain(state, [(version, version) for version in state.appended])
    for message_id in losing & state.versions.keys():
        version = state.versions[message_id]
        state.messages[version] = state.appended[version]
        for at, result in state.results.items():
            if result.message_id == message_id and at > version:
                _complete(state, result)


def _retain(state: LiveTailState, retained: Sequence[VersionRange]) -> None:
    """Keep the messages within some ranges only."""
    state.messages = {
        version: data for version, data in state.messages.items() if contains(retained, version)
    }
    state.appended = {version: state.appended[version] for version in state.messages}
    state.versions = {data["id"]: version for version, data in state.messages.items()}
    state.results = {
        version: result
        for version, result in state.results.items()
        if result.message_id in state.versions
    }
