"""The event that takes live messages out of the session. Few sessions have any, so this module is
imported when the first one is read."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.events import Event
from eventlog.session.version_ranges import VersionRange

__all__ = ["MessagesWithdrawn", "ReopenedCall"]


class ReopenedCall(TypedDict):
    """A live call that awaits its result again, because that was withdrawn.

    ``version`` is that of the call's message; ``tokens`` is what the result had added to it.
    """

    message_id: str
    tool_id: str
    occurrence: int
    version: int
    tokens: int


class MessagesWithdrawn(Event, type="messages_withdrawn"):
    """Live messages, and the results of their calls, left the session for good (M13).

    ``ranges`` are the versions of all that is withdrawn, with nothing between that stays; ``count``
    and ``tokens`` are those of the messages. ``reopens`` are calls that stay live and lose their
    result. ``unglued`` are messages that stay, before which a cut may fall again, as it parts no
    call from its result any more. ``moved`` are those of the versions whose messages the same
    append records once more, behind a message that was replaced. If ``clears``, contexts show
    nothing from before this event, no overview either.
    """

    ranges: list[VersionRange]
    count: int
    tokens: int
    reopens: list[ReopenedCall] = Field(default_factory=list[ReopenedCall])
    unglued: list[int] = Field(default_factory=list[int])
    moved: list[VersionRange] = Field(default_factory=list[VersionRange])
    clears: bool = False
