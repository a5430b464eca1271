"""The commands about a session's folder, and what they return; the files themselves are written by
`eventlog.folder`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from eventlog.errors import InvalidArgument, SessionClosed, SessionNotFound
from eventlog.machine import ABSENT
from eventlog.session.command import Command, Draft, Outcome
from eventlog.session.folder_events import (
    FolderAttached,
    FolderDetached,
    FolderFindingData,
    FolderHealed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.finding import Finding
    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.folder_events import Problem
    from eventlog.session.state import SessionState

__all__ = [
    "AttachFolder",
    "DetachFolder",
    "FolderReport",
    "FolderView",
    "RecordHealing",
    "finding_data",
    "refuse_second_folder",
]


class FolderView(NamedTuple):
    """The state of a session's folder, as this process sees it."""

    path: str
    owned: bool
    """Whether this process keeps it up to date; at most one process does."""
    version: int
    """The version of the session up to which this process has written it; 0 if it does not own
    it."""
    problem: str | None = None
    """Why it is behind, if it could not be written; it is tried again with the next command."""


class FolderReport(NamedTuple):
    """What was found in a folder by comparing it with the records."""

    path: str
    version: int
    """The version of the session that it was compared with."""
    findings: tuple[Finding, ...]
    healed: bool
    """Whether the files are now what the records say."""


def finding_data(finding: Finding) -> FolderFindingData:
    """Return a finding as the event `FolderHealed` stores it."""
    return {
        "path": finding.path,
        "problem": cast("Problem", finding.kind),
        "found": finding.found,
        "expected": finding.expected,
        "dropped": finding.dropped,
        "message_ids": list(finding.message_ids),
        "quarantine": finding.quarantine,
    }


def refuse_second_folder(state: SessionState, path: str) -> None:
    """Raise `InvalidArgument` if the session has another folder than the one at ``path``."""
    if state.folder not in (None, path):
        raise InvalidArgument(
            f"session {state.session_id!r} has the folder {state.folder}; detach_folder() first, "
            "then attach the other"
        )


@dataclass(frozen=True, slots=True)
class AttachFolder(Command[None]):
    """Let the files in a folder follow the session (O2)."""

    path: str

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        if state.status == "deleted":
            raise SessionClosed(state.session_id, state.status)
        refuse_second_folder(state, self.path)
        if state.folder == self.path:
            return Outcome(None)
        return [Draft(FolderAttached(path=self.path))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DetachFolder(Command[None]):
    """Let the files in a folder follow the session no longer."""

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[None]:
        if state.folder is None:
            return Outcome(None)
        return [Draft(FolderDetached(path=state.folder))]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RecordHealing(Command[None]):
    """Record what was found in a folder that is being rewritten from the records (O3)."""

    path: str
    findings: tuple[Finding, ...]

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        if state.status == ABSENT:
            raise SessionNotFound(state.session_id)
        return [
            Draft(FolderHealed(path=self.path, findings=[finding_data(it) for it in self.findings]))
        ]

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None
