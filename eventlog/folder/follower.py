"""Follow the log and keep a session's folder up to date, in the one process that owns it (O2).

Records are read from the store in order, whichever process wrote them, and written to the files
after they are stored and folded: an append never waits for another session's files, and never fails
because of a folder. If the folder cannot be written (no room, no permission, missing), nothing is
refused and nothing is lost, because the log has everything. The problem is logged and shown by
`FolderView.problem`, and at most once a second a later command tries to bring the whole folder up
to date. A commit whose archive could not be written stays ``preparing``; whoever finds it after
`PUBLISH_AFTER` publishes it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from eventlog.engine.snapshots import project_stream
from eventlog.errors import EventLogError
from eventlog.folder.mending import content_of, mend
from eventlog.folder.refusing import reason_of
from eventlog.folder.writing import write_files
from eventlog.projections.folder_files import (
    FolderState,
    SessionFolder,
    changes_files,
    file_content,
)
from eventlog.projections.folder_layout import (
    MESSAGES,
    META,
    archive_file,
    is_output,
    message_line,
)
from eventlog.recorded import Recorded
from eventlog.session.attachment import FolderView, RecordHealing
from eventlog.session.events import MessageAppended
from eventlog.session.tasks.commands import PublishCommit
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.filesystem import FileLock
    from eventlog.finding import Finding
    from eventlog.folder.writing import Folder

__all__ = ["Follower"]

RETRY_AFTER: Final = 1_000_000
"""Microseconds before a folder that could not be written is tried again."""

_REWRITTEN_BY: Final = frozenset({"tool_result_recorded", "commit_prepared", "messages_withdrawn"})
"""The events after which ``messages.jsonl`` must be rewritten; after others, lines are added."""

_projection = SessionFolder()


class Follower:
    """Writes a session's records to its folder while this process holds the folder's lock."""

    def __init__(self, engine: Engine, core: Core, folder: Folder, lock: FileLock) -> None:
        self.folder = folder
        self._engine = engine
        self._core = core
        self._held = lock
        self._state = FolderState(core.snapshot_of_state())
        self._meta = b""
        """What ``.meta.json`` holds."""
        self._is_behind = True
        """Whether the files may differ from the state."""
        self._problem: str | None = None
        self._retry_at = 0
        self._released = False
        self._mutex = threading.RLock()
        self._noted: deque[Recorded] = deque()

    @property
    def view(self) -> FolderView:
        """The state of the folder."""
        version = 0 if self._is_behind else self._state.session.version
        return FolderView(self.folder.path, True, version, self._problem)

    def release(self) -> None:
        """Write what is outstanding, then release the folder's lock; idempotent."""
        with self._mutex:
            self.follow(foreign=True)
            self.abandon()

    def abandon(self) -> None:
        """Release the folder's lock without writing; idempotent."""
        with self._mutex:
            self._released = True
            self._held.release()

    # ---- following ----------------------------------------------------------------------------

    def note(self, recorded: Sequence[Recorded]) -> None:
        """Keep records that this process stored, so that they need not be read back."""
        self._noted.extend(recorded)

    def follow(self, *, foreign: bool = False) -> None:
        """Write the noted records, and on request those of other processes; never raises."""
        with self._mutex:
            if self._released or (self._is_behind and self._core.clock() < self._retry_at):
                self._noted.clear()
                return
            try:
                self._catch_up(foreign)
            except Exception as error:  # noqa: BLE001 - it was stored: no folder may refuse it
                self._fail(error)

    def bring_up_to_date(
        self, *, thorough: bool, record: Callable[[Sequence[Finding]], object] | None = None
    ) -> tuple[Finding, ...]:
        """Compare all files with the records, rewrite those that differ, and return the differences.

        By default only what had to go to quarantine is recorded in the log: a folder that is merely
        behind is not damaged. Raises `OSError`, and what the store raises.
        """
        with self._mutex:
            store, session = self._engine.store, self._core.session
            self._is_behind = True
            if thorough:
                state = _projection.fold(_projection.initial(), store.read(session))
            else:
                state = project_stream(store, session, _projection)
            self._state = state
            findings = mend(
                self.folder,
                state,
                self._core.reader,
                thorough=thorough,
                record=record or self._record_quarantined,
            )
            self._meta = file_content(META, state, self._core.reader)
            self._is_behind, self._problem = False, None
            return findings

    def record(self, findings: Sequence[Finding]) -> None:
        """Record the findings (O3)."""
        command = RecordHealing(self.folder.path, tuple(findings))
        self._engine.execute(self._core, command, follow=False)

    def _record_quarantined(self, findings: Sequence[Finding]) -> None:
        if any(finding.quarantine for finding in findings):
            self.record(findings)

    def _catch_up(self, foreign: bool) -> None:
        if self._is_behind:
            self.bring_up_to_date(thorough=False)
        elif foreign:
            self._write(self._stored())
        self._write(self._news())
        while self._publish():
            self._write(self._news())

    def _news(self) -> list[Recorded]:
        """Return the next records: the noted ones if there are no others, else from the store."""
        noted, next_version = self._noted, self._state.session.version + 1
        news = [noted.popleft() for _ in range(len(noted))]
        while news and news[0].version < next_version:
            del news[0]
        if news and news[-1].version - next_version != len(news) - 1:
            return self._stored()  # Another process has recorded something in between.
        return news

    def _stored(self) -> list[Recorded]:
        records = self._engine.store.read(self._core.session, after=self._state.session.version)
        return [Recorded(record) for record in records]

    def _fail(self, error: Exception) -> None:
        self._is_behind = True
        if isinstance(error, OSError):
            self._problem = reason_of(error)
        elif isinstance(error, EventLogError):
            self._problem = str(error)
        else:
            self._problem = f"{type(error).__name__}: {error}"
        self._retry_at = self._core.clock() + RETRY_AFTER
        log_fact(
            logging.WARNING,
            "folder_unwritable",
            session_id=self._core.session,
            path=self.folder.path,
            error=self._problem,
        )

    def _publish(self) -> bool:
        """Publish the tasks whose archives are now in the folder; return whether there were any.

        With a folder attached, a commit appends `commit_prepared` alone. The `commit_published` that
        lets a worker claim its task follows here, when the archive's files are durable.
        """
        waiting = [
            task.task_id
            for task in self._state.session.tasks.values()
            if task.state == "preparing"
            and archive_file(task.archive or 0, MESSAGES) in self._state.files
        ]
        for task_id in waiting:
            self._engine.execute(self._core, PublishCommit(task_id), follow=False)
        return bool(waiting)

    # ---- record by record ---------------------------------------------------------------------

    def _write(self, records: Sequence[Recorded]) -> None:
        """Write what the next records change, and no more."""
        if not records:
            return
        state = self._state
        self._is_behind = True
        is_rewritten = any(recorded.type in _REWRITTEN_BY for recorded in records)
        before = state.files.copy() if any(map(changes_files, records)) else state.files
        lines = self._fold(records)
        if before is state.files and not is_rewritten:
            self._write_lines(lines)
        else:
            changed = _differing(before, state.files)
            self._write_changed(changed, [] if is_rewritten else lines, is_rewritten)
        self._is_behind = False

    def _write_lines(self, lines: Sequence[bytes]) -> None:
        """Write what nearly every record changes: one more line, and the metadata."""
        if lines:
            self.folder.append(MESSAGES, b"".join(lines))
        meta = file_content(META, self._state, self._core.reader)
        if meta != self._meta:
            self.folder.replace(META, meta, durable=False)
            self._meta = meta

    def _write_changed(self, paths: list[str], lines: Sequence[bytes], is_rewritten: bool) -> None:
        """Write the files at ``paths`` and the two that follow every record."""
        content = content_of(self._state, self._core.reader)
        outputs = [path for path in paths if is_output(path)]
        write_files(self.folder, outputs, content, durable=True)  # Before a line names them.
        if lines:
            self.folder.append(MESSAGES, b"".join(lines))
        archives = [path for path in paths if not is_output(path)]
        session = [MESSAGES, META] if is_rewritten else [META]
        write_files(self.folder, [*archives, *session], content, durable=bool(archives))
        self._meta = file_content(META, self._state, self._core.reader)

    def _fold(self, records: Sequence[Recorded]) -> list[bytes]:
        """Fold records; return the lines of the messages that became live."""
        lines: list[bytes] = []
        window = self._state.session.window
        for recorded in records:
            live = window.count
            _projection.apply(self._state, recorded)
            event = recorded.event if window.count > live else None
            if isinstance(event, MessageAppended):
                lines.append(message_line(event.message))
        return lines


def _differing(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the paths of the files that were created, replaced or removed."""
    return [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
