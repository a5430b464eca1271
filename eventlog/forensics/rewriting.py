"""Events of one session written anew for another: what names the session, its tasks or its versions
follows, everything else keeps its bytes.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from eventlog.chain import EMPTY_METADATA, GENESIS, chained_record
from eventlog.codec import (
    encode_event,
    encode_metadata,
    records_to_come,
    with_records_to_come,
    with_what_follows,
    without_what_follows,
)
from eventlog.errors import InvalidArgument
from eventlog.event_values import values_in
from eventlog.events import Event
from eventlog.identifiers import EventId, derived_id, format_id, key_part
from eventlog.recorded import Recorded
from eventlog.records import Metadata, Record
from eventlog.session.folding import apply
from eventlog.session.message_data import (
    inbound_key,
    key_again,
    message_key,
    tool_result_key,
)
from eventlog.session.state import SessionState
from eventlog.session.version_ranges import ascending, contains, withdrawal_of
from eventlog.session.window import Claimed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.event_values import Value
    from eventlog.session.version_ranges import VersionRange

__all__ = ["Piece", "Rewriting"]

Piece: TypeAlias = "Record | Event"
"""What stands in the new session: a record as it was, or another event."""

_RECKONED = frozenset({"messages_withdrawn", "turn_begun", "commit_prepared"})
"""The types of the events that count messages, or name versions under names of their own."""

_KEYS_TRIED = 64
"""Events of one command whose ids are recognised as following from its key."""


class Rewriting:
    """Writes the events of ``origin`` as those of ``into``, in order."""

    def __init__(self, origin: str, into: str) -> None:
        self._origin, self._into = origin, into
        self._state = SessionState(into)
        self._records: list[Record] = []
        self._hash = GENESIS
        self._group: list[_Draft] = []
        """What is written of the append under way."""
        self._places: list[int] = []
        """By version of the fork, in whose place of the origin each event stands; ascending."""
        self._kept: dict[int, int] = {}
        """By version of the origin, which version of the fork it is."""
        self._tasks: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        """Ids of events of the origin, and what they are now."""
        self._by_key: dict[EventId, int] = {}
        """The versions of messages and results of the fork, by the ids that follow from them."""
        self._gains: list[tuple[int, int, int]] = []
        """At which versions of the origin the fork has more messages and tokens."""
        self.edited: list[int] = []
        self.dropped: list[int] = []
        self.inserted: list[int] = []
        self.values: dict[str, Value] = {}
        """The values of events that were put in, by digest."""

    def take(self, record: Record, pieces: list[Piece]) -> None:
        """Take over one event of the origin as what stands in its place."""
        version, is_kept = record.version, False
        same_type = [piece for piece in pieces if piece is record or _type_of(piece) == record.type]
        place = pieces.index(same_type[0]) if same_type else -1
        for at, piece in enumerate(pieces):
            stands_for_it = at == place
            is_kept = is_kept or stands_for_it
            self._draft(record, piece, stands_for_it=stands_for_it)
            if not stands_for_it:
                self.inserted.append(version)
            elif piece is not record:
                self.edited.append(version)
        if not is_kept:
            self.dropped.append(version)
            self._note_gain(version, record, None)
        if not records_to_come(record):
            self._write_group()

    def finish(self, last: Event, by: Metadata | None) -> list[Record]:
        """Add the last event and return all records."""
        self._write_group()
        time = self._records[-1].time if self._records else 0
        draft = _Draft(last, None, time, EMPTY_METADATA if by is None else encode_metadata(by))
        self._group.append(draft)
        self._write_group()
        return self._records

    # ---- one event ----------------------------------------------------------------------------

    def _draft(self, record: Record, piece: Piece, *, stands_for_it: bool) -> None:
        metadata = self._metadata(record) if stands_for_it else EMPTY_METADATA
        if isinstance(piece, Event):
            metadata = with_what_follows(without_what_follows(metadata), piece)
            self.values.update((each.sha256, each) for each in values_in(piece))
        self._group.append(_Draft(piece, record if stands_for_it else None, record.time, metadata))
        self._places.append(record.version)
        if stands_for_it:
            self._kept[record.version] = len(self._places)
        if piece is not record:
            self._note_gain(record.version, record if stands_for_it else None, piece)

    def _note_gain(self, version: int, old: Record | None, new: Piece | None) -> None:
        before, after = _weight(old), _weight(new)
        if before != after:
            self._gains.append((version, after[0] - before[0], after[1] - before[1]))

    def _metadata(self, record: Record) -> bytes:
        """Return an event's metadata without what is said anew, and with the ids of this session."""
        if record.metadata == EMPTY_METADATA:
            return EMPTY_METADATA
        fields = cast("dict[str, Any]", json.loads(record.metadata))
        before = dict(fields)
        fields.pop("more", None)
        cause = fields.get("causation_id")
        if isinstance(cause, str):
            fields["causation_id"] = self._ids.get(cause, cause)
        if fields.get("turn") in self._tasks:
            fields["turn"] = self._tasks[fields["turn"]]
        return record.metadata if fields == before else _json(fields)

    def _write_group(self) -> None:
        """Chain the events of one append."""
        for place, draft in enumerate(self._group, 1):
            to_come = len(self._group) - place
            version = len(self._records) + 1
            type_, schema, data = self._content(draft.piece, version)
            event_id = self._event_id(draft, version, type_, data)
            metadata = with_records_to_come(draft.metadata, to_come) if to_come else draft.metadata
            record = chained_record(
                self._hash, self._into, version, event_id, type_, schema, draft.time, data, metadata
            )
            self._fold(record, draft)
            self._hash = record.hash
            self._records.append(record)
        self._group = []

    def _fold(self, record: Record, draft: _Draft) -> None:
        """Refuse a step that the machines do not have, unless the origin has taken it, too."""
        illegal = len(self._state.findings)
        apply(self._state, Recorded(record))
        found = self._state.findings[illegal:]
        is_changed = bool(self.edited or self.dropped or self.inserted)
        if found and is_changed:
            at = (
                "an event that is put in"
                if draft.origin is None
                else f"version {draft.origin.version}"
            )
            raise InvalidArgument(
                f"{at}, a {record.type}, cannot follow what is before it in the fork "
                f"({found[0][1]}); drop it as well, or keep what it follows"
            )

    def _content(self, piece: Piece, version: int) -> tuple[str, int, bytes]:
        if isinstance(piece, Event):
            type_, schema, data = piece.event_type, piece.event_schema, encode_event(piece)
            is_new = True
        else:
            type_, schema, data = piece.type, piece.schema, piece.data
            is_new = False
        if "." in type_:
            return type_, schema, data  # An application's own: only it knows what is in there.
        fields = cast("dict[str, Any]", json.loads(data))
        rewritten = self._rewritten(type_, fields, version, is_new=is_new)
        return type_, schema, data if _json(rewritten) == _json(fields) else _json(rewritten)

    def _event_id(self, draft: _Draft, version: int, type_: str, data: bytes) -> EventId:
        """Return the id of an event: one that followed from a key follows from it here as well."""
        origin = draft.origin
        key = f"fork\0{version}" if origin is None else f"fork\0{origin.event_id.hex()}"
        found = derived_id(self._into, key)
        own = _key_of(type_, data)
        if own is not None:
            found = self._first_free(own, version)
        elif origin is not None:
            found = self._id_by_key(origin) or found
        if origin is not None:
            self._ids[format_id(origin.event_id)] = format_id(found)
        return found

    def _first_free(self, key: str, version: int) -> EventId:
        """Return the id for a message or result, in whose place none is that was not withdrawn."""
        while True:
            found = derived_id(self._into, key)
            before = self._by_key.get(found)
            at = 0 if before is None else withdrawal_of(self._state.withdrawn, before)
            if not at:
                self._by_key[found] = version
                return found
            key = key_again(key, at)

    def _id_by_key(self, record: Record) -> EventId | None:
        if b'"idempotency_key"' not in record.metadata:
            return None
        key = Recorded(record).metadata.idempotency_key
        if key is None:
            return None
        for number in range(_KEYS_TRIED):
            if derived_id(self._origin, key, number) == record.event_id:
                return derived_id(self._into, key, number)
        return None

    # ---- what names the session, its tasks and its versions -----------------------------------

    def _rewritten(
        self, type_: str, fields: dict[str, Any], version: int, *, is_new: bool
    ) -> dict[str, Any]:
        found = cast("dict[str, Any]", self._with_references(fields))
        if "task_id" in found:
            found["task_id"] = self._task(found["task_id"])
        if found.get("turn") in self._tasks:  # The turn of a run has the id of its task.
            found["turn"] = self._tasks[found["turn"]]
        if "follow_ups" in found:
            found["follow_ups"] = [
                {**each, "task_id": self._task(each["task_id"])} for each in found["follow_ups"]
            ]
        if is_new:
            return found  # Whoever wrote it knows the versions of the fork.
        for name in ("fence", "as_of", "usage_after", "usage_until", "overview_version"):
            if isinstance(found.get(name), int):
                found[name] = self._version(found[name])
        for name in ("takes", "retains", "ranges", "moved"):
            if name in found:
                found[name] = self._ranges(found[name])
        if type_ in _RECKONED:
            self._reckon(type_, found, version)
        return found

    def _reckon(self, type_: str, found: dict[str, Any], version: int) -> None:
        """Have an event name and count what is there in the fork."""
        if type_ == "messages_withdrawn":
            self._withdraw(found)
        elif type_ == "turn_begun":
            steps = found.get("steps", {})
            found["steps"] = {name: self._version(each) for name, each in steps.items()}
        elif self._gains:
            self._recount(found, version)

    def _with_references(self, value: Any) -> Any:
        """Return a value in which references to the session's tool outputs are the new one's."""
        if isinstance(value, str):
            prefix = f"eventlog://{key_part(self._origin)}/"
            whole = value.startswith(prefix)
            return f"eventlog://{key_part(self._into)}/{value[len(prefix) :]}" if whole else value
        if isinstance(value, list):
            return [self._with_references(each) for each in cast("Iterable[Any]", value)]
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {name: self._with_references(each) for name, each in fields.items()}
        return value

    def _task(self, task_id: str) -> str:
        """Return the id of a task in the fork: tasks of a log have one name space."""
        found = self._tasks.get(task_id)
        if found is None:
            found = format_id(derived_id(self._into, f"fork\0{task_id}"))
            self._tasks[task_id] = found
        return found

    def _version(self, version: int) -> int:
        """Return the version that one of the origin has here; of one that was dropped, the one
        before it."""
        return self._kept.get(version) or bisect_right(self._places, version)

    def _ranges(self, ranges: list[VersionRange]) -> list[VersionRange]:
        """Return version ranges, with what was put in at a version of theirs."""
        spans = (
            (bisect_left(self._places, first) + 1, bisect_right(self._places, last))
            for first, last in ranges
        )
        return [(first, last) for first, last in spans if first <= last]

    def _withdraw(self, withdrawal: dict[str, Any]) -> None:
        """Have a withdrawal name and count what is live of it in the fork."""
        withdrawal["unglued"] = [self._version(each) for each in withdrawal.get("unglued", ())]
        withdrawal["reopens"] = [
            {**each, "version": self._version(each["version"])}
            for each in withdrawal.get("reopens", ())
        ]
        window = self._state.window
        if self._gains and window.count == len(window.versions):
            left = window.copy()
            left.withdraw(self._state.version + 1, ascending(withdrawal["ranges"]), 0, 0)
            withdrawal["count"] = window.count - left.count
            withdrawal["tokens"] = window.tokens - left.tokens

    def _recount(self, commit: dict[str, Any], version: int) -> None:
        """Have a commit count what it takes and retains in the fork."""
        window = self._state.window
        if self._state.status != "open" or window.count != len(window.versions):
            return self._add_gains(commit)
        left = window.copy()
        claimed = Claimed(commit["retains"], commit["message_count"], commit["tokens"])
        left.archive(version, ascending(commit["takes"]), claimed)
        commit["message_count"] = window.count - left.count
        commit["tokens"] = window.tokens - left.tokens
        commit["retained_count"] = left.count
        return None

    def _add_gains(self, commit: dict[str, Any]) -> None:
        """Do the same where not every live message is known singly."""
        for place, messages, tokens in self._gains:
            at = bisect_left(self._places, place) + 1
            if contains(commit["takes"], at):
                commit["message_count"] += messages
                commit["tokens"] += tokens
            elif contains(commit["retains"], at):
                commit["retained_count"] += messages


class _Draft:
    """What is to be written: an event, and the record that it stands for, if it stands for one."""

    __slots__ = ("metadata", "origin", "piece", "time")

    def __init__(self, piece: Piece, origin: Record | None, time: int, metadata: bytes) -> None:
        self.piece, self.origin, self.time, self.metadata = piece, origin, time, metadata


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _type_of(piece: Piece) -> str:
    return piece.event_type if isinstance(piece, Event) else piece.type


def _weight(piece: Piece | None) -> tuple[int, int]:
    """Return how many messages an event adds to the live ones, and how many tokens."""
    if piece is None or _type_of(piece) not in ("message_appended", "tool_result_recorded"):
        return 0, 0
    event: Any = piece if isinstance(piece, Event) else Recorded(piece).event
    return int(_type_of(piece) == "message_appended"), event.tokens


def _key_of(type_: str, data: bytes) -> str | None:
    """Return the key that an event's id follows from by itself."""
    if type_ == "message_appended":
        return message_key(json.loads(data)["message"]["id"])
    if type_ == "message_enqueued":
        return inbound_key(json.loads(data)["message"]["id"])
    if type_ in ("tool_result_recorded", "result_kept"):
        fields = json.loads(data)
        kinds = [kind for kind in ("abandoned", "interrupted") if fields.get(kind)]
        kind = kinds[0] if kinds else fields["status"]
        return tool_result_key(
            fields["message_id"], fields["tool_id"], kind, fields.get("occurrence", 0)
        )
    return None
