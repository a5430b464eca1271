"""The folded state of an archive: one value per archive, replaced when its overview arrives, never
changed in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventlog.session.events import VersionRange

if TYPE_CHECKING:
    from eventlog.records import Record
    from eventlog.session.events import CommitPrepared

__all__ = ["Archive", "Overview", "archive_of"]


@dataclass(slots=True, kw_only=True)
class Archive:
    """Which messages are in an archive, and since when."""

    index: int
    task_id: str
    takes: list[VersionRange]
    message_count: int
    tokens: int
    prepared: int
    """The version of its ``commit_prepared``."""
    prepared_at: int
    usage_after: int
    usage_until: int
    finalized: int | None = None
    """The version of its ``archive_finalized``."""
    covers: list[int] = field(default_factory=list[int])
    covered: bool = False
    """Whether an overview already covers its messages although its own task is not settled."""


@dataclass(slots=True)
class Overview:
    """Which archive has the latest overview, and the version of the record that holds it."""

    archive: int
    version: int


def archive_of(record: Record, event: CommitPrepared) -> Archive:
    """Return the archive that a commit makes."""
    return Archive(
        index=event.archive,
        task_id=event.task_id,
        takes=event.takes,
        message_count=event.message_count,
        tokens=event.tokens,
        prepared=record.version,
        prepared_at=record.time,
        usage_after=event.usage_after,
        usage_until=event.usage_until,
    )
