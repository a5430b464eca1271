"""The events of session folders: adopting those of other programs, and following the log in files.

Few sessions have any, so this module is imported when the first such event is read.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.events import Event
from eventlog.session.tasks.events import TokenUsage

__all__ = [
    "AdoptionBegun",
    "AdoptionFindingRecorded",
    "ArchiveAdopted",
    "FolderAdopted",
    "FolderAttached",
    "FolderDetached",
    "FolderFindingData",
    "FolderHealed",
    "KeptFile",
    "Problem",
]


class AdoptionBegun(Event, type="adoption_begun"):
    """A folder that another program wrote is being taken over (O4).

    Until `FolderAdopted` the session takes nothing but what the folder holds. ``digests`` has the
    first 32 hexadecimal digits of the SHA-256 of every file, by its path in the folder.
    """

    path: str
    digests: dict[str, str]


class AdoptionFindingRecorded(Event, type="adoption_finding_recorded"):
    """Something in the adopted folder was wrong; the event says how it was handled."""

    rule: str
    path: str
    line: int | None = None
    detail: str
    action: str
    message_ids: list[str]


class ArchiveAdopted(Event, type="archive_adopted"):
    """The contents of an adopted archive's files other than messages and summaries, verbatim.

    None stands for a file that is missing or is not a JSON object.
    """

    archive: int
    meta: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None


class KeptFile(TypedDict):
    """A file that means nothing here but belongs to the session: its bytes are in the blob area."""

    path: str
    size: int
    sha256: str


class FolderAdopted(Event, type="folder_adopted"):
    """The folder was taken over entirely: the session goes on from here.

    Times are in microseconds, 0 if unknown. Times, counts and token usage are from the folder's
    metadata where the messages do not give better ones; ``meta`` is all of that metadata, unknown
    keys included.
    """

    created_at: int
    updated_at: int
    last_message_at: int
    last_commit_at: int
    total_message_count: int
    commit_count: int
    keep_recent: int
    memories: dict[str, int]
    usage: TokenUsage
    meta: dict[str, Any]
    files: list[KeptFile]


class FolderAttached(Event, type="folder_attached"):
    """The files in the folder at ``path`` follow this session from here on (O2)."""

    path: str


class FolderDetached(Event, type="folder_detached"):
    """The folder's files stay as they are and no longer follow the session."""

    path: str


Problem = Literal["missing", "different", "unexpected", "temporary"]


class FolderFindingData(TypedDict):
    """A file of a session folder that differed from the records.

    ``found`` and ``expected`` are SHA-256 in hex, or None if there was, or should be, no file.
    ``dropped`` counts the lines, or for other files the contents, that the file no longer has;
    ``message_ids`` names the first hundred messages among them. Content that the log does not hold
    is kept in the file ``quarantine``.
    """

    path: str
    problem: Problem
    found: str | None
    expected: str | None
    dropped: int
    message_ids: list[str]
    quarantine: str | None


class FolderHealed(Event, type="folder_healed"):
    """A folder that differed from the records was rewritten from them (O3)."""

    path: str
    findings: list[FolderFindingData]
