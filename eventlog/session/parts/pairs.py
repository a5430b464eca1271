"""Which result answers which call, and where a conversation may be cut without parting them.

A result belongs to the newest message that has an open call with its id, and there to the first
such call: providers reuse ids in one conversation, and even in one message.
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.session.parts.shapes import answerable, is_plain, readings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.session.message_data import MessageData
    from eventlog.session.parts.reading import Reading

__all__ = [
    "LoneResult",
    "OpenCall",
    "Pairs",
    "lone_results",
    "pair_up",
    "unanswered",
    "without_orphans",
]


class OpenCall(NamedTuple):
    """A call without a result: the place of its message, its id, and its place among equal ids."""

    place: int
    tool_id: str
    occurrence: int


class LoneResult(NamedTuple):
    """A result that answers no open call among the messages: its message's place, the call's id, and
    whether it has a call among them all the same, unless an open one precedes them."""

    place: int
    tool_id: str
    has_call: bool


class Pairs(NamedTuple):
    """How the calls and results of a conversation belong together."""

    glued: bytearray
    """1 for each message right before which a cut would part a call from its result."""
    orphans: list[tuple[int, int]]
    """The results without a call before them: message and place among its readings."""
    open: list[OpenCall]
    """The calls without a result, in order."""

    def whole_from(self, start: int) -> int:
        """Move a cut back to a place where it parts no call from its result."""
        while 0 < start < len(self.glued) and self.glued[start]:
            start -= 1
        return start


class _Pairing:
    """The pairs so far: the open calls by id, and the latest message with a call of each id."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []
        self.orphans: list[tuple[int, int]] = []
        self.lone: list[LoneResult] = []
        self.waiting: dict[str, list[tuple[int, deque[int]]]] = {}
        self.called: dict[str, int] = {}

    def read(self, place: int, role: str, readings: list[Reading]) -> None:
        occurrences = {number: which for number, _, which in answerable(readings)}
        for number, found in enumerate(readings):
            if found.call is not None:
                self.called[found.call.id] = place
                if found.is_open:
                    self._open(place, found.call.id, occurrences[number])
            elif found.result is not None:
                self._result(place, number, found.result.id, by_assistant=role == "assistant")

    def _result(self, place: int, number: int, tool_id: str, *, by_assistant: bool) -> None:
        asked = self._answer(tool_id)
        if asked is None:
            if by_assistant:
                # A call without arguments reads so once its result is written into it.
                self.called[tool_id] = place
            asked = self.called.get(tool_id)
            self.lone.append(LoneResult(place, tool_id, asked is not None))
        if asked is None:
            self.orphans.append((place, number))
        else:
            self.spans.append((asked, place))

    def _open(self, place: int, tool_id: str, occurrence: int) -> None:
        groups = self.waiting.setdefault(tool_id, [])
        if not groups or groups[-1][0] != place:
            groups.append((place, deque()))
        groups[-1][1].append(occurrence)

    def _answer(self, tool_id: str) -> int | None:
        """Close the open call that a result answers; return the place of its message, if any."""
        groups = self.waiting.get(tool_id)
        if not groups:
            return None
        place, occurrences = groups[-1]
        occurrences.popleft()
        if not occurrences:
            groups.pop()
        return place

    def glued(self, count: int) -> bytearray:
        """Return 1 for each place of a span after its first one, and 0 for all others."""
        if not self.spans:
            return bytearray(count)
        steps = [0] * (count + 1)
        for first, last in self.spans:
            steps[first + 1] += 1
            steps[last + 1] -= 1
        return bytearray(depth > 0 for depth in accumulate(steps[:count]))


def pair_up(messages: Sequence[MessageData]) -> Pairs:
    """Pair the calls and results of a conversation."""
    pairing = _paired(messages)
    waiting = [
        OpenCall(place, tool_id, occurrence)
        for tool_id, groups in pairing.waiting.items()
        for place, occurrences in groups
        for occurrence in occurrences
    ]
    return Pairs(pairing.glued(len(messages)), pairing.orphans, sorted(waiting))


def lone_results(messages: Sequence[MessageData]) -> list[LoneResult]:
    """Return the results that answer no open call among the messages: it may be before them."""
    return _paired(messages).lone


def _paired(messages: Sequence[MessageData]) -> _Pairing:
    pairing = _Pairing()
    for place, data in enumerate(messages):
        if not is_plain(data):
            pairing.read(place, data["role"], readings_of(data))
    return pairing


def unanswered(messages: Sequence[MessageData]) -> list[OpenCall]:
    """Return the open calls that a user message follows: they will get no result."""
    spoken = [
        place
        for place, data in enumerate(messages)
        if data["role"] == "user" and any(not _is_result(found) for found in readings_of(data))
    ]
    last = spoken[-1] if spoken else -1
    return [call for call in pair_up(messages).open if call.place < last]


def _is_result(found: Reading) -> bool:
    return found.result is not None and found.call is None


def without_orphans(messages: Sequence[MessageData]) -> list[MessageData | None]:
    """Return the messages without results that have no call before them; no model accepts those.

    A message with nothing but such results becomes None.
    """
    left: list[Any] = list(messages)
    gone: dict[int, set[int]] = {}
    for place, number in pair_up(messages).orphans:
        gone.setdefault(place, set()).add(number)
    for place, numbers in gone.items():
        data = messages[place]
        parts = [part for number, part in enumerate(data["parts"]) if number not in numbers]
        left[place] = {**data, "parts": parts} if parts else None
    return left
