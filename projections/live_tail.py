"""The live messages: those that no commit has taken, and those that commits retained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from eventlog.projection import Projection
from eventlog.session.folding import apply
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message
from eventlog.session.reading import message_of, with_result
from eventlog.session.state import SessionState

if TYPE_CHECKING:
    from eventlog.recorded import Recorded
    from eventlog.session.events import MessageAppended, ToolResultRecorded

__all__ = ["LiveTail", "LiveTailState"]


@dataclass(slots=True)
class LiveTailState:
    """The live messages by version, ascending, and the version of each by its id."""

    session: SessionState
    messages: dict[int, MessageData] = field(default_factory=dict[int, MessageData])
    versions: dict[str, int] = field(default_factory=dict[str, int])


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
                _complete(state, cast("ToolResultRecorded", recorded.event))
            case "commit_prepared":
                _retain(state)
            case _:
                pass
        return state

    def view(self, state: LiveTailState) -> tuple[Message, ...]:
        return tuple(message_of(data, version) for version, data in state.messages.items())


def _append(state: LiveTailState, recorded: Recorded) -> None:
    data = cast("MessageAppended", recorded.event).message
    state.messages[recorded.version] = data
    state.versions[data["id"]] = recorded.version


def _complete(state: LiveTailState, result: ToolResultRecorded) -> None:
    version = state.versions.get(result.message_id)
    if version is not None:
        state.messages[version] = with_result(state.messages[version], result)


def _retain(state: LiveTailState) -> None:
    """Keep the messages that are live after a commit."""
    retained = state.session.window.closed
    state.messages = {
        version: data
        for version, data in state.messages.items()
        if any(first <= version <= last for first, last in retained)
    }
    state.versions = {data["id"]: version for version, data in state.messages.items()}
