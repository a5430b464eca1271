"""Read a JetStream log, and notice if the server lost some of it.

Most records are read from any replica; what must exist is read from the leader. No server is trusted:
versions have no gaps within a session, each record names the hash of the one before it, sequences
have no gaps in the stream, and what this process has once seen must stay. Any violation raises
`CorruptLog`.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from itertools import count, takewhile
from typing import TYPE_CHECKING, Final, TypeVar

from eventlog.errors import CorruptLog
from eventlog.store import EMPTY_HEAD, PAGE_SIZE, START, Finding, Head, Position, Record, paged
from eventlog.stores.jetstream.api import last_message, next_message, some_messages
from eventlog.stores.jetstream.messages import Message, Stored, Subjects, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventlog.stores.jetstream.checkpoint import End
    from eventlog.stores.jetstream.link import Caller

__all__ = ["LAG_SECONDS", "Reader"]

Answer = TypeVar("Answer")

NEAR: Final = 64
"""Up to this many records are read and skipped rather than searching for the next place."""

PLACES: Final = 4_096
"""The number of sessions for which the places of some records are kept in memory."""

LAG_SECONDS: Final = 5.0
"""How long a new leader may take to show what the old one acknowledged."""

LAG_PAUSE: Final = 0.1
"""Seconds between two reads from a leader that lags."""


class _Places:
    """The places of some records of a session: versions and their sequences, ascending."""

    __slots__ = ("sequences", "versions")

    def __init__(self) -> None:
        self.versions = [0]
        self.sequences = [0]

    def learn(self, version: int, sequence: int) -> None:
        place = bisect_right(self.versions, version)
        if self.versions[place - 1] != version:
            self.versions.insert(place, version)
            self.sequences.insert(place, sequence)
            if len(self.versions) > NEAR:
                # The first and the last stay, and every second one between them.
                self.versions[1:-1] = self.versions[1:-1:2]
                self.sequences[1:-1] = self.sequences[1:-1:2]

    def around(self, version: int) -> tuple[int, int, int, int]:
        """Return the nearest known version below and, if any, not below, with their sequences."""
        place = bisect_right(self.versions, version - 1)
        low = self.versions[place - 1], self.sequences[place - 1]
        if place == len(self.versions):
            return (*low, 0, 0)
        return (*low, self.versions[place], self.sequences[place])


class Reader:
    """The records of one log."""

    def __init__(self, call: Caller, subjects: Subjects, where: str) -> None:
        self._call = call
        self._subjects = subjects
        self._where = where
        self._lock = threading.Lock()
        self.lag_seconds = 0.0
        """How long to wait for a leader that lags."""
        self._places: OrderedDict[str, _Places] = OrderedDict()
        self.newest = 0
        """The highest sequence known to be assigned."""
        self._end: End | None = None
        self._versions: dict[str, int] = {}
        """The versions that sessions once had, if the log is known to lack records."""

    # ---- the ends -----------------------------------------------------------------------------

    def head(self, session: str) -> Head:
        """Return the head of a session, from the leader."""
        version, sequence = self._last_place(session)
        version = max(version, self._versions.get(session, 0))
        subject = self._subjects.session(session)

        def look() -> Head:
            message = self._last(subject)
            return EMPTY_HEAD if message is None else _head(decode(message, session).record)

        found = self._until(look, lambda head: head.version >= version)
        moved = sequence and found.version == version and found.position != sequence
        if found.version < version or moved:
            raise CorruptLog(
                f"{self._where}: session {session!r} ends at version {found.version}, position "
                f"{found.position}, but version {version} was seen in it before: the server lost "
                "records; stop, look, restore it",
                stream=session,
                version=found.version + 1,
            )
        self.learn(session, found.version, found.position)
        return found

    def tip(self) -> Position:
        """Return the position of the newest record."""
        message = self.last()
        while message is not None and self._subjects.session_of(message.subject) is None:
            message = self._at(message.sequence - 1)
        return START if message is None else Position(message.sequence)

    def last(self) -> Message | None:
        """Return the newest message of the stream, from the leader."""
        newest = self.newest
        found: Message | None = self._until(
            lambda: self._last(">"),
            lambda message: (0 if message is None else message.sequence) >= newest,
        )
        sequence = 0 if found is None else found.sequence
        if sequence < newest:
            raise CorruptLog(
                f"{self._where} ends at position {sequence}, but position {newest} was seen in it "
                "before: the server lost records; stop, look, restore it"
            )
        self.newest = max(self.newest, sequence)
        return found

    def expect(self, end: End) -> None:
        """Expect a record that existed before this process began."""
        self._end = end
        self.learn(end.stream, end.version, end.sequence)

    def expect_versions(self, versions: dict[str, int]) -> None:
        """Expect sessions to reach versions, without waiting: the log is known to be damaged."""
        self._versions = versions
        self.lag_seconds = 0.0

    def lost(self) -> list[Finding]:
        """Return the sessions that end before a version that they once had."""
        found: list[Finding] = []
        for session in sorted(self._versions):
            try:
                self.head(session)
            except CorruptLog as error:
                found.append(Finding(session, error.version, "lost", str(error)))
        return found

    def check_end(self) -> None:
        """Raise `CorruptLog` if the log ends before its known end, or has another record there."""
        self.last()
        end = self._end
        if end is None:
            return
        message = self._at(end.sequence)
        if message is None or decode(message, end.stream).record.hash.hex() != end.hash:
            raise CorruptLog(
                f"{self._where}: position {end.sequence} is not version {end.version} of session "
                f"{end.stream!r} any more: the server lost records, and others took their places; "
                "stop, look, restore it",
                stream=end.stream,
                version=end.version,
            )

    def learn(self, session: str, version: int, sequence: int) -> None:
        """Remember the place of a record."""
        if version == 0:
            return
        with self._lock:
            places = self._places.get(session)
            if places is None:
                places = self._places[session] = _Places()
                if len(self._places) > PLACES:
                    self._places.popitem(last=False)
            self._places.move_to_end(session)
            places.learn(version, sequence)
            self.newest = max(self.newest, sequence)

    def _last_place(self, session: str) -> tuple[int, int]:
        with self._lock:
            places = self._places.get(session)
            return (0, 0) if places is None else (places.versions[-1], places.sequences[-1])

    def _last(self, subject: str) -> Message | None:
        return self._call(lambda client: last_message(client, self._subjects.name, subject))

    def _at(self, sequence: int) -> Message | None:
        return self._next(sequence, None) if sequence > 0 else None

    def _next(self, sequence: int, subject: str | None) -> Message | None:
        return self._call(
            lambda client: next_message(client, self._subjects.name, sequence, subject)
        )

    def _until(self, look: Callable[[], Answer], is_good: Callable[[Answer], bool]) -> Answer:
        """Repeat a read until it is good, or a new leader has had enough time."""
        deadline = time.monotonic() + self.lag_seconds
        while True:
            found = look()
            if is_good(found) or time.monotonic() > deadline:
                return found
            time.sleep(LAG_PAUSE)

    # ---- one session --------------------------------------------------------------------------

    def read(
        self,
        session: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Stored]:
        """Yield the records with ``after < version <= until``, by version, lazily."""
        head = self.head(session)
        high = head.version if until is None else min(until, head.version)

        def read_page(
            bounds: tuple[int, int], size: int
        ) -> tuple[list[Stored], tuple[int, int] | None]:
            low, high = bounds
            size = min(size, high - low)
            if reverse:
                page, left = (
                    self._page(session, high - size + 1, size, head)[::-1],
                    (low, high - size),
                )
            else:
                page, left = self._page(session, low + 1, size, head), (low + size, high)
            return page, left if left[0] < left[1] else None

        if after < high:
            yield from paged(read_page, (after, high), limit)

    def _page(self, session: str, first: int, size: int, head: Head) -> list[Stored]:
        """Return this many records from a version on; the session must have all of them.

        Replicas are read first. If one lacks records, or returns wrong ones, the leader decides.
        """
        version, sequence = self._before(session, first, head)
        wanted = first + size - 1 - version
        subject = self._subjects.session(session)
        messages = self._fetch(subject, sequence + 1, wanted, int(head.position))
        found = [decode(message, session) for message in messages]
        wrong = _wrong_version(found, version, wanted)
        if wrong is not None:
            messages = self._fetch_from_leader(subject, sequence + 1, wanted)
            found = [decode(message, session) for message in messages]
            wrong = _wrong_version(found, version, wanted)
        if wrong is not None:
            raise CorruptLog(
                f"{self._where}: session {session!r}, version {wrong} is missing or another than "
                f"the one that was written, and the session goes on to version {head.version}: the "
                "server lost or changed records; stop, look, restore it",
                stream=session,
                version=wrong,
            )
        last = found[-1].record
        self.learn(session, last.version, last.position)
        return found[first - 1 - version :]

    def _before(self, session: str, version: int, head: Head) -> tuple[int, int]:
        """Return a record shortly before a version (or the beginning), and its sequence.

        Between two known records the others are assumed to be spread evenly. Every second guess
        halves the rest, so the search is short however they are spread.
        """
        with self._lock:
            places = self._places.get(session) or _Places()
            low, low_sequence, high, high_sequence = places.around(version)
        if high == 0:
            high, high_sequence = head.version, int(head.position)
        halve = False
        while version - low > NEAR and high_sequence - low_sequence > 1:
            if high_sequence - low_sequence == high - low:  # All are contiguous.
                return version - 1, low_sequence + version - 1 - low
            share = 0.5 if halve else (version - low - NEAR / 2) / (high - low)
            guess = low_sequence + 1 + int((high_sequence - low_sequence - 1) * share)
            message = self._next(guess, self._subjects.session(session))
            if message is None:
                break
            record = decode(message, session).record
            self.learn(session, record.version, record.position)
            if record.version < version:
                low, low_sequence = record.version, message.sequence
            else:
                high, high_sequence = record.version, guess
            halve = not halve
        return low, low_sequence

    def _fetch(self, subject: str | None, sequence: int, count: int, last: int) -> list[Message]:
        """Return this many messages from a sequence on, or those up to the sequence ``last``."""
        found: list[Message] = []
        while len(found) < count and sequence <= last:
            page = self._some(sequence, subject, count - len(found))
            if not page:
                page = self._fetch_from_leader(subject, sequence, 1)
            if not page:
                break
            found += page
            sequence = page[-1].sequence + 1
        return found

    def _some(self, sequence: int, subject: str | None, count: int) -> list[Message]:
        return self._call(
            lambda client: some_messages(client, self._subjects.name, sequence, subject, count)
        )

    def _fetch_from_leader(self, subject: str | None, sequence: int, count: int) -> list[Message]:
        found: list[Message] = []
        while len(found) < count:
            message = self._next(sequence, subject)
            if message is None:
                break
            found.append(message)
            sequence = message.sequence + 1
        return found

    # ---- the whole log ------------------------------------------------------------------------

    def read_all(self, after: Position) -> Iterator[Record]:
        """Yield the records of all sessions after a position, up to the current end."""
        for message in self.messages(int(after)):
            session = self._subjects.session_of(message.subject)
            if session is not None:
                yield decode(message, session).record

    def messages(self, after: int) -> Iterator[Message]:
        """Yield all messages after a sequence, up to the current end.

        Raises `CorruptLog` at a missing one.
        """
        newest = self.last()
        last = 0 if newest is None else newest.sequence
        while after < last:
            size = min(PAGE_SIZE, last - after)
            page = self._fetch(None, after + 1, size, last)
            if _sound(page, after) < max(1, len(page)):
                page = self._fetch_from_leader(None, after + 1, size)
            sound = _sound(page, after)
            yield from page[:sound]
            if sound < max(1, len(page)):
                first = after + sound + 1
                behind = page[sound].sequence if page else first + 1
                raise CorruptLog(
                    f"{self._where}: {_positions(first, behind - 1)} missing, and the log goes on "
                    f"to {last}: the server lost records; `eventlog verify` names the "
                    "sessions, restore it",
                    position=Position(behind - 1),
                )
            after += sound


def _head(record: Record) -> Head:
    return Head(record.version, record.hash, record.position, record.time)


def _wrong_version(found: Sequence[Stored], version: int, count: int) -> int | None:
    """Return the first version after ``version`` that is missing or does not follow, or None."""
    previous: bytes | None = EMPTY_HEAD.hash if version == 0 else None
    for expected, stored in enumerate(found[:count], version + 1):
        if stored.record.version != expected or previous not in (None, stored.previous):
            return expected
        previous = stored.record.hash
    return None if len(found) >= count else version + len(found) + 1


def _sound(page: Sequence[Message], after: int) -> int:
    """Return how many messages at the beginning of a page follow ``after`` without a gap."""
    expected = zip(page, count(after + 1), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].sequence == pair[1], expected))


def _positions(first: int, last: int) -> str:
    return f"position {first} is" if first == last else f"positions {first} to {last} are"
