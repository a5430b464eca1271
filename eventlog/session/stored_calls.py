"""What recording a result has to know of its message: its calls, and how much output it holds.

A message may have thousands of calls, and its budget counts their outputs together (M6). So the
message is read once, and what was recorded since is taken in, result by result (G6).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.parts import answerable, output_of, readings_of
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.session.events import ToolResultRecorded
    from eventlog.session.message_data import MessageData
    from eventlog.session.parts import Reading

__all__ = ["StoredCalls", "named_calls"]

NAMED_IDS: Final = 20
"""How many ids of calls an error names."""


@dataclass(slots=True)
class _Call:
    """A call that a result can answer, and what the message holds as its answer."""

    is_part: bool
    shows_result: bool
    """Whether a result that is recorded for it is its output; in some shapes that stands elsewhere."""
    characters: int = 0
    """Of its output, as it stands in the message."""
    answers: tuple[tuple[str, str], ...] = ()
    """The status, with the digest of the output or of what was kept of it elsewhere."""


class StoredCalls:
    """The calls of one stored message, up to the version ``seen`` of its session."""

    def __init__(self, data: MessageData, seen: int) -> None:
        self.seen = seen
        self._message_id = data["id"]
        self._calls: dict[tuple[str, int], _Call] = {}
        self._counts: dict[str, int] = {}
        self._alike: dict[tuple[str, tuple[str, str]], list[int]] = {}
        """The occurrences that have, or had, an answer: a heap by tool id and answer."""
        parts = data["parts"]
        readings = readings_of(data)
        lengths = [0 if (found := output_of(part)) is None else len(found.text) for part in parts]
        self._characters = sum(lengths)
        for place, tool_id, occurrence in answerable(readings):
            is_part = place < len(parts)
            call = _Call(is_part, _shows_result(readings[place]))
            call.characters = lengths[place] if is_part else 0
            self._calls[tool_id, occurrence] = call
            self._counts[tool_id] = occurrence + 1
        for place, tool_id, occurrence in answerable(readings):
            if place < len(parts):
                part = parts[place]
                self._note_answer(tool_id, occurrence, part.get("tool_status"), part)

    def take(self, result: ToolResultRecorded) -> None:
        """Take in a result that was recorded later than those before."""
        call = self._calls.get((result.tool_id, result.occurrence))
        if call is None or not call.is_part:
            return
        if call.shows_result:
            self._characters += len(result.output) - call.characters
            call.characters = len(result.output)
        fields = {"tool_output": result.output, **(result.large or {})}
        self._note_answer(result.tool_id, result.occurrence, result.status, fields)

    def count(self, tool_id: str, occurrence: int | None) -> int:
        """Return how many calls have this id; raise `InvalidMessage` if none of them is meant."""
        count = self._counts.get(tool_id, 0)
        if not count:
            has = named_calls([id_ for id_, _ in self._calls])
            raise InvalidMessage(
                f"message {self._message_id!r} has no call {tool_id!r}; it has {has}",
                field="tool_id",
            )
        if occurrence is not None and occurrence >= count:
            raise InvalidMessage(
                f"message {self._message_id!r} has {count} calls {tool_id!r}, so their occurrences "
                f"are 0 to {count - 1}, not {occurrence}",
                field="occurrence",
            )
        return count

    def characters_beside(self, tool_id: str, occurrence: int) -> int:
        """Return how many characters of output the message holds beside those of one call."""
        return self._characters - self._calls[tool_id, occurrence].characters

    def answered_by(self, tool_id: str, status: str, output: str) -> int | None:
        """Return the first call with an id that has this very answer; None if none has."""
        answer = status, _digest(output)
        alike = self._alike.get((tool_id, answer), [])
        while alike:
            if answer in self._calls[tool_id, alike[0]].answers:
                return alike[0]
            heapq.heappop(alike)  # It was answered anew since.
        return None

    def _note_answer(
        self, tool_id: str, occurrence: int, status: object, fields: Mapping[str, Any]
    ) -> None:
        """Note what answers a call, where others have its id and are to be told from it."""
        if self._counts[tool_id] == 1:
            return
        output, kept = fields.get("tool_output"), fields.get("tool_output_sha256")
        digests = {_digest(output)} if isinstance(output, str) else set[str]()
        if isinstance(kept, str):
            digests.add(kept)
        answers = tuple((status, digest) for digest in digests if isinstance(status, str))
        self._calls[tool_id, occurrence].answers = answers
        for answer in answers:
            heapq.heappush(self._alike.setdefault((tool_id, answer), []), occurrence)


def _shows_result(found: Reading) -> bool:
    return found.result is None or found.slot == ("tool_output",)


def _digest(output: str) -> str:
    return digest_of(output.encode("utf-8", "surrogatepass"))


def named_calls(ids: Sequence[str]) -> str:
    """Return the ids of calls as an error says them, at most 20."""
    if not ids:
        return "no calls"
    more = f" and {len(ids) - NAMED_IDS:,} more" if len(ids) > NAMED_IDS else ""
    return ", ".join(map(repr, ids[:NAMED_IDS])) + more
