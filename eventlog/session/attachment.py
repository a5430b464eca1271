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
    """The state of a session's folder, as this process sees it.

    At most one process owns a folder: ``owned`` says whether it is this one, which then keeps the
    files up to date. ``version`` is the session's version up to which it has written them; 0 if it
    does not own the folder. ``problem`` says why they could not be written, if so; the next command
    tries again.
    """

    path: str
    owned: bool
    version: int
    problem: str | None = None


class FolderReport(NamedTuple):
    """The result of comparing a folder with the records, as of a version of the session.

    ``healed`` says whether the files now are what the records say.
    """

    path: str
    version: int
    findings: tuple[Finding, ...]
    healed: bool


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
