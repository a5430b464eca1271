"""The commit: the live tail, less what is retained, becomes an archive (C1 to C7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from eventlog.argument_checks import check_count
from eventlog.errors import CommitBlocked, InvalidArgument
from eventlog.identifiers import format_id
from eventlog.session.command import Command, Draft, Outcome, require_open
from eventlog.session.events import CommitPrepared
from eventlog.session.tasks.events import CommitPublished
from eventlog.session.window import KEEP_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = ["Commit", "CommitResult", "archive_id", "archive_index", "archive_uri"]


LONGEST_INDEX: Final = 18
"""Digits of an archive's index: more than 63 bits hold no number."""


def archive_id(index: int) -> str:
    """Write an archive's index as its id: ``archive_001``; at least three digits."""
    return f"archive_{index:03d}"


def archive_index(archive: str) -> int | None:
    """Read an archive's id; None unless it is ``archive_`` and digits, as many as an id may have."""
    prefix, _, digits = archive.partition("_")
    if prefix != "archive" or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if len(digits) <= LONGEST_INDEX else None


def archive_uri(session: str, index: int) -> str:
    """Return the URI that names an archive across sessions."""
    return f"eventlog://{session}/history/{archive_id(index)}"


class CommitResult(NamedTuple):
    """The result of a commit, which returns before the archive is summarised.

    If the ``status`` is ``accepted``, ``archived`` messages are in the archive ``archive_id``, and
    ``task_id`` is the task that summarises it. If it is ``skipped``, ``reason`` says why.
    """

    status: Literal["accepted", "skipped"]
    session_id: str
    archived: int = 0
    archive_id: str | None = None
    archive_uri: str | None = None
    task_id: str | None = None
    reason: Literal["no_messages", "all_within_keep_window", "not_due"] | None = None


@dataclass(slots=True, eq=False)
class Commit(Command[CommitResult]):
    """Archive the live tail, except for the newest messages or rounds that are retained."""

    keep_recent: int = 0
    keep_turn_tokens: int | None = None

    def __post_init__(self) -> None:
        check_count("keep_recent", self.keep_recent, "messages", highest=KEEP_LIMIT)
        if self.keep_turn_tokens is not None:
            check_count("keep_turn_tokens", self.keep_turn_tokens, "tokens")
        if self.keep_turn_tokens is not None and self.keep_recent:
            raise InvalidArgument("give either keep_recent or keep_turn_tokens, not both")

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[CommitResult]:
        require_open(state)
        window = state.window
        session = state.session_id
        if not window.count:
            return Outcome(CommitResult("skipped", session, reason="no_messages"))
        failed = state.blocking_failure()
        if failed is not None and failed.archive is not None:
            raise CommitBlocked(
                session, archive_id(failed.archive), failed.attempts, failed.error or "unknown"
            )
        plan = window.retention(state.version, self.keep_recent, self.keep_turn_tokens)
        if not plan.taken_count:
            return Outcome(CommitResult("skipped", session, reason="all_within_keep_window"))
        task_id = format_id(ids())
        prepared = CommitPrepared(
            archive=state.commit_count + 1,
            task_id=task_id,
            takes=plan.takes,
            retains=plan.retains,
            message_count=plan.taken_count,
            retained_count=plan.retained_count,
            tokens=plan.taken_tokens,
            keep_recent=self.keep_recent,
            keep_turn_tokens=self.keep_turn_tokens,
            usage_after=state.usage_after,
            usage_until=state.version,
            usage_count=state.usage_count,
        )
        if state.folder is not None:
            return [Draft(prepared)]  # Published when the raw archive is in the folder.
        return [Draft(prepared), Draft(CommitPublished(task_id=task_id))]

    def result(self, recorded: Sequence[Recorded]) -> CommitResult:
        entry = recorded[0]
        prepared = cast("CommitPrepared", entry.event)
        return CommitResult(
            status="accepted",
            session_id=entry.stream,
            archived=prepared.message_count,
            archive_id=archive_id(prepared.archive),
            archive_uri=archive_uri(entry.stream, prepared.archive),
            task_id=prepared.task_id,
        )
