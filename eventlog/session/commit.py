"""The commit: the live tail, less what is retained, becomes an archive (C1 to C7)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from eventlog.argument_checks import check_count
from eventlog.errors import CommitBlocked, InvalidArgument
from eventlog.identifiers import format_id, key_part
from eventlog.session.command import Command, Draft, Outcome, require_open
from eventlog.session.events import CommitPrepared, ToolResultRecorded
from eventlog.session.tasks.events import CommitPublished
from eventlog.session.window import KEEP_LIMIT
from eventlog.session.withdrawals.folding import withdraw_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.command import Facts
    from eventlog.session.state import SessionState
    from eventlog.session.turns.ending import Ending
    from eventlog.session.turns.state import BelievedLease, Turn
    from eventlog.session.window import Window
    from eventlog.session.withdrawals.events import MessagesWithdrawn

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
    return f"eventlog://{key_part(session)}/history/{archive_id(index)}"


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
    reason: Literal["no_messages", "all_within_keep_window", "turn_open", "not_due"] | None = None


def _without_turn(state: SessionState, ends: Sequence[Draft]) -> Window:
    """Return the window after the open turn has ended with some drafts."""
    window = state.window.copy()
    window.held_from = 0
    for version, draft in enumerate(ends, state.version + 1):
        event = draft.event
        if isinstance(event, ToolResultRecorded):
            window.answer(
                event.tool_id, event.tokens, event.message_id, occurrence=event.occurrence
            )
        elif event.event_type == "messages_withdrawn":
            withdraw_from(window, version, cast("MessagesWithdrawn", event))
    return window


@dataclass(slots=True, eq=False)
class Commit(Command[CommitResult]):
    """Archive the live tail, except for the newest messages or rounds that are retained."""

    keep_recent: int = 0
    keep_turn_tokens: int | None = None
    ends_stale_turn: bool = False
    """Whether the time can be trusted when it says that the lease of the open turn lapsed."""
    lease_now: int | None = None
    """The time of the clock that leases are measured by, if that is not the log's."""
    believed: BelievedLease | None = None
    """The lease of the open turn, if it ends later than is believed."""
    ending: Ending | None = None
    """How the open turn is to end if it is stale, once `gather` has read it."""

    gathers = True

    def content(self) -> Any:
        """What was asked for: clocks and turns are no part of it. Its form is that of stored keys."""
        return {
            "keep_recent": self.keep_recent,
            "keep_turn_tokens": self.keep_turn_tokens,
            "ends_stale_turn": True,
            "ending": None,
        }

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
        turn, ends = state.turn, list[Draft]()
        window = state.window
        if turn is not None and self._ends(turn, now):
            ends = self._end(state, turn)
            window = _without_turn(state, ends)
        session = state.session_id
        if not window.count:
            return Outcome(CommitResult("skipped", session, reason="no_messages"))
        failed = state.blocking_failure()
        if failed is not None and failed.archive is not None:
            raise CommitBlocked(
                session, archive_id(failed.archive), failed.attempts, failed.error or "unknown"
            )
        head = state.version + len(ends)
        plan = window.retention(head, self.keep_recent, self.keep_turn_tokens)
        if not plan.taken_count:
            return Outcome(CommitResult("skipped", session, reason=self._reason(window, head)))
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
            usage_until=head,
            usage_count=state.usage_count,
        )
        if state.folder is not None:
            return [*ends, Draft(prepared)]  # Published when the raw archive is in the folder.
        return [*ends, Draft(prepared), Draft(CommitPublished(task_id=task_id))]

    def gather(self, facts: Facts, state: SessionState) -> Command[CommitResult]:
        turn = state.turn
        if turn is None or not self.ends_stale_turn:
            return self
        from eventlog.session.turns.ending import gather_ending  # Few sessions have turns.

        withdraws = turn.on_error == "withdraw"
        return replace(self, ending=gather_ending(facts, state, withdraws=withdraws))

    def reads_stored(self, state: SessionState) -> bool:
        return state.turn is not None and self.ends_stale_turn

    def _ends(self, turn: Turn, now: int) -> bool:
        """Return whether the open turn is stale."""
        now = self.lease_now or now
        return self.ending is not None and turn.stale_from(self.believed) <= now

    def _end(self, state: SessionState, turn: Turn) -> list[Draft]:
        """Return the drafts that abandon the open turn."""
        from eventlog.session.turns.ending import Ending, abandoned, end_drafts

        return end_drafts(state, self.ending or Ending(), abandoned(turn))

    def _reason(self, window: Window, head: int) -> Literal["all_within_keep_window", "turn_open"]:
        """Return why nothing is taken: because of the window to keep, or of an open turn."""
        if window.held_from:
            released = window.copy()
            released.held_from = 0
            if released.retention(head, self.keep_recent, self.keep_turn_tokens).taken_count:
                return "turn_open"
        return "all_within_keep_window"

    def result(self, recorded: Sequence[Recorded]) -> CommitResult:
        entry = next(each for each in recorded if each.type == CommitPrepared.event_type)
        prepared = cast("CommitPrepared", entry.event)
        return CommitResult(
            status="accepted",
            session_id=entry.stream,
            archived=prepared.message_count,
            archive_id=archive_id(prepared.archive),
            archive_uri=archive_uri(entry.stream, prepared.archive),
            task_id=prepared.task_id,
        )
