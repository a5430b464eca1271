"""The live tail as ranges and sums: what a commit decides on, without the messages.

It does not hold the content of messages, so its size does not grow with that (L12). Single
messages are known only as far back as a commit may have to retain them: the newest `KEEP_LIMIT`,
and those of rounds that are held because a tool call in them awaits its result. Older live messages
are known as version ranges, a count and a sum.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import Field

from eventlog.session.pending_calls import PendingCall, PendingCalls
from eventlog.session.version_ranges import (
    VersionRange,
    ascending,
    contains,
    intersection,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["KEEP_LIMIT", "Claimed", "Retention", "VersionRange", "Window"]

KEEP_LIMIT: Final = 10_000
"""The largest ``keep_recent`` of a commit (C3)."""

_KNOWN_LIMIT: Final = KEEP_LIMIT + KEEP_LIMIT // 4
"""The count of known messages at which those beyond `KEEP_LIMIT` are first forgotten."""

_FORGET_EVERY: Final = _KNOWN_LIMIT - KEEP_LIMIT
"""How many more messages must be known before some are forgotten again: that costs a copy of all, and
may gain nothing while a long round is held."""

_OCCURRENCES: Final = 1_000_000
"""More calls than one message can hold."""

_NARROW, _WIDE = "H", "Q"
"""The type codes of the column of tokens: two bytes each, eight once a count does not fit. The
columns are most of what opening a session reads."""

_BEGINS: Final = 1
_GLUED: Final = 2
"""The bits of a known message: it begins a round; a cut right before it would part a tool call from
its result."""

_GLUE: Final = bytes(bits | _GLUED for bits in range(256))
"""Sets `_GLUED` in a slice at once: a late result may be far from its call."""

_Column = Annotated[Any, Field(exclude=True)]


class Retention(NamedTuple):
    """What a commit takes and what it leaves live, in versions, counts and tokens."""

    takes: list[VersionRange]
    retains: list[VersionRange]
    taken_count: int
    taken_tokens: int
    retained_count: int


class Claimed(NamedTuple):
    """What a commit claims: the ranges that stay live, and how much it takes."""

    retains: Sequence[VersionRange]
    messages: int
    tokens: int


@dataclass(slots=True)
class Window:
    """Which messages are live.

    ``closed`` are version ranges that earlier commits retained; every version after ``since`` is
    live too. ``versions``, ``weights`` and ``rounds`` describe the single messages that are known,
    in order: the version, the tokens, and two bits: whether it begins a round, and whether a cut
    right before it would part a call from its result. A snapshot has them outside of its JSON, as
    bytes behind it (`packed`).
    """

    closed: list[VersionRange] = field(default_factory=list[VersionRange])
    since: int = 0
    count: int = 0
    tokens: int = 0
    versions: _Column = field(default_factory=lambda: array("I"))
    weights: _Column = field(default_factory=lambda: array(_NARROW))
    rounds: _Column = field(default_factory=bytearray)
    pending: PendingCalls = field(default_factory=PendingCalls)
    """The tool calls without a result, in order."""
    turn: int = 0
    """The first version of the newest round, under the name that snapshots have; 0 if the next
    message begins one."""
    gaps: list[int] = field(default_factory=list[int])
    """Versions that no retained range may reach across: the messages right before them are archived
    already, or live but not known one by one."""
    forget_at: int = _KNOWN_LIMIT
    """The count of known messages at which the oldest are forgotten next."""
    held_from: int = 0
    """The version from which on no commit takes a message, because a turn is open; 0 if none is."""

    def copy(self) -> Window:
        return Window(
            closed=self.closed.copy(),
            since=self.since,
            count=self.count,
            tokens=self.tokens,
            versions=self.versions[:],
            weights=self.weights[:],
            rounds=self.rounds[:],
            pending=self.pending.copy(),
            turn=self.turn,
            gaps=self.gaps.copy(),
            forget_at=self.forget_at,
            held_from=self.held_from,
        )

    def shared(self) -> Window:
        """Return a window for a reader: the columns are shared, the rest is copied.

        Later records only add to these columns, and join calls and results in them: a commit puts
        others in their place.
        """
        return replace(
            self, closed=self.closed.copy(), pending=self.pending.copy(), gaps=self.gaps.copy()
        )

    def packed(self) -> bytes:
        """Return the type code of the tokens, then the columns of the known messages one after the
        other, in this machine's byte order."""
        weights = self.weights
        kind = weights.typecode.encode()
        return b"".join((kind, self.versions.tobytes(), weights.tobytes(), self.rounds))

    def unpack(self, data: memoryview) -> None:
        """Set the columns from what `packed` returned; raise `ValueError` if they are cut off."""
        is_wide = bytes(data[:1]) == _WIDE.encode()
        versions, weights = array("I"), array(_WIDE if is_wide else _NARROW)
        columns = data[1:]
        known, rest = divmod(len(columns), versions.itemsize + weights.itemsize + 1)
        if rest:
            raise ValueError("the columns of the live messages are cut off")
        width = known * versions.itemsize
        end = width + known * weights.itemsize
        versions.frombytes(columns[:width])
        weights.frombytes(columns[width:end])
        self.versions, self.weights, self.rounds = versions, weights, bytearray(columns[end:])

    def refuse_impossible(self, head: int) -> None:
        """Raise `ValueError` if no fold of ``head`` records can lead to this state."""
        known, ranges = self.versions, self.ranges(head)
        if known and not 1 <= known[0] <= known[-1] <= head:
            raise ValueError(f"live messages are known from {known[0]} to {known[-1]} of {head}")
        if self.count < len(known) or not 0 <= self.since <= head or ranges != ascending(ranges):
            raise ValueError("the figures of the live messages do not fit each other")
        if not all(0 <= call.occurrence < _OCCURRENCES for call in self.pending):
            raise ValueError("a message has more calls than it can hold")

    # ---- folding ------------------------------------------------------------------------------

    def append(self, version: int, tokens: int, begins_round: bool) -> None:
        """Add a new live message."""
        if begins_round or not self.turn:
            self.turn = version
            self.rounds.append(1)
        else:
            self.rounds.append(0)
        try:
            self.weights.append(tokens)
        except OverflowError:
            self.weights = array(_WIDE, self.weights)
            self.weights.append(tokens)
        self.versions.append(version)
        self.count += 1
        self.tokens += tokens
        if len(self.rounds) >= self.forget_at:
            self._forget_old()

    def call(self, tool_id: str, message_id: str, version: int, occurrence: int = 0) -> None:
        """Note a tool call that awaits its result."""
        self.pending.add(PendingCall(tool_id, message_id, version, self.turn, occurrence))

    def answer(
        self,
        tool_id: str,
        tokens: int = 0,
        message_id: str | None = None,
        *,
        occurrence: int = 0,
        at: int | None = None,
    ) -> bool:
        """Note a result; return whether a live call awaited it.

        The result's ``tokens`` are added to the call's message. Without a message's id it answers
        the newest message with an open call of the tool's id, and there the first such call; ``at``
        is then the version of the message with the result, which no commit parts from it (C3).
        """
        if message_id is None:
            call = self.pending.pop_newest(tool_id)
        else:
            call = self.pending.pop(message_id, tool_id, occurrence)
        if call is None:
            return False
        self.add_tokens(call.version, tokens)
        if at is not None:
            self._glue(call.version, at)
        return True

    def _glue(self, first: int, last: int) -> None:
        """Note that no cut may fall between the messages at two versions."""
        start = bisect_left(self.versions, first) + 1
        stop = bisect_right(self.versions, last)
        self.rounds[start:stop] = self.rounds[start:stop].translate(_GLUE)

    def add_tokens(self, version: int, tokens: int) -> None:
        """Add to the weight of the live message at ``version``."""
        place = bisect_left(self.versions, version)
        is_known = place < len(self.versions) and self.versions[place] == version
        if is_known and tokens < 0:  # What a withdrawn result had added.
            tokens = max(tokens, -self.weights[place])
        self.tokens = max(0, self.tokens + tokens)
        if is_known:
            try:
                self.weights[place] += tokens
            except OverflowError:
                self.weights = array(_WIDE, self.weights)
                self.weights[place] += tokens

    def archive(self, version: int, taken: Sequence[VersionRange], claimed: Claimed) -> None:
        """Apply a commit recorded at ``version``: the live messages in ``taken`` leave the tail.

        No other message leaves it, whatever the commit claims to retain. While every live message
        is known, those that leave and their tokens are counted here; otherwise the commit's own
        figures are used.
        """
        counts_all = self.count == len(self.versions)
        left = without(self.ranges(version - 1), taken)
        # If the commit's own ranges hold the same messages, they are kept: the ranges that are left
        # may also span records that are not messages, and would grow in number with every commit.
        stays = intersection(left, ascending(claimed.retains))
        segments = self._segments(left)
        if self._segments(stays) == segments and (counts_all or stays == left):
            left = stays
        elif counts_all:
            left = [(first, last) for first, last in left if self._knows_within(first, last)]
        newest = self.versions[-1] if self.versions else 0
        self._select([piece for start, stop in segments for piece in self._cut(start, stop)])
        held = self.versions
        if counts_all:
            self.count, self.tokens = len(held), sum(self.weights)
        else:
            self.count = max(len(held), self.count - claimed.messages)
            self.tokens = max(sum(self.weights), self.tokens - claimed.tokens)
        self.closed, self.since = left, version
        self.pending.keep(lambda call: _contains(held, call.version))
        if not held or held[-1] != newest:
            self.turn = 0
            self.gaps.append(version)

    def withdraw(
        self, version: int, holes: Sequence[VersionRange], count: int, tokens: int
    ) -> None:
        """Apply a withdrawal recorded at ``version``: the live messages in ``holes`` leave the tail.

        While every live message is known, those that leave and their tokens are counted here;
        otherwise the figures of the withdrawal are used. A hole is a gap: a range that reached
        across it would bring the withdrawn messages back with the next commit.
        """
        counts_all = self.count == len(self.versions)
        left = without(self.ranges(version - 1), holes)
        newest = self.versions[-1] if self.versions else 0
        edge = self._known_from()
        left = [
            (first, last) for first, last in left if first < edge or self._knows_within(first, last)
        ]
        segments = self._segments(left)
        pieces = [piece for start, stop in segments for piece in self._cut(start, stop)]
        self._select(pieces, rests_begin_rounds=False)
        held = self.versions
        if counts_all:
            self.count, self.tokens = len(held), sum(self.weights)
        else:
            self.count = max(len(held), self.count - count)
            self.tokens = max(sum(self.weights), self.tokens - tokens)
        self.closed, self.since = left, version
        self.pending.keep(lambda call: not contains(holes, call.version))
        if not held or held[-1] != newest:
            self.gaps.append(version)
        if self.turn and not _contains(held, self.turn):
            begun = self._last_beginning(len(held))
            self.turn = held[begun] if begun >= 0 else 0

    def reopen(self, call: PendingCall) -> None:
        """Have a live call await its result again: the result was withdrawn."""
        if self.pending.get(call.message_id, call.tool_id, call.occurrence) is not None:
            return
        begun = self._last_beginning(bisect_right(self.versions, call.version))
        round_start = self.versions[begun] if begun >= 0 else call.version
        calls = [*self.pending, call._replace(round_start=round_start)]
        calls.sort(key=lambda each: (each.version, each.occurrence))
        self.pending = PendingCalls(calls)

    def unglue(self, versions: Iterable[int]) -> None:
        """Note that a cut right before these messages parts no call from its result any more."""
        for version in versions:
            place = bisect_left(self.versions, version)
            if place < len(self.versions) and self.versions[place] == version:
                self.rounds[place] &= ~_GLUED & 0xFF

    # ---- deciding -----------------------------------------------------------------------------

    def retention(
        self, head: int, keep_recent: int, keep_turn_tokens: int | None = None
    ) -> Retention:
        """Plan a commit at version ``head`` (C3).

        It retains the newest ``keep_recent`` messages, or the newest whole rounds within
        ``keep_turn_tokens``, and every round with a tool call that awaits its result. If the cut
        would part a call from its result, it moves back to before the call.
        """
        known = len(self.versions)
        if keep_turn_tokens is None:
            cut = max(0, known - keep_recent)
        else:
            cut = self._round_cut(keep_turn_tokens)
        if self.held_from:
            cut = min(cut, bisect_left(self.versions, self.held_from))
        cut = self._whole_from(cut)
        segments = self._joined([*self._held_rounds(), (cut, known)])
        # After withdrawals fewer messages may be known than are to stay live: then all stay.
        if keep_turn_tokens is None and (keep_recent >= self.count or keep_recent > known):
            return Retention([], self.ranges(head), 0, 0, self.count)
        retains = [(self.versions[i], self.versions[j - 1]) for i, j in segments]
        retained_count = sum(j - i for i, j in segments)
        retained_tokens = sum(self._tokens_between(i, j) for i, j in segments)
        return Retention(
            takes=without(self.ranges(head), retains),
            retains=retains,
            taken_count=self.count - retained_count,
            taken_tokens=self.tokens - retained_tokens,
            retained_count=retained_count,
        )

    def ranges(self, head: int) -> list[VersionRange]:
        """Return the version ranges in which the live messages are, in order."""
        return [*self.closed, (self.since + 1, head)] if head > self.since else [*self.closed]

    @property
    def held_count(self) -> int:
        """How many live messages came after the open turn was begun."""
        return len(self.versions) - bisect_left(self.versions, self.held_from)

    def tokens_before(self, keep_recent: int) -> int:
        """Return the tokens of the live messages outside of the newest ``keep_recent`` (M8)."""
        known = len(self.versions)
        if keep_recent <= 0 or not known:
            return self.tokens
        return self.tokens - self._tokens_between(max(0, known - keep_recent), known)

    def glued_from(self, version: int) -> int:
        """Return where a cut right before a version is to move back to, so that it parts no call
        from its result: a lower version, or this one."""
        place = bisect_left(self.versions, version)
        whole = self._whole_from(place)
        return version if whole == place else self.versions[whole]

    def newest_call(self, tool_id: str, before: int) -> int | None:
        """Return the version, below ``before``, of the newest call with an id that awaits its
        result."""
        versions = (call.version for call in self.pending if call.tool_id == tool_id)
        return max((version for version in versions if version < before), default=None)

    def knows(self, version: int) -> bool:
        """Return whether a message is live and known singly."""
        return _contains(self.versions, version)

    def weight(self, version: int) -> int | None:
        """Return the tokens of a live message with its results; None if it is not known singly."""
        place = bisect_left(self.versions, version)
        known = place < len(self.versions) and self.versions[place] == version
        return int(self.weights[place]) if known else None

    def is_glued(self, version: int) -> bool:
        """Return whether a cut right before a known message would part a call from its result."""
        place = bisect_left(self.versions, version)
        known = place < len(self.versions) and self.versions[place] == version
        return known and bool(self.rounds[place] & _GLUED)

    def glued_until(self, version: int) -> int:
        """Return the last of the known messages from this one on that no cut may part from it."""
        place = bisect_left(self.versions, version) + 1
        while place < len(self.rounds) and self.rounds[place] & _GLUED:
            place += 1
        return int(self.versions[place - 1])

    def newest(self, count: int) -> list[int] | None:
        """Return the versions of the newest live messages; None if they are not all known singly."""
        count, known = min(count, self.count), len(self.versions)
        edge = bisect_left(self.versions, self._known_from())
        return list(self.versions[known - count :]) if count <= known - edge else None

    def behind(self, version: int) -> list[int] | None:
        """Return the versions of the live messages after one; None if they are not all known."""
        if version + 1 < self._known_from():
            return None
        return list(self.versions[bisect_right(self.versions, version) :])

    def first(self, head: int) -> int:
        """Return the first version that may be live, with ``head`` records."""
        return self.closed[0][0] if self.closed else min(self.since + 1, head)

    # ---- inside -------------------------------------------------------------------------------

    def _segments(self, ranges: Iterable[VersionRange]) -> list[tuple[int, int]]:
        """Return the places of the known messages in ranges, as segments that do not touch."""
        segments: list[tuple[int, int]] = []
        for first, last in ranges:
            start, stop = bisect_left(self.versions, first), bisect_right(self.versions, last)
            if start < stop and segments and segments[-1][1] == start:
                segments[-1] = (segments[-1][0], stop)
            elif start < stop:
                segments.append((start, stop))
        return segments

    def _knows_within(self, first: int, last: int) -> bool:
        return bisect_left(self.versions, first) < bisect_right(self.versions, last)

    def _tokens_between(self, start: int, stop: int) -> int:
        return sum(self.weights[start:stop])

    def _round_cut(self, budget: int) -> int:
        cut = end = len(self.versions)
        while cut:
            start = max(0, self.rounds.rfind(1, 0, cut))
            if self._tokens_between(start, end) > budget:
                break
            cut = start
        return cut

    def _held_rounds(self) -> list[tuple[int, int]]:
        held: list[tuple[int, int]] = []
        for first in sorted(self.pending.rounds()):
            start = self._whole_from(bisect_left(self.versions, first))
            # A round that is glued to the message before it does not end this one: its value is 3.
            end = self.rounds.find(_BEGINS, start + 1)
            held.append((start, len(self.versions) if end < 0 else end))
        return held

    def _whole_from(self, cut: int) -> int:
        """Move a cut back to a place where it parts no call from its result."""
        while 0 < cut < len(self.rounds) and self.rounds[cut] & _GLUED:
            cut -= 1
        return cut

    def _joined(self, segments: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Join segments that overlap or touch, but across no gap."""
        joined: list[tuple[int, int]] = []
        for start, stop in sorted(segments):
            if start >= stop:
                continue
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((start, stop))
        return [piece for start, stop in joined for piece in self._cut(start, stop)]

    def _cut(self, start: int, stop: int) -> Iterable[tuple[int, int]]:
        gaps = sorted({bisect_left(self.versions, version) for version in self.gaps})
        return pairwise([start, *(place for place in gaps if start < place < stop), stop])

    def _last_beginning(self, before: int) -> int:
        """Return the place, below ``before``, of the last message that begins a round; -1 if none."""
        return max(int(self.rounds.rfind(bits, 0, before)) for bits in (_BEGINS, _BEGINS | _GLUED))

    def _known_from(self) -> int:
        """Return a version from which on every live message is known singly."""
        if self.count == len(self.versions):
            return 0
        oldest = int(self.versions[0]) if self.versions else self.since + 1
        return max(self.gaps, default=oldest)

    def _select(self, segments: list[tuple[int, int]], *, rests_begin_rounds: bool = True) -> None:
        """Keep the known messages of these segments only.

        The rest of a round behind a gap counts as a round; with ``rests_begin_rounds`` false only
        if the message that began its round is among those that go.
        """
        segments = [(start, stop) for start, stop in segments if start < stop]
        newest = self.versions[-1] if self.versions else 0
        behind = [gap for gap in self.gaps if gap > newest]  # For the messages to come.
        self.gaps = [*(self.versions[start] for start, _ in segments[1:]), *behind[-1:]]
        versions, weights, rounds = array("I"), self.weights[:0], bytearray()
        end = 0
        for start, stop in segments:
            versions.extend(self.versions[start:stop])
            weights.extend(self.weights[start:stop])
            rounds += self.rounds[start:stop]
            gone = self.rounds[end:start]
            if start and (rests_begin_rounds or not end or any(bits & _BEGINS for bits in gone)):
                rounds[start - stop] |= _BEGINS
            end = stop
        self.versions, self.weights, self.rounds = versions, weights, rounds
        self.forget_at = max(_KNOWN_LIMIT, len(versions) + _FORGET_EVERY)

    def _forget_old(self) -> None:
        known = len(self.versions)
        cut = known - KEEP_LIMIT
        if self.held_from:
            cut = min(cut, bisect_left(self.versions, self.held_from))
        cut = self._whole_from(cut)
        self._select(self._joined([*self._held_rounds(), (cut, known)]))


def _contains(versions: array[int], version: int) -> bool:
    place = bisect_left(versions, version)
    return place < len(versions) and versions[place] == version
