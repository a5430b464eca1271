"""The live tool calls that await their results, found by what names them (G6).

One message may make thousands of calls, and each result has to find its own: by message, tool id and
occurrence, or as the newest call with a tool id. Neither looks at the others that are open, and a
copy shares what it does not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import core_schema

from eventlog.session.shared_dict import SharedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import GetCoreSchemaHandler

__all__ = ["PendingCall", "PendingCalls"]


class PendingCall(NamedTuple):
    """A call that awaits its result: where its message is, and where its round begins.

    The tool's id alone does not identify it: providers number the calls of each message from 0,
    and some give several calls of one message the same id; ``occurrence`` counts these from 0.
    """

    tool_id: str
    message_id: str
    version: int
    round_start: int
    occurrence: int = 0


class _Place(NamedTuple):
    """What a call is kept under. ``number`` is its occurrence, unless that is taken: histories of
    the first schema do not tell calls of one message with one id from each other."""

    tool_id: str
    message_id: str
    number: int


class _Group(NamedTuple):
    """The open calls of one message with one tool id: their numbers lie from ``first`` to ``last``.

    Groups with one tool id are linked, so that the newest is found, and any of them left out.
    """

    round_start: int
    size: int
    first: int
    last: int
    older: str | None
    """The message of the next older group; None for the oldest."""
    newer: str | None


class PendingCalls:
    """Open calls in the order in which they were made; nothing costs more where many are open.

    A copy has the same dictionaries until one of the two is changed, which mostly none is.
    """

    __slots__ = ("_calls", "_groups", "_is_shared", "_newest")

    def __init__(self, calls: Iterable[PendingCall] = ()) -> None:
        self._calls: SharedDict[_Place, PendingCall] = SharedDict()
        self._groups: SharedDict[tuple[str, str], _Group] = SharedDict()
        """By tool id and message id."""
        self._newest: SharedDict[str, str] = SharedDict()
        """The message of the newest group, by tool id."""
        self._is_shared = False
        """Whether a copy has the same dictionaries, which then must not change."""
        for call in calls:
            self.add(call)

    def copy(self) -> PendingCalls:
        """Return calls that can be changed without touching these."""
        copied = PendingCalls.__new__(PendingCalls)
        copied._calls, copied._groups = self._calls, self._groups  # noqa: SLF001 - of the same class
        copied._newest = self._newest  # noqa: SLF001 - as above
        self._is_shared = copied._is_shared = True  # noqa: SLF001 - as above
        return copied

    def _unshare(self) -> None:
        """Have dictionaries that may change."""
        if self._is_shared:
            self._calls, self._groups = self._calls.copy(), self._groups.copy()
            self._newest = self._newest.copy()
            self._is_shared = False

    # ---- reading ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[PendingCall]:
        return iter(self._calls.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PendingCalls) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # They change.

    def __repr__(self) -> str:
        return f"PendingCalls({list(self)!r})"

    def rounds(self) -> set[int]:
        """Return the first versions of the rounds that have an open call."""
        return {group.round_start for group in self._groups.values()}

    def get(self, message_id: str, tool_id: str, occurrence: int) -> PendingCall | None:
        """Return an open call by what names it."""
        place = self._place(message_id, tool_id, occurrence)
        return None if place is None else self._calls[place]

    def first(self, message_id: str, tool_id: str) -> PendingCall | None:
        """Return the first open call of a message with a tool id."""
        place = self._first(message_id, tool_id)
        return None if place is None else self._calls[place]

    # ---- changing -----------------------------------------------------------------------------

    def add(self, call: PendingCall) -> None:
        """Take in a call that was made after all others."""
        self._unshare()
        tool_id, message_id, _, round_start, number = call
        name = tool_id, message_id
        group = self._groups.get(name)
        if group is None:
            older = self._newest.get(tool_id)
            if older is not None:
                self._link(tool_id, older, newer=message_id)
            self._groups[name] = _Group(round_start, 1, number, number, older, None)
            self._newest[tool_id] = message_id
        else:
            if number <= group.last:
                number = group.last + 1
            self._groups[name] = group._replace(size=group.size + 1, last=number)
        self._calls[_Place(tool_id, message_id, number)] = call

    def pop(self, message_id: str, tool_id: str, occurrence: int) -> PendingCall | None:
        """Remove the call with this name and return it; None if it is not open."""
        return self._remove(self._place(message_id, tool_id, occurrence))

    def pop_newest(self, tool_id: str) -> PendingCall | None:
        """Remove the first call with a tool id of the newest message that has one, and return it."""
        message_id = self._newest.get(tool_id)
        return None if message_id is None else self._remove(self._first(message_id, tool_id))

    def keep(self, is_kept: Callable[[PendingCall], bool]) -> None:
        """Remove all calls but those for which this holds."""
        for place, call in list(self._calls.items()):
            if not is_kept(call):
                self._remove(place)

    # ---- inside -------------------------------------------------------------------------------

    def _place(self, message_id: str, tool_id: str, occurrence: int) -> _Place | None:
        place = _Place(tool_id, message_id, occurrence)
        if (call := self._calls.get(place)) is not None and call.occurrence == occurrence:
            return place
        # Of calls that their history does not tell apart, any is as good as the other.
        first = self._first(message_id, tool_id)
        alike = first is not None and self._calls[first].occurrence == occurrence
        return first if alike else None

    def _first(self, message_id: str, tool_id: str) -> _Place | None:
        group = self._groups.get((tool_id, message_id))
        return None if group is None else _Place(tool_id, message_id, group.first)

    def _remove(self, place: _Place | None) -> PendingCall | None:
        if place is None:
            return None
        self._unshare()
        call = self._calls.pop(place)
        tool_id, message_id, number = place
        group = self._groups[tool_id, message_id]
        if group.size == 1:
            self._unlink(tool_id, message_id, group)
            return call
        first = group.first
        if number == first:
            # Each number is passed over once only, so all that are open pay for it together.
            first += 1
            while _Place(tool_id, message_id, first) not in self._calls:
                first += 1
        self._groups[tool_id, message_id] = group._replace(size=group.size - 1, first=first)
        return call

    def _unlink(self, tool_id: str, message_id: str, group: _Group) -> None:
        del self._groups[tool_id, message_id]
        if group.older is not None:
            self._link(tool_id, group.older, newer=group.newer)
        if group.newer is not None:
            newer = self._groups[tool_id, group.newer]
            self._groups[tool_id, group.newer] = newer._replace(older=group.older)
        elif group.older is not None:
            self._newest[tool_id] = group.older
        else:
            del self._newest[tool_id]

    def _link(self, tool_id: str, message_id: str, *, newer: str | None) -> None:
        group = self._groups[tool_id, message_id]
        self._groups[tool_id, message_id] = group._replace(newer=newer)

    # ---- in snapshots -------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Have it validated and written as a plain list of calls is."""
        plain = handler.generate_schema(list[PendingCall])
        return core_schema.no_info_after_validator_function(
            cls,
            plain,
            serialization=core_schema.plain_serializer_function_ser_schema(
                list, return_schema=plain
            ),
        )
