"""A folder that was adopted and has grown since: what of it is new, or why it is no continuation (O4).

A folder continues what is stored if its messages, in the order of archives and then the live ones,
begin with those of the session; each archive of the session is there with the same messages; and what
is live in the session is live, or in a new archive. Then what is new is planned as events, around it
`AdoptionBegun` and `FolderAdopted` as for a new folder. Whatever else happened in the session, such
as an archive that a worker of ours has finalised meanwhile, stays.

Pure but for the records that are read: the same folder and records make the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.adoption.commands import ADOPTED_KEY, BEGUN_KEY
from eventlog.recorded import Recorded
from eventlog.session.commit import archive_id
from eventlog.session.folder_events import AdoptionBegun, AdoptionFindingRecorded, FolderAdopted
from eventlog.session.folding import apply_records
from eventlog.session.state import SessionState
from eventlog.session.tasks.machine import FINALISE
from eventlog.session.version_ranges import contains

if TYPE_CHECKING:
    from eventlog.adoption.rules import Examined
    from eventlog.records import Record
    from eventlog.session.events import CommitPrepared, MessageAppended
    from eventlog.session.message_data import MessageData
    from eventlog.session.tasks.events import TokenUsage

__all__ = ["Before", "adopted_key", "begun_key", "first_difference", "read_before"]

SETTLED_HERE: Final = ("pending", "retry")
"""States of a task that a marker in the folder settles: nobody works on it."""


def begun_key(digest: str) -> str:
    """Return the idempotency key of the `AdoptionBegun` of a continuation with this digest."""
    return f"{BEGUN_KEY}\0{digest}"


def adopted_key(digest: str) -> str:
    """Return the idempotency key of its `FolderAdopted`."""
    return f"{ADOPTED_KEY}\0{digest}"


@dataclass(slots=True)
class Before:
    """A session as it was before the folder had grown."""

    state: SessionState
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    """The files of the folder that was adopted last."""
    messages: dict[str, MessageData] = field(default_factory=dict[str, "MessageData"])
    """All messages, in order."""
    versions: dict[str, int] = field(default_factory=dict[str, int])
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    archives: dict[int, set[str]] = field(default_factory=dict[int, set[str]])
    """The ids of the messages in each archive."""
    adopted: FolderAdopted | None = None
    """The newest one."""
    findings: set[tuple[str, str, int | None, str]] = field(
        default_factory=set[tuple[str, str, "int | None", str]]
    )

    @property
    def live(self) -> list[str]:
        """The live messages, in order."""
        ranges = self.state.window.ranges(self.state.version)
        return [name for name, version in self.versions.items() if contains(ranges, version)]

    @property
    def tasks(self) -> dict[int, str]:
        """The tasks, by archive, that a marker in the folder settles."""
        return {
            task.archive: task.task_id
            for task in self.state.tasks.values()
            if task.archive is not None and task.kind == FINALISE and task.state in SETTLED_HERE
        }

    def usage_here(self) -> TokenUsage:
        """Return the tokens that were used here since: a folder does not know of them."""
        return cast(
            "TokenUsage", _since(self.state.usage, self.adopted.usage if self.adopted else None)
        )

    def memories_here(self) -> dict[str, int]:
        """Return the memories, by category, that were extracted here since."""
        return _since(self.state.memories, self.adopted.memories if self.adopted else None)


def _since(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, int]:
    counts = {name: count - (before or {}).get(name, 0) for name, count in now.items()}
    return {name: count for name, count in counts.items() if count > 0}


def read_before(session: str, records: Iterable[Record]) -> Before:
    """Fold the records of a session and note what a folder is compared with."""
    before = Before(SessionState(session))
    apply_records(before.state, _noting(before, records))
    return before


def _noting(before: Before, records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        match record.type:
            case "message_appended":
                appended = cast("MessageAppended", Recorded(record).event)
                name = appended.message["id"]
                before.messages[name] = appended.message
                before.versions[name] = record.version
                before.tokens[name] = appended.tokens
            case "commit_prepared":
                _note_archive(before, cast("CommitPrepared", Recorded(record).event))
            case "adoption_begun":
                before.digests = cast("AdoptionBegun", Recorded(record).event).digests
            case "adoption_finding_recorded":
                found = cast("AdoptionFindingRecorded", Recorded(record).event)
                before.findings.add((found.rule, found.path, found.line, found.detail))
            case "folder_adopted":
                before.adopted = cast("FolderAdopted", Recorded(record).event)
            case _:
                pass
        yield record


def _note_archive(before: Before, event: CommitPrepared) -> None:
    """Note which messages an archive has; the state is that right before the commit."""
    is_adopted = before.state.status == "adopting"
    names = before.versions if is_adopted else before.live
    before.archives[event.archive] = {
        name for name in names if contains(event.takes, before.versions[name])
    }


def first_difference(before: Before, examined: Examined) -> str | None:
    """Return the first thing in which a folder does not continue a session; None if it does."""
    found = dict[str, "MessageData"]()
    for lines in (*(lines for _, lines in examined.archives), examined.live):
        for line in lines:
            found[line.id] = line.data
    for place, ((name, stored), (other, data)) in enumerate(
        zip(before.messages.items(), found.items(), strict=False), 1
    ):
        if name != other:
            return f"message {place} is {other!r} in the folder, and {name!r} in the session"
        if not _is_same(stored, data):
            return f"message {place}, {name!r}, says something else in the folder"
    if len(found) < len(before.messages):
        return f"message {len(found) + 1}, {list(before.messages)[len(found)]!r}, is gone"
    return _other_archive(before, examined)


def _is_same(stored: MessageData, data: MessageData) -> bool:
    """Compare two messages; a time may have been derived from what stood around it."""
    return {**stored, "created_at": ""} == {**data, "created_at": ""}


def _other_archive(before: Before, examined: Examined) -> str | None:
    archives = {archive.number: {line.id for line in lines} for archive, lines in examined.archives}
    for number, names in sorted(before.archives.items()):
        if number not in archives:
            return f"{archive_id(number)} is gone"
        if archives[number] != names:
            return f"{archive_id(number)} has other messages than in the session"
    highest = max(before.archives, default=0)
    older = [number for number in archives if number < highest and number not in before.archives]
    if older:
        return f"{archive_id(min(older))} is new, and older than {archive_id(highest)}"
    kept = {line.id for line in examined.live}
    kept.update(*(names for number, names in archives.items() if number not in before.archives))
    live = before.live
    gone = next((name for name in live if name not in kept), None)
    if gone is not None:
        return f"message {gone!r} is live in the session, and not in the folder"
    archived = before.versions.keys() - set(live)
    back = next((line.id for line in examined.live if line.id in archived), None)
    return None if back is None else f"message {back!r} is archived, and live in the folder"
