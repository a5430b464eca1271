"""The newest messages of a session, read backwards only as far as a question needs.

A context within a budget, the last messages, a truncated list: each depends on the newest messages
and on the first one of the user, whatever lies between. What makes it subtle are pairs: a result may
answer a call that was not read. Which live message does is known from the window (`Window.glued_from`,
`Window.newest_call`); only a result that was not awaited is looked for in what was not read, once per
process (`Findings`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import pydantic_core

from eventlog.session.parts import begins_round, is_plain, lone_results, readings_of
from eventlog.session.version_ranges import VersionRange, ascending, contains, intersection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.session.events import ToolResultRecorded
    from eventlog.session.message_data import MessageData
    from eventlog.session.parts import LoneResult
    from eventlog.session.reading import MessageReader, StoredMessage
    from eventlog.session.window import Window

__all__ = ["Findings", "FirstQuestion", "Recent"]

FIRST_PAGE: Final = 32
"""The records that are read first; after them as many again as were read, up to `LAST_PAGE`."""

LAST_PAGE: Final = 2_048

REMEMBERED: Final = 4_096
"""Results without a call that are remembered: beyond that, all are looked for again."""


class _Scanned(NamedTuple):
    ranges: tuple[VersionRange, ...] = ()
    """Where the first question was looked for, the last range up to where."""
    question: int = 0
    """The version of the first question in them; 0 where there is none."""
    called: frozenset[str] = frozenset()
    """The ids of the calls in them, if they have no question."""


@dataclass(slots=True)
class Findings:
    """What was found out by reading far: it stays true as long as the same messages are shown."""

    uncalled: dict[tuple[int, str], VersionRange] = field(
        default_factory=dict[tuple[int, str], VersionRange]
    )
    """Results by version and tool id: from which version on, and before which, they have no call."""
    first: _Scanned = field(default_factory=_Scanned)
    """How far the first question was looked for. It is replaced, never changed: threads share it."""


class Recent:
    """The newest messages within version ranges, as many as were read so far."""

    def __init__(
        self,
        reader: MessageReader,
        ranges: Sequence[VersionRange],
        window: Window,
        findings: Findings,
        archives: Sequence[Sequence[VersionRange]] = (),
    ) -> None:
        """``archives`` are what the archives among the ranges take, in order."""
        self._reader = reader
        self._left = ascending(ranges)
        self._head = self._left[-1][1] if self._left else 0
        self._archives = archives
        self._window = window
        self._findings = findings
        self._pages: list[list[StoredMessage]] = []
        self._results: dict[int, ToolResultRecorded] = {}
        self._read = 0
        self.tokens = 0
        """What the messages read so far weigh, as recorded."""
        self.count = 0

    @property
    def is_whole(self) -> bool:
        """Return whether there is nothing left to read."""
        return not self._left

    def entries(self) -> list[StoredMessage]:
        """Return the messages read so far, in order."""
        return [entry for page in reversed(self._pages) for entry in page]

    def read_more(self) -> None:
        """Read as much again as was read."""
        self._read_page(min(max(self._read, FIRST_PAGE), LAST_PAGE))

    def read_messages(self, count: int) -> None:
        """Read at least so many messages, or all, and the calls that they answer."""
        while self.count < count and self._left:
            # Half as much again: results that were recorded later lie between messages.
            missing = count - self.count
            self._read_page(min(max(missing + missing // 2, FIRST_PAGE), LAST_PAGE))
        self.settle()

    def settle(self) -> None:
        """Read on until no result that was read answers a call that was not (C3)."""
        while self._left:
            start = self._first_needed()
            if start is None:
                return
            self._read_page(max(self._left[-1][1] - start + 1, min(self._read, LAST_PAGE)))

    def _read_page(self, size: int) -> None:
        taken, self._left = _newest(self._left, max(size, self._span(size)))
        found = self._reader.page(taken, self._results)
        self._pages.append(found)
        self._read += size
        self.count += len(found)
        self.tokens += sum(entry.tokens for entry in found)

    def _span(self, count: int) -> int:
        """Return how many versions the next ``count`` messages span, as far as they are known.

        Messages that were streamed have the records of their chunks between them.
        """
        start = self._window.nth_before(self._left[-1][1] + 1, count)
        if start is None:
            return 0
        return sum(last - max(first, start) + 1 for first, last in self._left if last >= start)

    def _first_needed(self) -> int | None:
        """Return the version of a call that was not read, though its result was."""
        end = self._left[-1][1] + 1
        glued = self._window.glued_from(end)
        if glued < end:
            return glued
        entries = self.entries()
        for lone in lone_results([entry.data for entry in entries]):
            version = entries[lone.place].version
            called = self._window.newest_call(lone.tool_id, end)
            if called is None and not (lone.has_call and self._window.knows(version)):
                called = self._call_before(version, lone, end)
            if called is not None:
                return called
        return None

    def _call_before(self, version: int, lone: LoneResult, end: int) -> int | None:
        """Look for the newest call of a result in what was not read.

        If it has one in what was read, only an open one would take precedence: one that was live
        together with the result.
        """
        lowest = self._left[0][0]
        if lone.has_call:
            lowest = max(lowest, self._live_beside(version))
        key, known = (version, lone.tool_id), self._findings.uncalled
        known_from, known_to = known.get(key, (end, end))
        if end <= lowest or (known_from <= lowest and end <= known_to):
            return None
        ranges = intersection(self._left, [(lowest, end)])
        found = newest_call(self._reader, ranges, lone.tool_id)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = lowest, end if lone.has_call else version
        return found

    def _live_beside(self, version: int) -> int:
        """Return the lowest version that was live when a message was: all of those are live still,
        or in its archive, or in later ones."""
        lowest = 0
        for takes in self._archives:
            if contains(takes, version):
                lowest = takes[0][0]
            elif lowest and takes:
                lowest = min(lowest, takes[0][0])
        live = self._window.first(self._head)
        return min(lowest or live, live)


def newest_call(reader: MessageReader, ranges: Sequence[VersionRange], tool_id: str) -> int | None:
    """Return the version of the newest message in ranges with a call of this id."""
    written = pydantic_core.to_json(tool_id)[1:-1]
    for version, data in reader.appended(ranges, holding=written, reverse=True):
        if tool_id in _calls(data):
            return version
    return None


class FirstQuestion:
    """The first message in ascending ranges with which the user says something.

    A user message that only carries results of calls before it is none (`begins_round`). Where it is
    stays known, so that later ones cost nothing, not even where there is none.
    """

    def __init__(
        self, reader: MessageReader, ranges: Sequence[VersionRange], findings: Findings
    ) -> None:
        self._reader = reader
        self._ranges = ranges
        self._findings = findings

    def found(self) -> list[StoredMessage]:
        """Return the message, or nothing where there is none."""
        version = self._version()
        return self._reader.messages([(version, version)]) if version else []

    def _version(self) -> int:
        known, rest = self._findings.first, self._ranges
        if not _continues(known.ranges, rest):
            known = _Scanned()
        elif known.question or known.ranges == tuple(rest):
            return known.question
        else:
            end = known.ranges[-1][1]
            rest = [(max(first, end + 1), last) for first, last in rest if last > end]
        called, question = set(known.called), 0
        for version, data in self._reader.appended(rest):
            if _is_question(data, called):
                question = version
                break
        self._findings.first = _Scanned(tuple(self._ranges), question, frozenset(called))
        return question


def _continues(known: Sequence[VersionRange], ranges: Sequence[VersionRange]) -> bool:
    """Return whether ranges are the known ones, and further versions behind them at most."""
    last = len(known) - 1
    return (
        0 <= last < len(ranges)
        and all(known[place] == ranges[place] for place in range(last))
        and known[last][0] == ranges[last][0]
        and known[last][1] <= ranges[last][1]
    )


def _is_question(data: MessageData, called: set[str]) -> bool:
    """Return whether the user says something; note the calls."""
    if is_plain(data):
        return data["role"] == "user"
    called.update(_calls(data))
    left = [
        found
        for found in readings_of(data)
        if found.call is not None or found.result is None or found.result.id in called
    ]
    return data["role"] == "user" and bool(left) and begins_round(left)


def _calls(data: MessageData) -> Iterator[str]:
    """Yield the ids of the calls in a message, as `pair_up` finds them."""
    for found in readings_of(data):
        if found.call is not None:
            yield found.call.id
        elif found.result is not None and data["role"] == "assistant":
            yield found.result.id


def _newest(
    ranges: Sequence[VersionRange], size: int
) -> tuple[list[VersionRange], list[VersionRange]]:
    """Split off the newest ``size`` versions of ascending ranges; return them, and what is left."""
    left, taken = list(ranges), list[tuple[int, int]]()
    while left and size > 0:
        first, last = left.pop()
        start = max(first, last - size + 1)
        taken.append((start, last))
        size -= last - start + 1
        if start > first:
            left.append((first, start - 1))
    return taken[::-1], left
