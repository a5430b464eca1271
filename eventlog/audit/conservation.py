"""Count a session's messages a second time, without the fold: none vanishes, none is in two places.

The ledger needs two lists of versions: the messages that were appended, and those that are live.
Whether a record counts is read from the table of the session's machine; nothing else of the fold is
used. After the last record the ledger and the fold must agree on which messages are live.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.codec import decode_event
from eventlog.errors import CorruptError, UnknownEventType
from eventlog.finding import Finding
from eventlog.machine import ABSENT
from eventlog.session.machine import SESSION_MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventlog.records import Record
    from eventlog.session.events import CommitPrepared
    from eventlog.session.folder_events import FolderAdopted
    from eventlog.session.state import SessionState
    from eventlog.session.version_ranges import VersionRange
    from eventlog.session.withdrawals.events import MessagesWithdrawn

__all__ = ["Ledger"]


class _Split(NamedTuple):
    """How a commit's ranges divide the messages that were live before it."""

    taken: list[int]
    retained: list[int]
    both: list[int]
    neither: list[int]


class Ledger:
    """The live messages of a stream, and the findings about its commits."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._status = ABSENT
        self._appended = array("Q")
        self._live: array[int] = array("Q")
        self._withdrawn: set[int] = set()
        self._archives: set[int] = set()
        self._adopted_total: int | None = None
        self.findings: list[Finding] = []

    def take(self, page: Iterable[Record]) -> None:
        """Count records; an error in a commit becomes a finding. Never raises."""
        messages = array("Q")
        for record in page:
            if record.type == "message_appended" and self._status == "open":
                messages.append(record.version)
                continue
            if messages:
                self._add(messages)
                messages = array("Q")
            self._take_other(record)
        self._add(messages)

    def _add(self, messages: array[int]) -> None:
        """Count messages that were appended to the open session, by their versions."""
        self._appended += messages
        self._live += messages

    def _take_other(self, record: Record) -> None:
        type_ = record.type
        status = SESSION_MACHINE.table.get((self._status, type_))
        if status is None:
            return  # Not a step of the session, or an illegal one, which the machine's check reports.
        self._status = status
        if type_ == "message_appended":
            self._appended.append(record.version)
            self._live.append(record.version)
        elif type_ == "commit_prepared":
            self._commit(record)
        elif type_ == "messages_withdrawn":
            self._withdraw(record)
        elif type_ == "folder_adopted":
            self._adopted(record)

    def disagreements(self, state: SessionState) -> Iterator[Finding]:
        """Yield where fold and ledger differ after the same records."""
        version, live = state.version, len(self._live)
        said = list(_within(self._appended, state.window.ranges(version)))
        if said != list(self._live) or state.window.count != live:
            gone = len(self._withdrawn)
            detail = (
                f"{len(self._appended)} messages were appended, "
                f"{len(self._appended) - live - gone} taken and {gone} withdrawn, so {live} are live; "
                f"the replayed state counts {state.window.count} and names {len(said)}"
            )
            yield Finding(self._stream, version, "conservation", detail)
        left = len(self._appended) - len(self._withdrawn)
        if self._adopted_total is None and state.total_message_count != left:
            detail = (
                f"{len(self._appended)} messages were appended and {len(self._withdrawn)} withdrawn; "
                f"the replayed state counts {state.total_message_count}"
            )
            yield Finding(self._stream, version, "conservation", detail)
        if state.withdrawn_count != len(self._withdrawn):
            detail = (
                f"{len(self._withdrawn)} messages were withdrawn; the replayed state counts "
                f"{state.withdrawn_count}"
            )
            yield Finding(self._stream, version, "conservation", detail)

    # ---- withdrawals --------------------------------------------------------------------------

    def _withdraw(self, record: Record) -> None:
        try:
            event = cast("MessagesWithdrawn", decode_event(record))
        except (CorruptError, UnknownEventType):
            return  # Reported where the record is folded.
        for detail in self._wrong_withdrawal(event, record.version):
            self.findings.append(Finding(self._stream, record.version, "withdrawal", detail))
        for first, last in sorted(event.ranges, reverse=True):
            places = _places(self._live, first, last)
            self._withdrawn.update(self._live[places])
            del self._live[places]

    def _wrong_withdrawal(self, event: MessagesWithdrawn, version: int) -> Iterator[str]:
        if any(not 1 <= first <= last < version for first, last in event.ranges):
            yield f"it names an invalid range; ranges must lie before version {version}"
        live = list(_within(self._live, event.ranges))
        if event.count != len(live):
            yield f"it says that it withdraws {event.count} messages; its ranges hold {len(live)}"
        taken = _difference(_within(self._appended, event.ranges), [*live, *self._withdrawn])
        if taken:
            yield f"it withdraws {_named(taken)}, which a commit has taken"

    # ---- commits ------------------------------------------------------------------------------

    def _commit(self, record: Record) -> None:
        try:
            event = cast("CommitPrepared", decode_event(record))
        except (CorruptError, UnknownEventType):
            return  # Reported where the record is folded.
        adopts = self._status == "adopting"
        if not self._is_plain(event, record.version):
            for detail in self._wrong(event, record.version, adopts=adopts):
                self.findings.append(Finding(self._stream, record.version, "commit", detail))
        self._archives.add(event.archive)
        if adopts:
            # An adopted archive may hold messages that are also live.
            stay = set(_within(self._live, event.retains))
            gone = set(_within(self._live, event.takes)) - stay
            self._live = array("Q", (version for version in self._live if version not in gone))
        else:
            for first, last in event.takes:
                del self._live[_places(self._live, first, last)]

    def _is_plain(self, event: CommitPrepared, version: int) -> bool:
        """Return whether a commit passes the fast check by counts, as all but adopted ones do."""
        ranges = sorted([*event.takes, *event.retains])
        starts = [first for first, _ in ranges]
        ends = [last for _, last in ranges]
        taken, retained = (_count(self._live, each) for each in (event.takes, event.retains))
        return (
            event.archive not in self._archives
            and all(first <= last for first, last in ranges)
            and all(last < first for last, first in zip(ends, starts[1:], strict=False))
            and (not ranges or (starts[0] >= 1 and ends[-1] < version))
            and taken == _count(self._appended, event.takes) == event.message_count
            and retained == _count(self._appended, event.retains) == event.retained_count
            and taken + retained == len(self._live)
            and not event.repeated_count
        )

    def _adopted(self, record: Record) -> None:
        try:
            event = cast("FolderAdopted", decode_event(record))
        except (CorruptError, UnknownEventType):
            return
        self._adopted_total = event.total_message_count

    def _wrong(self, event: CommitPrepared, version: int, *, adopts: bool) -> Iterator[str]:
        """Yield the errors in a commit; ``adopts`` if the commit came from an adopted folder."""
        if event.archive in self._archives:
            yield f"archive {event.archive} was already made by an earlier commit"
        if any(not 1 <= first <= last < version for first, last in (*event.takes, *event.retains)):
            yield f"it names an invalid range; ranges must lie before version {version}"
        split = self._split(event)
        if split.neither:
            yield f"it neither takes nor retains {_named(split.neither)}; they stay live"
        if split.both and not adopts:
            yield f"it both takes and retains {_named(split.both)}; they are in the archive"
        again = _difference(_within(self._appended, event.takes), self._live)
        if again and not adopts:
            yield f"it takes {_named(again)}, which an earlier commit has taken"
        dead = _difference(_within(self._appended, event.retains), self._live)
        if dead:
            yield f"it retains {_named(dead)}, which an earlier commit has taken"
        yield from self._wrong_figures(event, split, adopts=adopts)

    def _wrong_figures(
        self, event: CommitPrepared, split: _Split, *, adopts: bool
    ) -> Iterator[str]:
        taken, left = len(split.taken), event.message_count - event.repeated_count
        if adopts:
            taken -= len(split.both)
        if left != taken:
            yield f"it says that it takes {left} live messages; its ranges take {taken}"
        if event.retained_count != len(split.retained):
            yield (
                f"it says that it retains {event.retained_count} messages; its ranges retain "
                f"{len(split.retained)}"
            )

    def _split(self, event: CommitPrepared) -> _Split:
        live = self._live
        taken = list(_within(live, event.takes))
        retained = list(_within(live, event.retains))
        both = sorted(set(taken).intersection(retained))
        return _Split(taken, retained, both, _difference(live, [*taken, *retained]))


def _places(versions: Sequence[int], first: int, last: int) -> slice:
    """Return the indexes of a range's versions in a list of ascending ones."""
    return slice(bisect_left(versions, first), bisect_right(versions, last))


def _count(versions: Sequence[int], ranges: Iterable[VersionRange]) -> int:
    """Return how many versions lie in some non-overlapping ranges."""
    places = (_places(versions, first, last) for first, last in ranges)
    return sum(max(0, place.stop - place.start) for place in places)


def _within(versions: Sequence[int], ranges: Iterable[VersionRange]) -> Iterator[int]:
    """Yield the versions in any of some ranges, ascending and once each."""
    done = 0
    for first, last in sorted(ranges):
        start, stop = max(done, bisect_left(versions, first)), bisect_right(versions, last)
        if start < stop:
            yield from versions[start:stop]
            done = stop


def _difference(versions: Iterable[int], others: Iterable[int]) -> list[int]:
    known = set(others)
    return [version for version in versions if version not in known]


def _named(versions: Sequence[int]) -> str:
    """Return the first few of some messages, named by version."""
    first = ", ".join(map(str, versions[:3]))
    more = f" and {len(versions) - 3} more" if len(versions) > 3 else ""
    noun = "the message of version" if len(versions) == 1 else "the messages of versions"
    return f"{noun} {first}{more}"
