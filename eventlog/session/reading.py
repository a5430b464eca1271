"""Reading messages back from the records of their versions, with the results that came later.

Where the records come from is a parameter: a store, or a list of them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from eventlog.errors import CorruptLog, MessageWithdrawn
from eventlog.identifiers import derived_id
from eventlog.recorded import Recorded
from eventlog.session.appended import APPENDED, AppendedData, read_appended, read_message
from eventlog.session.events import ToolResultRecorded
from eventlog.session.message_data import MessageData, key_again, message_key, tool_result_key
from eventlog.session.messages import Message
from eventlog.session.parts import answerable, is_plain, readings_of, with_fields
from eventlog.session.stored_calls import StoredCalls
from eventlog.session.tool_output import without_large_output
from eventlog.session.version_ranges import ascending, withdrawal_of, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from eventlog.identifiers import EventId
    from eventlog.records import Head, Record
    from eventlog.session.version_ranges import VersionRange, Withdrawn

__all__ = ["MessageReader", "RecordSource", "StoredMessage", "message_of", "with_result"]

RESULT_KINDS = ("running", "completed", "error", "abandoned", "interrupted")
"""The kinds of results; a call may have one of each (`tool_result_key`)."""

KNOWN_CALLS: Final = 4
"""Of so many messages it is remembered which calls are answered: agents rarely run more at once."""

REREAD_RECORDS: Final = 1_000
"""After more records than these a message is read anew, instead of all that was recorded since."""


FIRST_STEP = 16
LARGEST_STEP = 4_096
"""Records that are read at once where it is not known how many are needed."""


class StoredMessage(NamedTuple):
    """A message with the results so far, its version, and its tokens."""

    version: int
    data: MessageData
    tokens: int
    schema: int = 2
    """The schema of its record; one of schema 1 did not weigh every part."""

    @property
    def message(self) -> Message:
        """The message itself; raises `CorruptLog` if the data is not a message."""
        return message_of(self.data, self.version)


def message_of(data: MessageData, version: int) -> Message:
    """Return the message that was stored; raise `CorruptLog` if the data is not a message."""
    try:
        return Message.model_validate(data)
    except ValueError as error:
        problem = str(error).replace("\n", " ")
        raise CorruptLog(
            f"version {version}: the message {data['id']!r:.80} is not one that was appended "
            f"({problem:.200}); run `eventlog verify`",
            version=version,
        ) from error


def with_result(data: MessageData, result: ToolResultRecorded) -> MessageData:
    """Return the message with a result in the call that it answers."""
    return with_results(data, {(result.tool_id, result.occurrence): result})


def with_results(
    data: MessageData, results: Mapping[tuple[str, int], ToolResultRecorded]
) -> MessageData:
    """Return the message with results, given by the id and occurrence of their calls."""
    parts = list(data["parts"])
    for place, tool_id, occurrence in answerable(readings_of(data)):
        result = results.get((tool_id, occurrence))
        if result is None:
            continue
        fields = _fields_of(result)
        if place < len(parts):
            bare = without_large_output(parts[place])
            bare.pop("abandoned", None)
            bare.pop("interrupted", None)
            parts[place] = {**bare, **fields}
        else:  # A call in a field of the message instead of a part.
            data = with_fields(data, place, fields)
    return cast("MessageData", {**data, "parts": parts})


def _fields_of(result: ToolResultRecorded) -> dict[str, Any]:
    fields: dict[str, Any] = {"tool_output": result.output, "tool_status": result.status}
    if result.duration_ms is not None:
        fields["duration_ms"] = result.duration_ms
    if result.abandoned:
        fields["abandoned"] = True
    if result.interrupted:
        fields["interrupted"] = True
    return {**fields, **(result.large or {})}


def _stored(record: Record) -> StoredMessage:
    appended = read_appended(record)
    return StoredMessage(record.version, appended["message"], appended["tokens"], record.schema)


def _result(record: Record) -> ToolResultRecorded:
    return cast("ToolResultRecorded", Recorded(record).event)


class Newest(NamedTuple):
    """What was recorded last under a key."""

    key: str
    """The key that the record has, or that the next one is to have."""
    version: int | None
    """Its version; None if there is none that was not withdrawn."""
    withdrawn: int = 0
    """The version of the newest record under the key that was withdrawn; 0 if there is none."""
    withdrawn_at: int = 0
    """The version of the event that withdrew that one."""


class RecordSource(Protocol):
    """The methods of a store that reading messages needs."""

    def read(
        self, stream: str, *, after: int = 0, until: int | None = None, reverse: bool = False
    ) -> Iterator[Record]: ...

    def head(self, stream: str) -> Head: ...

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]: ...


class MessageReader:
    """Reads the records and messages of one stream; its methods do I/O if the source does."""

    def __init__(
        self,
        source: RecordSource,
        stream: str,
        withdrawn: Callable[[], tuple[Withdrawn, ...]] = tuple,
    ) -> None:
        """``withdrawn`` returns what the session's state says of withdrawals (`SessionState`)."""
        self.stream = stream
        self._source = source
        self._withdrawn = withdrawn
        self._withdrawn_before: tuple[Withdrawn, ...] = ()
        self._known_calls: dict[str, StoredCalls] = {}
        """Those that results came for most recently, by message id; used by `calls` alone."""

    def record(self, version: int) -> Recorded | None:
        """Return the record at a version, or None."""
        found = self._source.read(self.stream, after=version - 1, until=version)
        return next((Recorded(record) for record in found), None)

    def versions(self, ids: Sequence[EventId]) -> dict[EventId, int]:
        """Return the versions of the ids that are stored; others are left out."""
        return self._source.find(self.stream, ids)

    def newest_of(self, types: Sequence[str]) -> Iterator[Recorded]:
        """Yield the records of some types, the newest first."""
        for record in self._source.read(self.stream, reverse=True):
            if record.type in types:
                yield Recorded(record)

    def recorded_as(self, key: str, number: int = 0) -> Recorded | None:
        """Return the ``number``-th record of the command with an idempotency key."""
        event_id = derived_id(self.stream, key, number)
        version = self._source.find(self.stream, [event_id]).get(event_id)
        return None if version is None else self.record(version)

    def message(self, message_id: str) -> Recorded | None:
        """Return the newest record of a message by the message's id; it may be withdrawn."""
        newest = self.newest([message_key(message_id)])[0]
        version = newest.version or newest.withdrawn
        found = self.record(version) if version else None
        return found if found is not None and found.type == "message_appended" else None

    def newest(self, keys: Sequence[str], as_of: int | None = None) -> list[Newest]:
        """Return what was recorded last under each key, withdrawals up to ``as_of`` included.

        What takes the place of something that was withdrawn has a key that follows from both.
        """
        withdrawn = self._withdrawn()
        newest = [Newest(key, None) for key in keys]
        left = list(range(len(keys)))
        while left:
            ids = [derived_id(self.stream, newest[place].key) for place in left]
            found = self._source.find(self.stream, ids)
            again: list[int] = []
            for place, id_ in zip(left, ids, strict=True):
                version, last = found.get(id_), newest[place]
                if version is None or (as_of is not None and version > as_of):
                    continue
                at = withdrawal_of(withdrawn, version, as_of) if withdrawn else 0
                if at:
                    newest[place] = Newest(key_again(last.key, at), None, version, at)
                    again.append(place)
                else:
                    newest[place] = last._replace(version=version)
            left = again
        return newest

    def withdrawal_of(self, version: int) -> int:
        """Return the version of the event that withdrew a message or result; 0 if none did."""
        return withdrawal_of(self._withdrawn(), version)

    def shown_ranges(self) -> list[VersionRange]:
        """Return the versions of the stream without those that were withdrawn."""
        holes = ascending((first, last) for first, last, _ in self._withdrawn())
        return without(self.whole_range(), holes)

    def said(
        self, ranges: Sequence[VersionRange]
    ) -> Iterator[tuple[int, AppendedData | ToolResultRecorded]]:
        """Yield the messages as they were appended, and the results, in ascending ranges."""
        for first, last in ranges:
            for record in self._source.read(self.stream, after=first - 1, until=last):
                if record.type == APPENDED:
                    yield record.version, read_appended(record)
                elif record.type == ToolResultRecorded.event_type:
                    yield record.version, _result(record)

    def calls(self, message_id: str, version: int) -> StoredCalls | None:
        """Return the calls of a message with what answered them up to a version of the session.

        For one caller at a time: what it returns is brought up to date at the next call. Raises
        `MessageWithdrawn` if the message was withdrawn and is not live again.
        """
        if self._withdrawn_before is not (withdrawn := self._withdrawn()):
            self._known_calls.clear()
            self._withdrawn_before = withdrawn
        known = self._known_calls.pop(message_id, None)
        if known is None or version - known.seen > REREAD_RECORDS:
            recorded = self.message(message_id)
            if recorded is None:
                return None
            if at := self.withdrawal_of(recorded.version):
                raise MessageWithdrawn(self.stream, message_id, recorded.version, at)
            (stored,) = self.messages([(recorded.version, recorded.version)])
            known = StoredCalls(stored.data, version)
        elif version > known.seen:
            for record in self._source.read(self.stream, after=known.seen, until=version):
                if record.type == "tool_result_recorded":
                    result = cast("ToolResultRecorded", Recorded(record).event)
                    if result.message_id == message_id:
                        known.take(result)
            known.seen = version
        if len(self._known_calls) >= KNOWN_CALLS:
            del self._known_calls[next(iter(self._known_calls))]
        self._known_calls[message_id] = known
        return known

    def messages(
        self,
        ranges: Sequence[VersionRange],
        *,
        last: int | None = None,
        as_of: int | None = None,
    ) -> list[StoredMessage]:
        """Return the messages in ascending ranges, in order; only the ``last`` ones if given.

        If a call has no result among the records that were read, its result is looked up: so a
        result counts wherever in the stream it is, up to the version ``as_of`` if that is given.
        """
        results: dict[int, ToolResultRecorded] = {}
        return self._completed(self._read(ranges, results, last), results, as_of)

    def page(
        self, ranges: Sequence[VersionRange], results: dict[int, ToolResultRecorded]
    ) -> list[StoredMessage]:
        """Return the messages in ascending ranges, which lie before those of the pages read so far.

        ``results`` are those found in passing by version, in all of these pages.
        """
        return self._completed(self._read(ranges, results), results, None)

    def appended(
        self, ranges: Sequence[VersionRange], *, holding: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[int, MessageData]]:
        """Yield the messages in ascending ranges with their versions, as they were appended; only
        those whose stored bytes hold ``holding``."""
        for first, last in reversed(ranges) if reverse else ranges:
            for record in self._in_steps(first, last, reverse=reverse):
                if record.type == APPENDED and holding in record.data:
                    yield record.version, read_appended(record)["message"]

    def _in_steps(self, first: int, last: int, *, reverse: bool) -> Iterator[Record]:
        """Yield the records of a range, which are read in growing steps: few may do."""
        size = FIRST_STEP
        while first <= last:
            if reverse:
                after, until = max(first - 1, last - size), last
                last = after
            else:
                after, until = first - 1, min(last, first - 1 + size)
                first = until + 1
            yield from self._source.read(self.stream, after=after, until=until, reverse=reverse)
            size = min(size * 4, LARGEST_STEP)

    def _read(
        self,
        ranges: Sequence[VersionRange],
        results: dict[int, ToolResultRecorded],
        last: int | None = None,
    ) -> list[StoredMessage]:
        """Return the messages in ranges as they were appended, and add the results to ``results``."""
        found: list[StoredMessage] = []
        for first, end in reversed(ranges):
            for record in self._source.read(self.stream, after=first - 1, until=end, reverse=True):
                if record.type == APPENDED:
                    found.append(_stored(record))
                    if len(found) == last:
                        return found[::-1]
                elif record.type == ToolResultRecorded.event_type:
                    results[record.version] = _result(record)
        found.reverse()
        return found

    def shown(self, ranges: Sequence[VersionRange]) -> list[Message]:
        """Return the messages in ascending ranges as callers are given them, in order.

        They are those of `messages`, read in the shortest way. Raises as `StoredMessage.message`.
        """
        found: list[Message | StoredMessage] = []
        results: dict[int, ToolResultRecorded] = {}
        for first, last in ranges:
            for record in self._source.read(self.stream, after=first - 1, until=last):
                if record.type == APPENDED:
                    found.append(read_message(record) or _stored(record))
                elif record.type == ToolResultRecorded.event_type:
                    results[record.version] = _result(record)
        changeable = [entry for entry in found if type(entry) is StoredMessage]
        completed = iter(self._completed(changeable, results, None))
        return [entry if type(entry) is Message else next(completed).message for entry in found]

    def first_message(self, ranges: Sequence[VersionRange]) -> Recorded | None:
        """Return the record of the first message in ascending ranges."""
        for first, last in ranges:
            for record in self._source.read(self.stream, after=first - 1, until=last):
                if record.type == "message_appended":
                    return Recorded(record)
        return None

    def whole_range(self) -> list[VersionRange]:
        """Return the range of all versions that the stream has."""
        head = self._source.head(self.stream).version
        return [(1, head)] if head else []

    def _completed(
        self,
        found: list[StoredMessage],
        results: dict[int, ToolResultRecorded],
        as_of: int | None,
    ) -> list[StoredMessage]:
        """Write the latest result into each call; ``results`` are those that were read already."""
        results = {**results, **dict(self._later_results(found, results, as_of))}
        if not results:
            return found
        by_message: dict[str, dict[tuple[str, int], ToolResultRecorded]] = {}
        for _, result in sorted(results.items()):
            call = (result.tool_id, result.occurrence)
            by_message.setdefault(result.message_id, {})[call] = result
        if len({entry.data["id"] for entry in found}) < len(found):
            return self._with_own_results(found, results)
        return [self._with_results(entry, by_message) for entry in found]

    def _with_own_results(
        self, found: Sequence[StoredMessage], results: dict[int, ToolResultRecorded]
    ) -> list[StoredMessage]:
        """Write results into messages of which some have one id: each belongs to the newest of them
        that was there before it."""
        versions: dict[str, list[int]] = {}
        for entry in found:
            versions.setdefault(entry.data["id"], []).append(entry.version)
        own: dict[int, dict[tuple[str, int], ToolResultRecorded]] = {}
        for version, result in sorted(results.items()):
            same = versions.get(result.message_id, [])
            place = bisect_left(same, version)
            if place:
                call = (result.tool_id, result.occurrence)
                own.setdefault(same[place - 1], {})[call] = result
        return [
            self._with_results(entry, {entry.data["id"]: own.get(entry.version, {})})
            for entry in found
        ]

    @staticmethod
    def _with_results(
        entry: StoredMessage, results: dict[str, dict[tuple[str, int], ToolResultRecorded]]
    ) -> StoredMessage:
        own = results.get(entry.data["id"])
        if not own:
            return entry
        tokens = entry.tokens + sum(result.tokens for result in own.values())
        return entry._replace(data=with_results(entry.data, own), tokens=tokens)

    def _later_results(
        self,
        found: Sequence[StoredMessage],
        known: dict[int, ToolResultRecorded],
        as_of: int | None,
    ) -> Iterator[tuple[int, ToolResultRecorded]]:
        """Look up, with their versions, results of calls that those read so far do not complete.

        A failed call is among them: it may have been completed since.
        """
        answered = {
            (result.message_id, result.tool_id, result.occurrence)
            for result in known.values()
            if result.status == "completed"
        }
        keys = [
            tool_result_key(message_id, tool_id, kind, occurrence)
            for message_id, tool_id, occurrence in _open_calls(found)
            if (message_id, tool_id, occurrence) not in answered
            for kind in RESULT_KINDS
        ]
        if not keys:
            return
        places = [newest.version for newest in self.newest(keys, as_of)]
        for version in places:
            skipped = version is None or version in known
            recorded = None if skipped or version is None else self.record(version)
            if recorded is not None and version is not None:
                yield version, cast("ToolResultRecorded", recorded.event)


def _open_calls(messages: Iterable[StoredMessage]) -> Iterator[tuple[str, str, int]]:
    """Yield message id, tool id and occurrence of the calls that came without a result."""
    for entry in messages:
        if is_plain(entry.data):
            continue
        readings = readings_of(entry.data)
        for place, tool_id, occurrence in answerable(readings):
            if readings[place].is_open:
                yield entry.data["id"], tool_id, occurrence
