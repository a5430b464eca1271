"""The state of a session on which commands are decided: a fold of its records, in place.

It holds ranges, sums and what is unfinished; never a message, and of finished work only what a
later decision needs. So its size depends on what is open, not on the length of the history (L12).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Final

from pydantic import ConfigDict

from eventlog.chain import GENESIS
from eventlog.machine import ABSENT
from eventlog.session.archive import Archive, Overview
from eventlog.session.events import FailedArchives, SessionCreated, VersionRange
from eventlog.session.machine import SessionStatus
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.runs.state import Run
from eventlog.session.shared_dict import SharedDict
from eventlog.session.streams.state import Stream
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.tasks.state import Task
from eventlog.session.turns.state import Turn
from eventlog.session.version_ranges import Withdrawn
from eventlog.session.window import Window

__all__ = ["SessionState"]


@dataclass(slots=True)
class SessionState:
    """Everything that a decision on a session may depend on."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    session_id: str
    status: SessionStatus = ABSENT
    version: int = 0
    hash: bytes = GENESIS
    time: int = 0
    """The time of the last record; later records never have an earlier time (L2)."""
    created_at: int = 0
    updated_at: int = 0
    last_message_at: int = 0
    last_commit_at: int = 0
    owner: str | None = None
    project: str | None = None
    workspace: str | None = None
    provider: str | None = None
    model: str | None = None
    failed_archives: FailedArchives = "block"
    tool_output: ToolOutputPolicy = field(default_factory=ToolOutputPolicy)
    auto_commit: AutoCommitPolicy | None = None
    folder: str | None = None
    """The path of the folder whose files follow the session, if there is one (O2)."""
    total_message_count: int = 0
    """How many messages were appended and not withdrawn (M13)."""
    withdrawn_count: int = 0
    withdrawn: tuple[Withdrawn, ...] = ()
    """The versions of all withdrawn messages and results, in order of the withdrawals."""
    changed: int = 0
    """The newest version that changed the conversation otherwise than by a new message."""
    cleared: int = 0
    """The number of the newest archive that contexts show nothing of, nor of any before it."""
    commit_count: int = 0
    keep_recent: int = 0
    memories: dict[str, int] = field(default_factory=dict[str, int])
    usage: TokenUsage = field(default_factory=TokenUsage)
    memory_sessions: dict[str, str] = field(default_factory=dict[str, str])
    usage_after: int = 0
    """The version up to which the recorded usage belongs to earlier commits (M5)."""
    usage_count: int = 0
    window: Window = field(default_factory=Window)
    archives: SharedDict[int, Archive] = field(default_factory=SharedDict[int, Archive])
    """The archives without a covering overview or with an unsettled task, by number; the others are
    in the log's index."""
    tasks: SharedDict[str, Task] = field(default_factory=SharedDict[str, Task])
    """The tasks that are neither completed nor abandoned, by id; others are in the log's index."""
    runs: SharedDict[str, Run] = field(default_factory=SharedDict[str, Run])
    """The runs that are not over, and those that failed, by id, in the order of their messages."""
    queued: SharedDict[str, str] | None = None
    """The runs that append their message when they begin, by its id: it is taken until then. None if
    there are none, as for nearly every session: so an append need not look."""
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    """The messages that are being written, by id, in the order in which they began."""
    lane: list[int] = field(default_factory=list[int])
    """The archives that await finalisation (their task is open), ascending."""
    failed: list[int] = field(default_factory=list[int])
    """The archives whose finalisation failed for good, ascending."""
    unused: list[VersionRange] = field(default_factory=list[VersionRange])
    """Ranges of archive numbers that no archive has: those of an adopted folder may have gaps."""
    overview: Overview | None = None
    turn: Turn | None = None
    """The open turn; others are in the log's index."""
    findings: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Steps in the history that a machine does not allow, with their versions (P7)."""

    def copy(self) -> SessionState:
        """Return a copy; folding records into it does not affect this one."""
        copied = self._copy_all_but_window()
        copied.window = self.window.copy()
        return copied

    def for_reading(self) -> SessionState:
        """Return a state that readers may look at while this one is folded further."""
        copied = self._copy_all_but_window()
        copied.window = self.window.shared()
        return copied

    def _copy_all_but_window(self) -> SessionState:
        copied = SessionState(*_values(self))  # A fifth of what `replace` takes.
        # One by one, which takes half the time of a loop over their names.
        copied.memories = self.memories.copy()
        copied.usage = self.usage.copy()
        copied.memory_sessions = self.memory_sessions.copy()
        copied.archives = self.archives.copy()
        copied.tasks = self.tasks.copy()
        copied.runs = self.runs.copy()
        copied.streams = self.streams.copy()
        copied.lane = self.lane.copy()
        copied.failed = self.failed.copy()
        copied.unused = self.unused.copy()
        copied.findings = self.findings.copy()
        if self.turn is not None:
            copied.turn = self.turn.copy()
        if self.queued is not None:
            copied.queued = self.queued.copy()
        return copied

    def as_seen(self, creation: SessionCreated | None) -> SessionState:
        """Return the state that commands see: for a new session, the one it will begin with."""
        if self.status != ABSENT or creation is None:
            return self
        begun = self.copy()
        begun.status = "open"
        begun.follow(creation)
        return begun

    def follow(self, creation: SessionCreated) -> None:
        """Take over the owner and the policies that the session is created with."""
        self.owner = creation.owner
        self.project = creation.project
        self.workspace = creation.workspace
        self.provider = creation.provider
        self.model = creation.model
        self.failed_archives = creation.failed_archives
        self.tool_output = creation.tool_output or ToolOutputPolicy()
        self.auto_commit = creation.auto_commit

    @property
    def conversation_version(self) -> int:
        """The version of the newest message, result, withdrawal or commit (M3)."""
        versions = self.window.versions
        return max(versions[-1], self.changed) if versions else self.changed

    def lane_head(self) -> Task | None:
        """Return the finalising task that is next in order (F1), if there is one to work on.

        A task that failed for good blocks the lane if the policy is to wait for it; while a folder
        is being adopted there is none.
        """
        if self.status == "adopting":
            return None
        waits = self.failed_archives == "block" and bool(self.failed)
        if not self.lane or (waits and self.failed[0] < self.lane[0]):
            return None
        return self.finalising(self.lane[0])

    def next_run(self) -> Run | None:
        """Return the run that is executed, or is next in order (R5): a failed one holds up no other."""
        return next((run for run in self.runs.values() if run.is_waiting), None)

    def finalising(self, index: int) -> Task | None:
        """Return the task that finalises an archive or has failed to; None once it has ended."""
        archive = self.archives.get(index)
        return None if archive is None else self.tasks.get(archive.task_id)

    def has_archive(self, index: int) -> bool:
        """Return whether an archive has this number."""
        return 1 <= index <= self.commit_count and not any(
            first <= index <= last for first, last in self.unused
        )

    def count_commits(self, count: int) -> None:
        """Set the count of commits, and note the numbers that are skipped as unused."""
        if count > self.commit_count:
            self.unused.append((self.commit_count + 1, count))
            self.commit_count = count

    def uncovered(self, before: int | None = None) -> list[Archive]:
        """Return the archives that no overview covers, in order (X1); with ``before``, only those
        with a lower number."""
        found = [archive for archive in self.archives.values() if not archive.covered]
        if before is not None:
            found = [archive for archive in found if archive.index < before]
        return sorted(found, key=attrgetter("index"))

    def blocking_failure(self) -> Task | None:
        """Return the task whose failure blocks commits under the policy ``block`` (C5)."""
        if self.failed_archives == "skip" or not self.failed:
            return None
        return self.finalising(self.failed[0])


_values: Final = attrgetter(*(each.name for each in fields(SessionState)))
