"""The appends of one batch, decided on what is known about their sessions: answers and messages.

What a decision is based on may be out of date. For sessions to which the batch writes, the server
notices: it stores nothing unless each subject ends where the batch expects. Any other answer is valid
only if its session has just been looked up; `contested` names these sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.errors import DuplicateEvent, EventLogError, VersionConflict
from eventlog.store import EMPTY_HEAD, Appended, Head, Position, repeated
from eventlog.stores.jetstream.messages import EXPECTED, Message, Subjects, encode, encode_entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.store import Append, EventId

__all__ = ["Batch", "Known"]


class Known:
    """What is known about a session: its last record, and the versions of all its event ids."""

    __slots__ = ("head", "ids")

    def __init__(self, head: Head = EMPTY_HEAD, ids: dict[EventId, int] | None = None) -> None:
        self.head = head
        self.ids = {} if ids is None else ids


class Batch:
    """The appends of a batch: each sees the earlier ones and gets its own answer."""

    def __init__(
        self, subjects: Subjects, appends: Sequence[Append], known: Mapping[str, Known]
    ) -> None:
        self._subjects = subjects
        self._known = known
        self.messages: list[Message] = []
        self.contested: set[str] = set()
        """Sessions with an append whose answer is not a plain addition."""
        self.changed: dict[str, Known] = {}
        """What will be known about the sessions written to, with positions that count from 0."""
        self._answers = [self._decide(append) for append in appends]

    def answers(self, first: int) -> list[Appended | EventLogError]:
        """Return the answers, if the first message was stored at this sequence."""
        return [
            answer._replace(positions=tuple(Position(first + at) for at in answer.positions))
            if isinstance(answer, Appended)
            else answer
            for answer in self._answers
        ]

    def _decide(self, append: Append) -> Appended | EventLogError:
        answer = self._repeated(append) or self._refused(append)
        if answer is None:
            return self._add(append)
        self.contested.add(append.stream)
        return answer

    def _repeated(self, append: Append) -> Appended | EventLogError | None:
        """Answer an append with ids that are already stored: a replay if all are, in order; else refuse."""
        staged = self.changed.get(append.stream)
        ids = [record.event_id for record in append.records]
        stored = self._known[append.stream].ids
        versions = [
            stored.get(event_id) or (staged.ids.get(event_id) if staged else None)
            for event_id in ids
        ]
        if any(versions):
            return repeated(append, versions)
        if len(set(ids)) < len(ids):
            return DuplicateEvent(append.stream, "one batch has an event id twice")
        return None

    def _refused(self, append: Append) -> VersionConflict | None:
        head = (self.changed.get(append.stream) or self._known[append.stream]).head
        if head.version == append.expected and append.previous in (None, head.hash):
            return None
        return VersionConflict(append.stream, append.expected, head.version)

    def _add(self, append: Append) -> Appended:
        stream, expected, records, entries, _ = append
        staged = self.changed.get(stream)
        subject = self._subjects.session(stream)
        previous = (staged or self._known[stream]).head.hash
        first = len(self.messages)
        for record in records:
            last = record is records[-1]
            message = encode(subject, record, previous, encode_entries(entries) if last else b"")
            self.messages.append(message)
            previous = record.hash
        if staged is None:
            # The first message of a subject carries the expected end of the subject.
            staged = self.changed[stream] = Known()
            self._expect(first, int(self._known[stream].head.position))
        newest = records[-1]
        staged.head = Head(
            newest.version, newest.hash, Position(len(self.messages) - 1), newest.time
        )
        staged.ids.update((record.event_id, record.version) for record in records)
        positions = tuple(Position(at) for at in range(first, len(self.messages)))
        return Appended(tuple(range(expected + 1, expected + 1 + len(records))), positions)

    def _expect(self, place: int, sequence: int) -> None:
        message = self.messages[place]
        headers = {**message.headers, EXPECTED: str(sequence)}
        self.messages[place] = message._replace(headers=headers)
