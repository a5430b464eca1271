"""The state of a session that decisions are taken on: a fold of its records, in place.

It holds ranges, sums and what is unfinished; never a message, and of finished work only what a
later decision needs. So its size follows what is open, not what was ever said (L12).
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
from eventlog.session.shared_dict import SharedDict
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.tasks.state import Task
from eventlog.session.window import Window

__all__ = ["SessionState"]


@dataclass(slots=True)
class SessionState:
    """Everything a command of a session is decided on."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    session_id: str
    status: SessionStatus = ABSENT
    version: int = 0
    hash: bytes = GENESIS
    time: int = 0
    """The time of the last record: no later one has an earlier time (L2)."""
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
    commit_count: int = 0
    keep_recent: int = 0
    memories: dict[str, int] = field(default_factory=dict[str, int])
    usage: TokenUsage = field(default_factory=TokenUsage)
    memory_sessions: dict[str, str] = field(default_factory=dict[str, str])
    usage_after: int = 0
    """The version up to which earlier commits took the recorded usage (M5)."""
    usage_count: int = 0
    window: Window = field(default_factory=Window)
    archives: SharedDict[int, Archive] = field(default_factory=SharedDict[int, Archive])
    """Those that no overview covers yet, or whose task is not settled, by index; the others are in
    the index of the log."""
    tasks: SharedDict[str, Task] = field(default_factory=SharedDict[str, Task])
    """Those that are neither completed nor abandoned, by id; the others are in the index."""
    lane: list[int] = field(default_factory=list[int])
    """The archives that are to be finalised, ascending: those whose task is open."""
    failed: list[int] = field(default_factory=list[int])
    """The archives whose finalisation failed for good, ascending."""
    unused: list[VersionRange] = field(default_factory=list[VersionRange])
    """Ranges of archive numbers that no archive has: an adopted folder's need not be gapless."""
    overview: Overview | None = None
    findings: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Steps that a machine does not have, as found in the history, with their versions (P7)."""

    def copy(self) -> SessionState:
        """Return a state that can be folded further without touching this one."""
        copied = SessionState(*_values(self))  # A fifth of what `replace` takes.
        for name in _CONTAINERS:
            setattr(copied, name, getattr(self, name).copy())
        return copied

    def for_reading(self) -> SessionState:
        """Return a state that readers may look at while this one is folded further."""
        copied = SessionState(*_values(self))
        for name in _CONTAINERS:
            if name != "window":
                setattr(copied, name, getattr(self, name).copy())
        copied.window = self.window.shared()
        return copied

    def as_seen(self, creation: SessionCreated | None) -> SessionState:
        """Return what commands see: of a session that does not exist yet, what it will begin as."""
        if self.status != ABSENT or creation is None:
            return self
        begun = self.copy()
        begun.status = "open"
        begun.follow(creation)
        return begun

    def follow(self, creation: SessionCreated) -> None:
        """Take over whom the session belongs to, and the policies that it was given."""
        self.owner = creation.owner
        self.project = creation.project
        self.workspace = creation.workspace
        self.provider = creation.provider
        self.model = creation.model
        self.failed_archives = creation.failed_archives
        self.tool_output = creation.tool_output or ToolOutputPolicy()
        self.auto_commit = creation.auto_commit

    def lane_head(self) -> Task | None:
        """Return the finalising task that is next in order (F1), if one is to be worked on.

        A task that failed for good holds the lane where the policy is to wait for it; none is
        worked on before a folder is adopted entirely.
        """
        if self.status == "adopting":
            return None
        waits = self.failed_archives == "block" and bool(self.failed)
        if not self.lane or (waits and self.failed[0] < self.lane[0]):
            return None
        return self.finalising(self.lane[0])

    def finalising(self, index: int) -> Task | None:
        """Return the task that is to finalise an archive, or has failed to; None if it is ended."""
        archive = self.archives.get(index)
        return None if archive is None else self.tasks.get(archive.task_id)

    def has_archive(self, index: int) -> bool:
        """Tell whether an archive has this number."""
        return 1 <= index <= self.commit_count and not any(
            first <= index <= last for first, last in self.unused
        )

    def count_commits(self, count: int) -> None:
        """Count commits up to ``count``, and note the numbers that are passed over as unused."""
        if count > self.commit_count:
            self.unused.append((self.commit_count + 1, count))
            self.commit_count = count

    def uncovered(self, before: int | None = None) -> list[Archive]:
        """Return the archives whose messages no overview stands for, in order (X1); if given, only
        those ``before`` an index."""
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

_CONTAINERS: Final = (
    "memories",
    "usage",
    "memory_sessions",
    "window",
    "archives",
    "tasks",
    "lane",
    "failed",
    "unused",
    "findings",
)
