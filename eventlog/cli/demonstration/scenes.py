"""The scenes of ``eventlog demo``: the story yields them, and the command prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from eventlog.recorded import Recorded
from eventlog.session.commit import CommitResult
from eventlog.store import Finding

__all__ = [
    "Check",
    "Committed",
    "Compared",
    "Killed",
    "Opened",
    "Recovered",
    "Reopened",
    "Scene",
]


class Opened(NamedTuple):
    """The first messages are stored."""

    file: Path
    durability: str
    messages: list[Any]
    events: list[Recorded]


class Committed(NamedTuple):
    """A commit was made; with the archive's summary if a worker has finalised it yet."""

    result: CommitResult
    session: dict[str, Any]


class Killed(NamedTuple):
    """The worker's process is dead."""

    process_id: int
    exit_code: int
    events: list[Recorded]


class Reopened(NamedTuple):
    """Another process has opened the log and replayed it."""

    session: dict[str, Any]
    task_state: str


class Recovered(NamedTuple):
    """The next worker has finished the work."""

    events: list[Recorded]
    is_proven: bool
    """Whether the owner was proven dead; otherwise its lease had to expire."""


class Check(NamedTuple):
    """Something that must hold at the end."""

    claim: str
    holds: bool


class Compared(NamedTuple):
    """Both runs are over."""

    checks: list[Check]
    with_crash: str
    without_crash: str
    """The SHA-256 of each run's session as canonical JSON."""
    findings: list[Finding]
    events: int
    files: tuple[Path, Path]


Scene: TypeAlias = Opened | Committed | Killed | Reopened | Recovered | Compared
