"""Every archive of a session: its state, the messages it took, and its summaries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.projection import Projection
from eventlog.projections.tasks import entries_of
from eventlog.session.archive import Archive
from eventlog.session.folding import apply
from eventlog.session.index import (
    INDEXED_TYPES,
    TASKS,
    archive_prefix,
    read_archive,
    read_task,
)
from eventlog.session.state import SessionState
from eventlog.session.tasks.state import Task
from eventlog.session.views import ArchiveView, archive_view

if TYPE_CHECKING:
    from eventlog.recorded import Recorded
    from eventlog.session.events import MessageAppended, VersionRange
    from eventlog.session.tasks.events import ArchiveFinalized

__all__ = ["ArchiveContents", "Archives", "ArchivesState"]


class ArchiveContents(NamedTuple):
    """An archive with its content; overview and abstract are empty until it is completed."""

    archive: ArchiveView
    message_ids: tuple[str, ...]
    overview: str
    abstract: str


@dataclass(slots=True)
class ArchivesState:
    """Archives by index, their tasks by id, and the ids of all messages by version, ascending."""

    session: SessionState
    archives: dict[int, Archive] = field(default_factory=dict[int, Archive])
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    message_ids: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    summaries: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    versions: list[int] = field(default_factory=list[int])
    ids: list[str] = field(default_factory=list[str])


class Archives(Projection[ArchivesState, tuple[ArchiveContents, ...]]):
    """The view of `Session.archives`, from any records, with the contents: oldest first.

    Its state names every message and grows with the history, so it writes no snapshots.
    """

    name = "archives"
    types = INDEXED_TYPES | {"message_appended"}

    def initial(self) -> ArchivesState:
        return ArchivesState(SessionState(""))

    def apply(self, state: ArchivesState, recorded: Recorded) -> ArchivesState:
        if recorded.type == "message_appended":
            illegal_steps = len(state.session.findings)
            apply(state.session, recorded)
            if len(state.session.findings) == illegal_steps:
                state.versions.append(recorded.version)
                state.ids.append(cast("MessageAppended", recorded.event).message["id"])
            return state
        archives = archive_prefix(recorded.stream)
        for key, value in entries_of(state.session, recorded):
            if value is None:
                continue
            if key.startswith(TASKS):
                state.tasks[key.removeprefix(TASKS)] = read_task(value)
            elif key.startswith(archives):
                _take(state, read_archive(value), recorded)
        return state

    def view(self, state: ArchivesState) -> tuple[ArchiveContents, ...]:
        session = state.session.session_id
        return tuple(
            ArchiveContents(
                archive_view(session, archive, state.tasks[archive.task_id]),
                state.message_ids[index],
                *state.summaries.get(index, ("", "")),
            )
            for index, archive in sorted(state.archives.items())
        )


def _take(state: ArchivesState, archive: Archive, recorded: Recorded) -> None:
    """Add an archive that was made, or update one that got its summaries."""
    state.archives[archive.index] = archive
    if archive.finalized == recorded.version:
        event = cast("ArchiveFinalized", recorded.event)
        state.summaries[archive.index] = event.overview, event.abstract
    elif archive.prepared == recorded.version:
        state.message_ids[archive.index] = tuple(
            state.ids[place] for span in archive.takes for place in _places(state.versions, span)
        )


def _places(versions: list[int], span: VersionRange) -> range:
    """Return the indexes of a version range's messages in a list of ascending versions."""
    first, last = span
    return range(bisect_left(versions, first), bisect_right(versions, last))
