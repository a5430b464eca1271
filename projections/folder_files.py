"""The session folder as a projection: the record from which each file is written (O1, P3).

The state holds no files. For each path it has the version of the record from which the file is
derived, and `file_content` writes the file from that record. So the same few lines serve a process
that follows a session record by record, one that writes the whole folder, and one that heals it, and
all of them write the same bytes.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from eventlog.projection import Projection, replay
from eventlog.projections import folder_layout as layout
from eventlog.projections.folder_layout import archive_file
from eventlog.projections.folder_outputs import (
    OUTPUT_TYPES,
    FolderSource,
    names_output,
    output_content,
    output_files,
)
from eventlog.recorded import Recorded
from eventlog.records import EMPTY_HEAD, Head, Record
from eventlog.session.events import CommitPrepared
from eventlog.session.folder_events import ArchiveAdopted, FolderAdopted
from eventlog.session.folding import apply, apply_records
from eventlog.session.projection import SessionFold
from eventlog.session.reading import MessageReader
from eventlog.session.state import SessionState
from eventlog.session.tasks.events import (
    ArchiveAbandoned,
    ArchiveFailed,
    ArchiveFinalized,
    RetryRequested,
    TaskCompleted,
    TaskEvent,
)
from eventlog.session.values import checked_value
from eventlog.session.views import session_meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventlog.identifiers import EventId
    from eventlog.session.events import MessageAppended, VersionRange
    from eventlog.session.message_data import MessageData

__all__ = [
    "FolderState",
    "SessionFolder",
    "changes_files",
    "failure_document",
    "file_content",
    "folder_files",
]

STAGE: Final = "archive_finalize"
"""The stages of a failure, in the words of ``.failed.json``."""

GIVEN_UP: Final = "abandoned"

_FILE_TYPES: Final = frozenset(
    {
        "commit_prepared",
        "archive_finalized",
        "archive_failed",
        "archive_abandoned",
        "retry_requested",
        "task_completed",
        "archive_adopted",
        "folder_adopted",
    }
)
"""The event types that make, replace or remove files of archives."""


@dataclass(slots=True)
class FolderState:
    """The session, and the version that each file of its folder is written from.

    ``messages.jsonl`` and ``.meta.json`` are not among the files: they follow the session itself.
    """

    session: SessionState
    files: dict[str, int] = field(default_factory=dict[str, int])
    adopted: dict[str, int] = field(default_factory=dict[str, int])
    """The versions that hold another program's content of a ``.meta.json`` and of the files beside
    it, by the path of that file."""
    kept: dict[str, str] = field(default_factory=dict[str, str])
    """The SHA-256 of another program's files that are kept unchanged, by path."""

    def paths(self) -> list[str]:
        """Return the paths of all files that the folder should have, sorted."""
        return sorted({*self.files, *self.kept, *layout.SESSION_FILES})


class SessionFolder(Projection[FolderState, FolderState]):
    """The files of a session's folder, and the record from which each is written.

    Nearly all of this state is the session's state, so it is kept in snapshots.
    """

    name = "folder"
    schema = 2
    types = None

    def initial(self) -> FolderState:
        return FolderState(SessionState(""))

    def apply(self, state: FolderState, recorded: Recorded) -> FolderState:
        session = state.session
        if not session.session_id:
            session.session_id = recorded.stream
        if not changes_files(recorded):
            apply(session, recorded)
            return state
        illegal_steps, archive = len(session.findings), _archive_of(session, recorded)
        apply(session, recorded)
        if len(session.findings) > illegal_steps:
            return state
        if recorded.type in OUTPUT_TYPES:
            for path in output_files(recorded):
                state.files.setdefault(path, recorded.version)
        elif archive is not None:
            _note_files(state, archive, recorded)
        return state

    def fold(self, state: FolderState, records: Iterable[Record | Recorded]) -> FolderState:
        for entry in records:
            recorded = entry if isinstance(entry, Recorded) else Recorded(entry)
            if state.session.session_id and not changes_files(recorded):
                apply_records(state.session, (recorded,))
            else:
                self.apply(state, recorded)
        return state

    def view(self, state: FolderState) -> FolderState:
        return state

    def fingerprint(self) -> str:
        return f"{self.schema}-{SessionFold().fingerprint()}"

    def dump(self, state: FolderState) -> bytes:
        """Write the files as one line of JSON, followed by the session's state."""
        files = json.dumps([state.files, state.adopted, state.kept])
        return files.encode() + b"\n" + SessionFold().dump(state.session)

    def load(self, data: bytes) -> FolderState:
        line, _, session = data.partition(b"\n")
        return FolderState(SessionFold().load(session), *json.loads(line))


def changes_files(recorded: Recorded) -> bool:
    """Return whether an event may create, replace or remove a file other than the two that follow
    every record, ``messages.jsonl`` and ``.meta.json``."""
    type_ = recorded.type
    return type_ in _FILE_TYPES or (type_ in OUTPUT_TYPES and names_output(recorded))


def _archive_of(session: SessionState, recorded: Recorded) -> int | None:
    """Return the archive whose files an event is about, given the session before it; 0 means none."""
    if recorded.type in OUTPUT_TYPES:
        return None
    event = recorded.event
    if isinstance(event, (CommitPrepared, ArchiveAdopted)):
        return event.archive
    if isinstance(event, FolderAdopted):
        return 0
    task = session.tasks.get(cast("TaskEvent", event).task_id)
    return None if task is None else task.archive


def _note_files(state: FolderState, archive: int, recorded: Recorded) -> None:
    """Update the files that a step of an archive or its tasks creates, replaces or removes."""
    event, version, files = recorded.event, recorded.version, state.files
    made: tuple[str, ...] = ()
    match event:
        case CommitPrepared():
            made = (layout.MESSAGES,)
        case ArchiveFinalized():
            made = (layout.OVERVIEW, layout.ABSTRACT, layout.META, layout.DONE)
            if state.session.overview and state.session.overview.version == version:
                files[layout.OVERVIEW] = files[layout.ABSTRACT] = version
        case ArchiveFailed() | ArchiveAbandoned():
            made = (layout.FAILED,)
        case RetryRequested():
            files.pop(archive_file(archive, layout.FAILED), None)
        case TaskCompleted() if event.result.get("memory_diff") is not None:
            made = (layout.MEMORY_DIFF,)
        case ArchiveAdopted():
            state.adopted[archive_file(archive, layout.META)] = version
            made = () if event.meta is None else (layout.META,)
        case FolderAdopted():
            state.adopted[layout.META] = version
            state.kept.update({kept["path"]: kept["sha256"] for kept in event.files})
        case _:
            pass
    files.update({archive_file(archive, name): version for name in made})


# ---- the files themselves ---------------------------------------------------------------------


def file_content(path: str, state: FolderState, reader: FolderSource) -> bytes:
    """Return the content that the file at ``path`` should have; the reader gives the records for it."""
    if path in state.kept and state.files.get(path, 0) < state.adopted[layout.META]:
        return reader.value(state.kept[path])
    place = layout.split_archive_file(path)
    if place is not None:
        return _archive_content(*place, state, reader)
    if layout.is_output(path):
        recorded = cast("Recorded", reader.record(state.files[path]))
        return output_content(path, recorded, reader)
    session = state.session
    match path:
        case layout.MESSAGES:
            live = session.window.ranges(session.version)
            return layout.message_lines(_read(reader, live, session.version))
        case layout.META:
            return layout.meta_document(
                session_meta(session), _foreign(path, state, reader, "meta")
            )
        case _:
            version = state.files.get(path)
            return b"" if version is None else _summary(path, _event(reader, version))


def _archive_content(index: int, name: str, state: FolderState, reader: FolderSource) -> bytes:
    version = state.files[archive_file(index, name)]
    event = _event(reader, version)
    meta_path = archive_file(index, layout.META)
    match name:
        case layout.MESSAGES:
            return layout.message_lines(_read(reader, event.takes, version))
        case layout.META if isinstance(event, ArchiveAdopted):
            return layout.document(event.meta or {})
        case layout.META:
            foreign = _foreign(meta_path, state, reader, "meta")
            return layout.archive_meta_document(event.overview, event.abstract, foreign)
        case layout.DONE:
            takes = _event(reader, state.files[archive_file(index, layout.MESSAGES)]).takes
            foreign = _foreign(meta_path, state, reader, "done")
            return layout.done_document(index, *_ends(reader, takes), event.covers, foreign)
        case layout.FAILED if version < state.adopted.get(layout.META, 0):
            foreign = _foreign(meta_path, state, reader, "failed")
            if foreign is not None:
                return layout.document(foreign)
            return failure_document(cast("Recorded", reader.record(version)))
        case layout.FAILED:
            return failure_document(cast("Recorded", reader.record(version)))
        case layout.MEMORY_DIFF:
            return layout.document(event.result["memory_diff"])
        case _:
            return _summary(name, event)


def _foreign(
    path: str, state: FolderState, reader: FolderSource, field: Literal["meta", "done", "failed"]
) -> dict[str, Any] | None:
    """Return another program's content of a file, or of those beside it, from the adoption."""
    version = state.adopted.get(path)
    if version is None:
        return None
    said: dict[str, Any] | None = getattr(_event(reader, version), field)
    return said


def _event(reader: FolderSource, version: int) -> Any:
    return cast("Recorded", reader.record(version)).event


def _read(
    reader: FolderSource, ranges: Sequence[VersionRange], as_of: int
) -> Iterator[MessageData]:
    return (entry.data for entry in reader.messages(ranges, as_of=as_of))


def _ends(reader: FolderSource, takes: Sequence[VersionRange]) -> tuple[str, str]:
    """Return the ids of the first and the last message in ranges; empty if there are none."""
    first, last = reader.first_message(takes), reader.messages(takes, last=1)
    if first is None or not last:
        return "", ""
    return cast("MessageAppended", first.event).message["id"], last[0].data["id"]


def _summary(name: str, event: ArchiveFinalized) -> bytes:
    return layout.markdown(event.overview if name == layout.OVERVIEW else event.abstract)


def failure_document(recorded: Recorded) -> bytes:
    """Write the ``.failed.json`` of an archive that failed or was abandoned."""
    event, time = cast("ArchiveFailed | ArchiveAbandoned", recorded.event), recorded.time
    if isinstance(event, ArchiveFailed):
        return layout.failed_document(STAGE, event.error, time)
    return layout.failed_document(GIVEN_UP, event.reason or GIVEN_UP, time, skipped=True)


# ---- of any records ---------------------------------------------------------------------------


def folder_files(
    records: Iterable[Record | Recorded], values: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Return all files of a session's folder by path, from its records alone.

    ``values`` are the large values that the records name, by their SHA-256. Raises `CorruptLog` if
    one is missing.
    """
    stream = [entry.record if isinstance(entry, Recorded) else entry for entry in records]
    state = replay(stream, SessionFolder())
    reader = _FolderAtHand(stream, values or {}, state.session)
    return {path: file_content(path, state, reader) for path in state.paths()}


class _FolderAtHand(MessageReader):
    """Reads the records of one stream, and its values, from memory."""

    def __init__(
        self, records: Sequence[Record], values: Mapping[str, bytes], session: SessionState
    ) -> None:
        super().__init__(_RecordsAtHand(records), session.session_id, lambda: session.withdrawn)
        self._values = values

    def value(self, digest: str) -> bytes:
        return checked_value(self.stream, digest, self._values.get(digest))


class _RecordsAtHand:
    """The records of one stream in memory, read as if from a store."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._versions = {record.event_id: record.version for record in records}

    def read(
        self, stream: str, *, after: int = 0, until: int | None = None, reverse: bool = False
    ) -> Iterator[Record]:
        first = bisect_right(self._records, after, key=_version)
        last = len(self._records) if until is None else self._place_after(until)
        found = self._records[first:last]
        return iter(reversed(found) if reverse else found)

    def head(self, stream: str) -> Head:
        if not self._records:
            return EMPTY_HEAD
        last = self._records[-1]
        return Head(last.version, last.hash, last.position, last.time)

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        return {wanted: self._versions[wanted] for wanted in ids if wanted in self._versions}

    def _place_after(self, version: int) -> int:
        return bisect_right(self._records, version, key=_version)


def _version(record: Record) -> int:
    return record.version
